import type { CallFacts } from '../legs/leg-messages.js';

/** What an agent's connection reports. */
export interface ConnectionListener {
  /** A message from the agent; its memory is only lent. */
  message(message: Uint8Array, isBinary: boolean): void;
  /** The connection is over, without our doing. Called at most once. */
  closed(code: number, reason: string): void;
}

/** A connection to an agent. */
export interface AgentConnection {
  /** Fulfilled when the agent takes the call; rejects if it cannot. Only `ready` is sent before. */
  readonly taken: Promise<void>;
  /** Sends a message; the bytes are only lent. Returns false if it was dropped. */
  send(message: string | Int16Array): boolean;
  bufferedBytes(): number;
  /** Idempotent; the listener hears nothing afterwards. */
  close(code: number, reason: string): void;
}

/** Who is connected. */
export interface ConnectRequest {
  readonly facts: CallFacts;
  /** W3C trace context of this connection. */
  readonly traceparent: string;
  /** Aborted when the agent has taken too long, or the call has ended. */
  readonly signal: AbortSignal;
}

/** An agent that can be connected to calls. */
export interface AgentEndpoint {
  /** How logs call it: without credentials and query. */
  readonly name: string;
  /**
   * Connects a call.
   * @throws GatewayError `GW_AGENT_REFUSED` if it makes no sense to try again, else `GW_AGENT_UNREACHABLE`
   */
  connect(request: ConnectRequest, listener: ConnectionListener): Promise<AgentConnection>;
}

/** Statuses of 4xx that may be better in a moment. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 425, 429]);

/** Whether an upgrade that is answered with this status makes no sense to try again. */
export function isFinalStatus(status: number): boolean {
  return status >= 400 && status < 500 && !PASSING_STATUSES.has(status);
}
