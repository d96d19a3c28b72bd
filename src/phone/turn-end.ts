/** Work to do once at the end of the event-loop turn. */
export interface AtTurnEnd {
  turnEnded(): void;
}

let waiting: AtTurnEnd[] = [];
let scheduled = false;

/** Runs `task.turnEnded()` at the end of this event-loop turn: one immediate for all tasks, no closures. */
export function atTurnEnd(task: AtTurnEnd): void {
  waiting.push(task);
  if (scheduled) return;
  scheduled = true;
  setImmediate(runAll);
}

function runAll(): void {
  const tasks = waiting;
  waiting = [];
  scheduled = false;
  for (const task of tasks) {
    try {
      task.turnEnded();
    } catch (error) {
      // One call's error must not stop the others.
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }
}
