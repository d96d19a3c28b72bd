import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { Clock } from '../../src/clock.js';
import { type ConverterMaker, loadResampler } from '../../src/media/rate-converter.js';
import { type ConnectionServer, GeminiConnection } from './gemini-connection.js';
import { echoMind, type GeminiMind } from './gemini-mind.js';
import { GeminiSession, keep } from './gemini-session.js';
import { closeReason, invalidArgument, Refusal, type Setup } from './gemini-wire.js';

export type { GeminiMind, GeminiReply } from './gemini-mind.js';
export type { GeminiSession, GeminiTurnRecord } from './gemini-session.js';

export const GEMINI_PATH = '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent';
const MOST_SESSIONS = 200;
const MOST_MESSAGE_BYTES = 16 * 1_024 * 1_024;
/** Handles are valid for two hours after the end of a connection. */
const HANDLE_MS = 2 * 3_600_000;
const NO_KEY =
  "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API " +
  'consumer identity to call this API.';

export interface GeminiOptions {
  readonly clock: Clock;
  /** The one key that is valid. */
  readonly key: string;
  readonly mind: GeminiMind;
  readonly models: readonly string[];
  /** From a setup to its `setupComplete`. */
  readonly setupMs: number;
  /** From an input to the first audio. */
  readonly firstAudioMs: number;
  /** Audio in one message. */
  readonly chunkMs: number;
  /** How many times faster than real time audio is sent. */
  readonly speed: number;
  /** From a setup to the end of its connection, which is announced 50 s before. */
  readonly lifeMs: number;
  /**
   * When new handles come: once after the setup, as measured of the newest model, or also with every turn, as documented, when an
   * update without a handle says that the session cannot be resumed right now.
   */
  readonly handles: 'once' | 'turns';
  /** How long a session that was idle stays taken after its connection has closed; one whose model was busy is free at once. */
  readonly heldMs: number;
  /** Messages before each answer that mean nothing to a client that plays audio: an empty one, and a thought. */
  readonly chatter: boolean;
}

/** What goes wrong. Each can be changed at any time, and applies to what begins afterwards. */
export interface GeminiFaults {
  /** In place of the options of these names. */
  setupMs?: number | undefined;
  firstAudioMs?: number | undefined;
  /** The model falls silent after this much audio of an answer, for good; its connection stays open. */
  stopAfterMs?: number | undefined;
  /** The connection closes with 1011 after this much audio of an answer. */
  closeAfterMs?: number | undefined;
  /** Answers become this long, at most ten minutes, and are sent at once. */
  floodMs?: number | undefined;
  /** The key is refused, as if it had been revoked. */
  refuseKey?: boolean;
  /** The second message of each answer is not JSON. */
  malformed?: boolean;
  /** Each message holds an odd number of bytes of audio: samples are cut in two. */
  oddBytes?: boolean;
  /** Closes with 1008 when audio comes while a function runs, as 2.5's native audio does. */
  refuseAudioDuringCall?: boolean;
}

const DEFAULTS: Omit<GeminiOptions, 'clock'> = {
  key: 'gemini-key',
  mind: echoMind,
  models: [
    'models/gemini-3.8-live',
    'models/gemini-3.1-flash-live-preview',
    'models/gemini-2.5-flash-native-audio-latest',
    'models/gemini-2.5-flash-native-audio-preview-12-2025',
  ],
  setupMs: 50,
  firstAudioMs: 300,
  chunkMs: 100,
  speed: 5,
  lifeMs: 600_000,
  handles: 'once',
  heldMs: 1_000,
  chatter: true,
};

