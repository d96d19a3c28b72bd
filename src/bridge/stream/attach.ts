import { expected, GatewayError } from '../../errors.js';
import type { FrameSink } from '../../media/frame.js';
import type { MarkEcho } from '../../phone/marks.js';
import type { IngressTime } from '../../telemetry/ingress-time.js';
import type { PhoneLine } from '../bridge.js';
import { StreamBridge } from './bridge.js';

/** A phone's media stream, e.g. a `TwilioMediaStream`. */
export interface PhoneStream {
  readonly isConnected: boolean;
  /** Whether it has ended. */
  readonly isEnded: boolean;
  /** Sends the caller's audio to `sink`, starting with what is buffered. */
  connect(sink: FrameSink): void;
  /** Plays a frame of 960 samples (20 ms at 48 kHz) to the caller; `stamp` is when its audio reached the gateway. */
  play(frame: Int16Array, stamp: IngressTime): void;
  /** Drops all queued audio (barge-in). @returns milliseconds heard so far, and milliseconds dropped */
  clear(): { playedMs: number; discardedMs: number };
  /** Places a mark behind all audio so far; the event `mark` reports when it was heard. @param name not empty */
  mark(name: string): void;
  /** Calls `done` once the caller has heard all queued audio. */
  whenHeard?(done: () => void): void;
  /** Ends the stream. @param code WebSocket close code, 1000 to 4999 (RFC 6455, section 7.4); default 1000 */
  close(code?: number, reason?: string): void;
  /** Calls the listener with each key the caller presses: one of `0–9 * # A–D`. */
  on(event: 'dtmf', listener: (digit: string) => void): unknown;
  /** Calls the listener with each mark that was heard or dropped. */
  on(event: 'mark', listener: (echo: MarkEcho) => void): unknown;
  /** Calls the listener when the call is answered, or when the stream has ended. */
  on(event: 'start' | 'end', listener: () => void): unknown;
  /** Removes a listener. */
  off(event: string, listener: (...args: never[]) => void): unknown;
}

/** The parts of a call of `@stream-io/node-sdk` in use, so that these types do not need that package. */
export interface StreamCall {
  readonly cid: string;
}

/** Optional settings of {@link attachPhoneToCall}. */
export interface AttachOptions {
  /** The bridge whose media workers carry the phone. By default attached phones share one, which is closed after the last. */
  readonly bridge?: StreamBridge;
}

/** A phone in a call. */
export interface AttachedPhone {
  /** Removes the phone from the call; the media stream stays open. Idempotent. */
  detach(): void;
}

/**
 * Makes a phone a participant of a Stream call: the caller and the other participants hear each other. The participant
 * leaves when the media stream ends, and the media stream is closed when the call ends. A ringing phone joins when its
 * media stream starts, or at once if the bridge has `joinAt: 'ring'`.
 *
 * Use it for calls that the gateway leaves to your code (`{ bridge: false }`).
 * @param call of `@stream-io/node-sdk`; created if it does not exist
 * @param userId who joins; created at Stream if unknown there
 * @throws TypeError for a wrong argument
 * @throws GatewayError `GW_STREAM_JOIN`, `GW_STREAM_PERMISSION`, `GW_STREAM_REFUSED`, `GW_STREAM_UNAVAILABLE`,
 * `GW_STREAM_CLOSED` for a media stream that has ended
 */
