import { randomBytes } from 'node:crypto';
import type { Clock, Timeout } from '../clock.js';
import { GatewayError } from '../errors.js';
import type { CallFacts, LegEvent } from '../legs/leg-messages.js';
import type { LegSocket, RawLeg } from '../legs/raw-leg.js';
import { FRAME_MS } from '../media/frame.js';
import type { AgentConnection, AgentEndpoint, ConnectionListener } from './agent-endpoint.js';

/** Pauses before each try, up to a quarter shorter; the last one repeats. All of them fit into the time after a loss. */
const PAUSES_MS = [0, 250, 500, 1_000];
/** How long one try may take. */
const TRY_MS = 2_000;
/** How long a caller who has been answered waits for the agent, at first and after a loss. */
const FIRST_WAIT_MS = 4_500;
const LOST_WAIT_MS = 2_000;
/** What the caller says meanwhile is kept for so long; the oldest is dropped. */
const KEPT_MS = 3_000;
/** Most events kept meanwhile. */
const MAX_EVENTS = 256;
/** A connection that lasts longer ends a series of tries. */
const STEADY_MS = 2_000;
const FINISHED = 1000;
/** With these the leg closes on an agent's faults: a flood, too many invalid messages, or one that is too long. */
const FAULT_CODES: ReadonlySet<number> = new Set([1008, 1009]);
/** With this the leg closes when its room fails: its place in the Stream call was refused or lost. */
const NO_ROOM = 1011;

/** What happens to an agent's connection. */
export interface AgentLinkListener {
  /** The agent has taken the call. @param afterMs since the dialling began, or since the loss */
  taken(connection: number, afterMs: number): void;
  lost(reason: string): void;
  /** A try failed; there may be others. */
  missed(error: GatewayError): void;
  /** There will be no agent. The link is closed. */
  failed(error: GatewayError): void;
  /** The agent has finished and closed the connection. */
  finished(): void;
}

interface AgentLinkOptions {
  readonly endpoint: AgentEndpoint;
  readonly clock: Clock;
  readonly facts: (connection: number) => CallFacts;
  /** Whether another node had the call before, with a connection of its own. */
  readonly isContinued: boolean;
  readonly listener: AgentLinkListener;
}

/**
 * The socket of a raw leg whose program the gateway dials: it outlasts the connections that it is made of. Without a
 * connection it dials, and keeps what the caller says.
 */
export class AgentLink implements LegSocket {
  /** Id of the call's trace, and number of connections so far. Source: w3.org/TR/trace-context. */
  private readonly traceId = randomBytes(16).toString('hex');
  private connections = 0;
  private connection: AgentConnection | undefined;
  private isTaken = false;
  private wasTaken = false;
  private isAnswered = false;
  private readonly closing = new AbortController();
  private patience: Timeout | undefined;
  private readonly keptEvents: string[] = [];
  /** Other callers in the room when the leg was opened. */
  private company: readonly string[] = [];
  /** Ring of the latest frames for the agent. */
  private readonly keptFrames: Int16Array[] = [];
  private droppedMs = 0;
  private lastMiss: GatewayError | undefined;
  private tries = 0;
  private takenAt = 0;

  constructor(
    private readonly leg: RawLeg,
    private readonly options: AgentLinkOptions,
  ) {}

  /** Whether the agent has the call now. */
  get isUp(): boolean {
    return this.isTaken && !this.closing.signal.aborted;
  }

  /** Starts dialling. */
  dial(): void {
    void this.dialUntilTaken(this.options.clock.now());
  }

  /** The caller is on the line, and does not wait for ever. */
  answered(): void {
    if (this.isAnswered) return;
    this.isAnswered = true;
    if (!this.isTaken) this.wait(FIRST_WAIT_MS);
  }

  // Called by the leg:

  send(message: string | Int16Array): boolean {
    const { connection } = this;
    if (this.isTaken && connection !== undefined) return connection.send(message);
    if (typeof message === 'string') this.keepEvent(message);
    else this.keepFrame(message);
    return true;
  }

