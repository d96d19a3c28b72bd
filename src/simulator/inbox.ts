import { FRAME_BYTES } from './audio.js';

/** Twilio's protocol warnings: audio discarded because the server reads too slowly, malformed, invalid. */
export type WarningCode = 31930 | 31950 | 31951;

/** A message of the server that breaks the protocol. */
export interface ProtocolWarning {
  readonly code: WarningCode;
  /** What is wrong with the message. */
  readonly reason: string;
  /** The beginning of the offending message. */
  readonly text: string;
}

/** Warnings of one stream. Twilio logs each kind once a stream; here each is counted, the first is kept. */
export interface WarningCounts {
  /** Number of messages dropped because the server reads too slowly. */
  readonly 31930: number;
  /** Number of malformed messages. */
  readonly 31950: number;
  /** Number of invalid messages. */
  readonly 31951: number;
  readonly first: ProtocolWarning | undefined;
}

/** Where a stream's valid messages go. */
export interface InboxHandlers {
  media(payload: string, bytes: number): void;
  mark(name: string): void;
  clear(): void;
  warning(warning: ProtocolWarning): void;
}

const KEPT_TEXT = 500;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
/** Payloads shorter than this could be found in the wrong place of a message. */
const SHORTEST_LEARNED = (FRAME_BYTES * 4) / 3 / 2;

/**
 * Reads what a server sends and judges it as Twilio does.
 * A server writes its media messages all in one shape, so once one was parsed and found valid, later ones
 * that have the same text around the payload are cut out of it without parsing.
 * Source: twilio.com/docs/voice/media-streams/websocket-messages, twilio.com/docs/api/errors/31951.
 */
export class Inbox {
  private before = '';
  private after = '';
  private started = false;
  private readonly counted = { 31930: 0, 31950: 0, 31951: 0 };
  private first: ProtocolWarning | undefined;

  constructor(
    private readonly streamSid: string,
    private readonly handlers: InboxHandlers,
  ) {}

  /** `start` was sent; nothing is valid before. */
  start(): void {
    this.started = true;
  }

  get warnings(): WarningCounts {
    return { ...this.counted, first: this.first };
  }

  /** Takes one WebSocket message. */
  handleMessage(data: Buffer, isBinary: boolean): void {
    if (isBinary) {
      this.warn(31950, 'a text message expected, not a binary one', data.toString('base64', 0, 60));
      return;
    }
    const text = data.toString('latin1');
    const end = text.length - this.after.length;
    const begin = this.before.length;
    if (
      begin > 0 &&
      text.startsWith(this.before) &&
      text.indexOf('"', begin) === end &&
      text.endsWith(this.after)
    ) {
      this.media(text.slice(begin, end), text);
    } else {
      this.parse(data.toString('utf8'));
    }
  }

  /** Counts a warning, also one that the stream itself noticed. */
  warn(code: WarningCode, reason: string, text: string): void {
    this.counted[code] += 1;
    const warning: ProtocolWarning = { code, reason, text: text.slice(0, KEPT_TEXT) };
    this.first ??= warning;
    this.handlers.warning(warning);
  }

  private parse(text: string): void {
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch {
      this.warn(31951, 'not JSON', text);
      return;
    }
    if (!isRecord(message)) {
      this.warn(31951, 'not a JSON object', text);
      return;
    }
    const { event, streamSid } = message;
    if (event !== 'media' && event !== 'mark' && event !== 'clear') {
      this.warn(31951, `unknown event ${JSON.stringify(event)}`, text);
    } else if (!this.started) {
      this.warn(31951, `${event} before start`, text);
    } else if (streamSid !== this.streamSid) {
      this.warn(31951, streamSid === undefined ? 'no streamSid' : 'another streamSid', text);
    } else {
      this.dispatch(event, message, text);
    }
  }

  private dispatch(event: 'media' | 'mark' | 'clear', message: Record<string, unknown>, text: string): void {
    const known = event === 'clear' ? ['event', 'streamSid'] : ['event', 'streamSid', event];
    const body = event === 'clear' ? {} : message[event];
    const field = event === 'media' ? 'payload' : 'name';
    if (!isRecord(body) || (event !== 'clear' && typeof body[field] !== 'string')) {
      this.warn(31951, `no ${event}.${field}`, text);
      return;
    }
    const extra = [
      ...Object.keys(message).filter((key) => !known.includes(key)),
      ...Object.keys(body),
    ].filter((key) => key !== field);
    if (extra.length > 0) this.warn(31951, `unexpected field ${extra.join(', ')}`, text);
    const value = body[field] as string;
    if (event === 'clear') this.handlers.clear();
    else if (event === 'mark') this.handlers.mark(value);
    else if (this.media(value, text) && extra.length === 0) this.learn(value, text);
  }

  private media(payload: string, text: string): boolean {
    const { length } = payload;
    if (length === 0) {
      this.warn(31951, 'an empty media.payload', text);
      return false;
    }
    if (length % 4 !== 0 || !BASE64.test(payload)) {
      this.warn(31950, 'media.payload is not base64', text);
      return false;
    }
    const padding = payload.endsWith('==') ? 2 : payload.endsWith('=') ? 1 : 0;
    this.handlers.media(payload, (length / 4) * 3 - padding);
    return true;
  }

  private learn(payload: string, text: string): void {
    const at = text.indexOf(`"${payload}"`);
    // Only ASCII around the payload: later messages are compared byte by byte.
    if (payload.length < SHORTEST_LEARNED || at < 0 || Buffer.byteLength(text) !== text.length) return;
    this.before = text.slice(0, at + 1);
    this.after = text.slice(at + 1 + payload.length);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
