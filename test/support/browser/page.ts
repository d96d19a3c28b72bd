import { once } from 'node:events';
import type { WebSocket } from 'ws';

/** Longest time for a command: a join in a browser on a busy machine. */
const COMMAND_MS = 15_000;

interface Answer {
  readonly id?: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** The line to a page in a browser: commands and answers, as JSON. */
export class Page {
  /** What went wrong in it, unasked. */
  readonly errors: string[] = [];
  private lastId = 0;
  private readonly asked = new Map<number, (answer: Answer) => void>();

  constructor(private readonly socket: WebSocket) {
    socket.on('message', (data) => {
      const answer = JSON.parse(String(data)) as Answer;
      if (answer.id === undefined) this.errors.push(answer.error ?? 'nothing');
      else this.asked.get(answer.id)?.(answer);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      for (const settle of this.asked.values()) settle({ error: 'its end' });
    });
  }

  get isClosed(): boolean {
    return this.socket.readyState !== this.socket.OPEN;
  }

  async ask<Value = void>(command: string, options: object = {}): Promise<Value> {
    const id = ++this.lastId;
    const { promise, settle } = this.answerTo(id);
    const timer = setTimeout(() => settle({ error: `nothing for ${COMMAND_MS} ms` }), COMMAND_MS);
    if (this.isClosed) settle({ error: 'its end' });
    else this.socket.send(JSON.stringify({ id, command, options }));
    const { value, error } = await promise;
    clearTimeout(timer);
    this.asked.delete(id);
    if (error !== undefined) throw new Error(`Expected the page to ${command} but received: ${error}`);
    return value as Value;
  }

  /** Closes the tab as its user would; resolves when it is gone. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    const closed = once(this.socket, 'close', { signal: AbortSignal.timeout(COMMAND_MS) });
    this.socket.send(JSON.stringify({ id: ++this.lastId, command: 'close' }));
    await closed;
  }

  private answerTo(id: number) {
    let settle: (answer: Answer) => void = () => {};
    const promise = new Promise<Answer>((resolve) => {
      settle = resolve;
    });
    this.asked.set(id, settle);
    return { promise, settle };
  }
}