  bufferedBytes(): number {
    return this.isTaken ? (this.connection?.bufferedBytes() ?? 0) : 0;
  }

  close(code: number, reason: string): void {
    if (this.closing.signal.aborted) return;
    this.closing.abort();
    this.patience?.cancel();
    this.connection?.close(code, reason);
    this.forget();
    const { endpoint, listener } = this.options;
    const { name } = endpoint;
    if (code === NO_ROOM)
      listener.failed(new GatewayError('GW_AGENT_NO_ROOM', `Agent ${name} lost its room: ${reason}`));
    else if (FAULT_CODES.has(code))
      listener.failed(new GatewayError('GW_AGENT_PROTOCOL', `Agent ${name} broke the protocol: ${reason}`));
  }

  private async dialUntilTaken(since: number): Promise<void> {
    const { clock, listener } = this.options;
    const { signal } = this.closing;
    for (;;) {
      const pause = PAUSES_MS[Math.min(this.tries, PAUSES_MS.length - 1)] as number;
      this.tries += 1;
      // Calls that lost their agent together do not all come back at once.
      if (pause > 0) await clock.sleep(pause * (1 - Math.random() / 4), signal);
      if (signal.aborted) return;
      try {
        await this.connect(signal);
        if (!signal.aborted && this.isTaken) listener.taken(this.connections, clock.now() - since);
        return;
      } catch (error) {
        if (signal.aborted) return;
        const missed = missOf(error, this.options.endpoint.name);
        this.lastMiss = missed;
        listener.missed(missed);
        if (missed.code === 'GW_AGENT_REFUSED') {
          this.fail(missed);
          return;
        }
      }
    }
  }

  /** One try. @throws GatewayError or whatever a handler throws */
  private async connect(signal: AbortSignal): Promise<void> {
    const { endpoint, clock, facts } = this.options;
    const connections = this.connections + 1;
    const traceparent = `00-${this.traceId}-${randomBytes(8).toString('hex')}-01`;
    await clock.limited(TRY_MS, async (late) => {
      const either = AbortSignal.any([signal, late]);
      const listener = this.listenerFor();
      const made = await endpoint.connect(
        { facts: facts(connections), traceparent, signal: either },
        listener,
      );
      if (signal.aborted) {
        made.close(FINISHED, '');
        return;
      }
      this.connections = connections;
      this.connection = made;
      listener.connection = made;
      try {
        this.announce(made);
        await made.taken;
        // It may have closed in the meantime.
        if (this.connection !== made)
          throw new GatewayError('GW_AGENT_UNREACHABLE', `Agent ${endpoint.name} closed`);
        this.take(made);
      } catch (error) {
        made.close(FINISHED, '');
        if (this.connection === made) this.connection = undefined;
        throw error;
      }
    });
  }

  /** Events of a connection count only while it is the current one. */
  private listenerFor(): ConnectionListener & { connection: AgentConnection | undefined } {
    const listener = {
      connection: undefined as AgentConnection | undefined,
      message: (message: Uint8Array, isBinary: boolean) => {
        if (this.connection === listener.connection) this.handleMessage(message, isBinary);
      },
      closed: (code: number, reason: string) => {
        if (this.connection === listener.connection) this.disconnected(code, reason);
      },
    };
    return listener;
  }

  /** A fault of ours ends this call only. */
  private handleMessage(message: Uint8Array, isBinary: boolean): void {
    try {
      this.leg.handleMessage(message, isBinary);
    } catch (cause) {
      const { name } = this.options.endpoint;
      const text = `A message of agent ${name} could not be handled`;
      this.fail(new GatewayError('GW_AGENT_PROTOCOL', text, { cause }));
    }
  }

