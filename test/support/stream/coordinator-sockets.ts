import { randomUUID } from 'node:crypto';
import type { WebSocket } from 'ws';
import { ApiError } from './api-error.js';
import type { StreamApp } from './app.js';
import type { CallState } from './call-state.js';
import type { Gate } from './gate.js';
import type { Sfu } from './sfu.js';

/** An event as the coordinator sends it; what a call's event must carry is added on the way. */
export interface CoordinatorEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** What the coordinator knows of the media servers. */
export type MediaServers = Pick<Sfu, 'onJoined' | 'onLeft' | 'end' | 'kick' | 'mute' | 'credentials'>;

interface Connection {
  readonly userId: string;
  readonly socket: WebSocket;
}

/** A client authenticates in its first message. */
interface Hello {
  readonly token?: string;
  readonly user_details?: {
    readonly id?: string;
    readonly name?: string;
    readonly image?: string;
    readonly custom?: Record<string, unknown>;
  };
}

/** The open WebSockets to clients, over which the coordinator sends its events. */
export class CoordinatorSockets {
  /** Called with every event that is sent to the watchers of a call. */
  onEvent: (call: CallState, event: CoordinatorEvent) => void = () => {};
  private readonly connections = new Map<string, Connection>();
  /** Open sockets, whether they have said who they are or not. */
  private readonly sockets = new Set<WebSocket>();

  constructor(
    private readonly app: StreamApp,
    private readonly gate: Gate,
  ) {}

  get count(): number {
    return this.sockets.size;
  }

  /** Whose connection this is. */
  userOf(connectionId: string): string | undefined {
    return this.connections.get(connectionId)?.userId;
  }

  accept(socket: WebSocket, apiKey: string | null): void {
    this.sockets.add(socket);
    let id: string | undefined;
    socket.on('error', () => {});
    socket.on('close', () => {
      this.sockets.delete(socket);
      if (id !== undefined) this.forget(id);
    });
    socket.on('message', (data) => {
      try {
        const message: unknown = JSON.parse(String(data));
        if (id === undefined) id = this.greet(socket, message as Hello, apiKey);
        else if (Array.isArray(message)) send(socket, { type: 'health.check', connection_id: id, cid: '*' });
      } catch (error) {
        refuse(socket, error instanceof ApiError ? error : ApiError.input('failed to parse the message'));
      }
    });
  }

  /** To everybody who watches the call. */
  broadcast(call: CallState, event: CoordinatorEvent): void {
    const text = JSON.stringify({ call_cid: call.cid, created_at: new Date().toISOString(), ...event });
    for (const id of call.watchers) this.connections.get(id)?.socket.send(text);
    this.onEvent(call, event);
  }

  /** To all connections of some users, whether they watch the call or not: ringing. */
  tell(userIds: readonly string[], call: CallState, event: CoordinatorEvent): void {
    const text = JSON.stringify({ call_cid: call.cid, created_at: new Date().toISOString(), ...event });
    for (const { userId, socket } of this.connections.values()) {
      if (userIds.includes(userId)) socket.send(text);
    }
  }

  /** Cuts all connections, as a failing network would. */
  drop(): void {
    for (const socket of this.sockets) socket.terminate();
  }

  private greet(socket: WebSocket, hello: Hello, apiKey: string | null): string {
    const { userId } = this.gate.user(apiKey, hello.token ?? '');
    const { user_details: details } = hello;
    if (details?.id !== undefined && details.id !== userId) {
      throw ApiError.unauthenticated(`user_details.id ${details.id} does not match the token's user_id`);
    }
    const user = this.app.users.upsert({ ...details, id: userId });
    const id = randomUUID();
    this.connections.set(id, { userId, socket });
    const me = { ...this.app.users.show(user.id), devices: [], mutes: [], unread_count: 0 };
    send(socket, { type: 'connection.ok', connection_id: id, me });
    return id;
  }

  private forget(id: string): void {
    this.connections.delete(id);
    for (const call of this.app.calls.values()) call.watchers.delete(id);
  }
}

function send(socket: WebSocket, event: CoordinatorEvent): void {
  socket.send(JSON.stringify({ created_at: new Date().toISOString(), ...event }));
}

function refuse(socket: WebSocket, error: ApiError): void {
  send(socket, { type: 'connection.error', connection_id: '', error });
  socket.close();
}
