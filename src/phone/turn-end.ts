/** Something to do once at the end of the event-loop turn. */
export interface AtTurnEnd {
  turnEnded(): void;
}

let waiting: AtTurnEnd[] = [];
let scheduled = false;

/** Runs `task.turnEnded()` when this event-loop turn is over: one immediate for all that ask, no closures. */
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
      // One call's fault must not keep the others from being served.
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }
}