export async function attachPhoneToCall(
  call: StreamCall,
  stream: PhoneStream,
  userId: string,
  options: AttachOptions = {},
): Promise<AttachedPhone> {
  if (typeof userId !== 'string' || userId === '') throw expected('a user id', 'userId', userId);
  if (typeof call?.cid !== 'string') throw expected('a call of @stream-io/node-sdk', 'call', call);
  if (typeof stream?.on !== 'function') throw expected('a media stream', 'stream', stream);
  if (stream.isEnded) {
    throw new GatewayError('GW_STREAM_CLOSED', 'Expected a stream that has not ended but received its end');
  }
  const shared = options.bridge === undefined ? shareBridge(clientOf(call)) : undefined;
  const bridge = options.bridge ?? (shared as SharedBridge).bridge;
  const gone = new AbortController();
  const onEnd = () => gone.abort();
  stream.on('end', onEnd);
  try {
    const leg = await bridge.join(
      { callId: call.cid, room: call.cid, user: { id: userId }, signal: gone.signal },
      lineOf(stream),
    );
    const answered = started(stream, gone.signal).then(() => leg.answered({}));
    // A phone that joined while it rang is attached already; it only reports the answer.
    answered.catch(() => leg.close());
    if (!leg.isIn) await answered;
    const onDigit = (digit: string) => leg.dtmf(digit);
    const onMark = (echo: MarkEcho) => leg.marked?.(echo);
    let isAttached = true;
    const detach = () => {
      if (!isAttached) return;
      isAttached = false;
      stream.off('dtmf', onDigit);
      stream.off('mark', onMark);
      stream.off('end', onEnd);
      leg.close();
      shared?.release();
    };
    gone.signal.addEventListener('abort', detach);
    stream.on('dtmf', onDigit);
    stream.on('mark', onMark);
    stream.connect(leg);
    if (gone.signal.aborted) detach();
    return { detach };
  } catch (error) {
    stream.off('end', onEnd);
    shared?.release();
    if (!gone.signal.aborted) throw error;
    throw new GatewayError(
      'GW_STREAM_CLOSED',
      'Expected a stream that lasts until it is attached but received its end',
      {
        cause: error,
      },
    );
  }
}

/** Resolves when the call is answered. */
async function started(stream: PhoneStream, gone: AbortSignal): Promise<void> {
  gone.throwIfAborted();
  if (stream.isConnected) return;
  await new Promise<void>((resolve, reject) => {
    const settle = () => {
      stream.off('start', settle);
      gone.removeEventListener('abort', settle);
      if (gone.aborted) reject(gone.reason);
      else resolve();
    };
    stream.on('start', settle);
    gone.addEventListener('abort', settle);
  });
}

function lineOf(stream: PhoneStream): PhoneLine {
  return {
    get isLive() {
      return stream.isConnected;
    },
    write: (frame, stamp) => stream.play(frame, stamp),
    clear: () => stream.clear(),
    mark: (name) => stream.mark(name),
    hangUp({ now = false } = {}) {
      if (now || stream.whenHeard === undefined) stream.close();
      else stream.whenHeard(() => stream.close());
    },
    transfer: () => {
      throw new GatewayError(
        'GW_TRANSFER_IMPOSSIBLE',
        'Expected a call of the gateway for a transfer but received a bare stream',
      );
    },
    fail: () => stream.close(1011, 'the call was lost'),
  };
}

/** The parts of the SDK's client in use; some are private there. */
interface StreamClient {
  readonly apiKey: string;
  readonly secret: string;
  readonly config?: { readonly basePath?: string };
}

/** A call's client is private in the SDK. */
function clientOf(call: StreamCall): StreamClient {
  const { streamClient } = call as StreamCall & { readonly streamClient?: StreamClient };
  if (streamClient === undefined) throw expected('a call of @stream-io/node-sdk', 'call', call);
  return streamClient;
}

interface SharedBridge {
  readonly bridge: StreamBridge;
  release(): void;
}

const bridges = new WeakMap<StreamClient, { bridge: StreamBridge; users: number }>();

function shareBridge(client: StreamClient): SharedBridge {
  const { apiKey, secret, config } = client;
  const entry = bridges.get(client) ?? {
    users: 0,
    bridge: new StreamBridge({
      apiKey,
      apiSecret: secret,
      ...(config?.basePath === undefined ? {} : { baseUrl: config.basePath }),
    }),
  };
  bridges.set(client, entry);
  entry.users += 1;
  return {
    bridge: entry.bridge,
    release() {
      entry.users -= 1;
      if (entry.users > 0) return;
      bridges.delete(client);
      void entry.bridge.close();
    },
  };
}