  /** The first message of a connection. */
  private announce(connection: AgentConnection): void {
    const isResumed = this.wasTaken || this.options.isContinued;
    // Those who were answered since are in the kept events.
    const phones = this.wasTaken ? this.leg.phones : this.company;
    if (this.wasTaken) this.dropEvents(/^\{"type":"(joined|left)"/);
    this.leg.beginConnection();
    connection.send(this.leg.readyMessage(phones, isResumed));
  }

  private take(connection: AgentConnection): void {
    this.isTaken = true;
    this.wasTaken = true;
    this.takenAt = this.options.clock.now();
    for (const event of this.keptEvents) connection.send(event);
    if (this.droppedMs > 0) connection.send(JSON.stringify(lost(this.droppedMs)));
    for (const frame of this.keptFrames) connection.send(frame);
    this.forget();
  }

  private disconnected(code: number, reason: string): void {
    const { connection, isTaken } = this;
    this.connection = undefined;
    if (!isTaken || connection === undefined) return;
    this.isTaken = false;
    const { listener, clock } = this.options;
    if (code === FINISHED) {
      this.close(FINISHED, '');
      listener.finished();
      return;
    }
    listener.lost(reason || `code ${code}`);
    if (clock.now() - this.takenAt > STEADY_MS) {
      this.tries = 0;
      this.patience?.cancel();
      this.patience = undefined;
    }
    if (this.isAnswered) this.wait(LOST_WAIT_MS);
    void this.dialUntilTaken(clock.now());
  }

  /** Gives up unless the agent has the call by then. An agent that comes and goes gets no more time. */
  private wait(ms: number): void {
    this.patience ??= this.options.clock.timeout(ms, () => {
      this.patience = undefined;
      if (this.isTaken) return;
      const { endpoint } = this.options;
      const late = new GatewayError(
        'GW_AGENT_UNREACHABLE',
        `Agent ${endpoint.name} did not take the call in time`,
      );
      this.fail(this.lastMiss ?? late);
    });
  }

  private fail(error: GatewayError): void {
    this.close(1001, 'given up');
    this.options.listener.failed(error);
  }

  private keepEvent(event: string): void {
    if (event.startsWith('{"type":"ready"')) {
      // The leg was opened only after its call had been answered.
      const { ownPhone: phone, phones } = this.leg;
      if (phone !== undefined) this.keepEvent(JSON.stringify({ type: 'joined', phone }));
      this.company = phones.filter((other) => other !== phone);
      return;
    }
    if (this.keptEvents.length === MAX_EVENTS) this.keptEvents.shift();
    this.keptEvents.push(event);
  }

  private keepFrame(frame: Int16Array): void {
    if (this.closing.signal.aborted) return;
    const { keptFrames } = this;
    const isFull = keptFrames.length * FRAME_MS >= KEPT_MS;
    if (isFull) this.droppedMs += FRAME_MS;
    // The memory of the oldest frame becomes that of the latest.
    const memory = isFull ? keptFrames.shift() : new Int16Array(frame.length);
    if (memory === undefined || memory.length !== frame.length) return;
    memory.set(frame);
    keptFrames.push(memory);
  }

  private dropEvents(kind: RegExp): void {
    const kept = this.keptEvents.filter((event) => !kind.test(event));
    this.keptEvents.splice(0, this.keptEvents.length, ...kept);
  }

  private forget(): void {
    this.keptEvents.length = 0;
    this.keptFrames.length = 0;
    this.droppedMs = 0;
  }
}

function lost(ms: number): LegEvent {
  return { type: 'dropped', of: 'heard', ms };
}

function missOf(error: unknown, name: string): GatewayError {
  if (
    error instanceof GatewayError &&
    (error.code === 'GW_AGENT_REFUSED' || error.code === 'GW_AGENT_UNREACHABLE')
  ) {
    return error;
  }
  const why = error instanceof Error ? error.message : String(error);
  return new GatewayError('GW_AGENT_UNREACHABLE', `Agent ${name} failed: ${why}`, { cause: error });
}