/** Stands in for the Gemini Live API on loopback: the WebSocket protocol as documented, with a mind of the test's. */
export class GeminiLive implements ConnectionServer {
  readonly options: GeminiOptions;
  readonly faults: GeminiFaults = {};
  /** In the order in which they began. */
  readonly sessions: GeminiSession[] = [];
  /** Connections that were refused for their key, and those that came to another path. */
  readonly refused = { keys: 0, paths: 0 };
  readonly clock: Clock;
  private readonly connections = new Set<GeminiConnection>();
  /** Of sessions: their connection, and since when they have none. */
  private readonly holders = new Map<GeminiSession, GeminiConnection>();
  private readonly freeAt = new Map<GeminiSession, { from: number; until: number }>();
  private readonly http = http.createServer((_, response) => response.writeHead(404).end());
  private readonly sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MOST_MESSAGE_BYTES,
    perMessageDeflate: false,
  });

  private constructor(
    options: GeminiOptions,
    readonly makeConverter: ConverterMaker,
  ) {
    this.options = options;
    this.clock = options.clock;
    this.http.on('upgrade', (request, socket, head) => this.upgrade(request, socket, head));
  }

  static async start(options: Partial<GeminiOptions> & Pick<GeminiOptions, 'clock'>): Promise<GeminiLive> {
    const gemini = new GeminiLive({ ...DEFAULTS, ...options }, await loadResampler());
    gemini.http.listen(0, '127.0.0.1');
    await once(gemini.http, 'listening');
    return gemini;
  }

  /** Where it is, in place of `wss://generativelanguage.googleapis.com`. */
  get baseUrl(): string {
    return `ws://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  /** With the path, without a key. */
  get url(): string {
    return this.baseUrl + GEMINI_PATH;
  }

  /** The newest session. */
  get session(): GeminiSession {
    const session = this.sessions.at(-1);
    if (session === undefined) throw new Error('No session has begun');
    return session;
  }

  get openConnections(): number {
    return this.connections.size;
  }

  /** Announces the end of all connections, and closes those that are still open then. */
  goAway(timeLeftMs: number): void {
    for (const connection of this.connections) connection.goAway(timeLeftMs);
  }

  /** Cuts all connections without a close frame. */
  cut(): void {
    for (const connection of this.connections) connection.terminate();
  }

  async close(): Promise<void> {
    this.cut();
    // Those as well that were refused and have not closed yet.
    for (const socket of this.sockets.clients) socket.terminate();
    await new Promise((resolve) => {
      this.http.close(resolve);
      this.http.closeAllConnections();
    });
  }

  openSession(setup: Setup, connection: GeminiConnection): GeminiSession {
    const handle = setup.sessionResumption?.handle ?? '';
    const session = handle === '' ? this.newSession(setup) : this.resume(handle, setup);
    this.holders.set(session, connection);
    this.freeAt.delete(session);
    return session;
  }

  forget(connection: GeminiConnection): void {
    this.connections.delete(connection);
    for (const [session, holder] of this.holders) {
      if (holder !== connection) continue;
      const now = this.clock.now();
      this.holders.delete(session);
      if (!this.sessions.includes(session)) continue;
      this.freeAt.set(session, {
        from: now + (connection.isGenerating ? 0 : this.options.heldMs),
        until: now + HANDLE_MS,
      });
    }
  }

  private newSession(setup: Setup): GeminiSession {
    const session = keep(this.sessions, new GeminiSession(setup));
    const old = this.sessions.length > MOST_SESSIONS ? this.sessions.shift() : undefined;
    if (old !== undefined) this.freeAt.delete(old);
    return session;
  }

  private resume(handle: string, setup: Setup): GeminiSession {
    if (!/^[0-9a-f-]{36}$/.test(handle)) throw new Refusal(1007, 'Invalid session handle');
    const session = this.sessions.find(({ handles }) => handles.includes(handle));
    const free = session && this.freeAt.get(session);
    const now = this.clock.now();
    if (session !== undefined && (free === undefined || now < free.from)) {
      // As measured: while the server holds a session, and also for a while after its connection has closed.
      throw new Refusal(1011, 'Internal error encountered.');
    }
    if (session === undefined || free === undefined || now > free.until) {
      throw new Refusal(1008, 'BidiGenerateContent session not found');
    }
    if (session.setup.model !== setup.model) throw invalidArgument();
    session.setup = setup;
    return session;
  }

  private upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): void {
    // The vendor's own client asks for `//ws/…`.
    const { pathname, searchParams } = new URL((request.url ?? '/').replace(/^\/+/, '/'), 'ws://gemini');
    if (pathname !== GEMINI_PATH) {
      this.refused.paths += 1;
      socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    const key = searchParams.get('key') ?? request.headers['x-goog-api-key'];
    this.sockets.handleUpgrade(request, socket, head, (webSocket) => {
      if (key === this.options.key && !this.faults.refuseKey) {
        this.connections.add(new GeminiConnection(this, webSocket));
        return;
      }
      // The upgrade succeeds; only the close frame tells what is wrong.
      this.refused.keys += 1;
      webSocket.on('error', () => webSocket.terminate());
      if (key === undefined) webSocket.close(1008, closeReason(NO_KEY));
      else webSocket.close(1007, 'API key not valid. Please pass a valid API key.');
    });
  }
}
