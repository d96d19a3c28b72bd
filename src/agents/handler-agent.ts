import { GatewayError } from '../errors.js';
import { type LegEvent, parseLegEvent } from '../legs/leg-messages.js';
import { AgentCall, type AgentHandler } from './agent-call.js';
import type { AgentConnection, AgentEndpoint, ConnectionListener, ConnectRequest } from './agent-endpoint.js';

/** An agent in this process: a function that speaks the same protocol, without a socket. */
export class HandlerAgent implements AgentEndpoint {
  /** The agent's notes on the call. */
  private readonly memory = new Map<string, unknown>();

  /** For one call. */
  constructor(
    readonly name: string,
    private readonly handler: AgentHandler,
  ) {}

  connect({ signal }: ConnectRequest, listener: ConnectionListener): Promise<AgentConnection> {
    return Promise.resolve(new HandlerConnection(this.handler, this.memory, signal, listener, this.name));
  }
}

class HandlerConnection implements AgentConnection {
  readonly taken: Promise<void>;
  private take: { done(): void; failed(error: unknown): void } = { done() {}, failed() {} };
  private call: AgentCall | undefined;
  private isOver = false;

  constructor(
    private readonly handler: AgentHandler,
    private readonly memory: Map<string, unknown>,
    signal: AbortSignal,
    private readonly listener: ConnectionListener,
    name: string,
  ) {
    this.taken = new Promise((done, failed) => {
      this.take = { done, failed };
    });
    this.taken.catch(() => {});
    const late = () =>
      this.take.failed(new GatewayError('GW_AGENT_UNREACHABLE', `Agent ${name} did not answer in time`));
    signal.addEventListener('abort', late);
    void this.taken.catch(() => {}).finally(() => signal.removeEventListener('abort', late));
  }

  send(message: string | Int16Array): boolean {
    if (this.isOver) return false;
    if (this.call === undefined) this.begin(parseLegEvent(message as string));
    else this.call.handleMessage(message);
    return true;
  }

  bufferedBytes(): number {
    return 0;
  }

  close(code: number, reason: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.call?.closed(code, reason);
  }

  private begin(ready: LegEvent | undefined): void {
    if (ready?.type !== 'ready') throw new Error('Expected ready first');
    const { listener } = this;
    const socket = {
      send: (message: string | Int16Array) => {
        if (this.isOver) return;
        if (typeof message === 'string') listener.message(Buffer.from(message), false);
        else listener.message(new Uint8Array(message.buffer, message.byteOffset, message.byteLength), true);
      },
      close: (code: number, reason: string) => {
        if (this.isOver) return;
        this.isOver = true;
        this.take.failed(
          new GatewayError('GW_AGENT_UNREACHABLE', `The agent closed the call: ${reason || code}`),
        );
        listener.closed(code, reason);
      },
    };
    const call = new AgentCall(socket, ready, this.memory);
    this.call = call;
    // In a promise, so that a handler that throws is one that rejects.
    void Promise.resolve()
      .then(() => this.handler(call))
      .then(this.take.done, this.take.failed);
  }
}
