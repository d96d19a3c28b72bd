/**
 * The words of Twilio's Media Streams WebSocket, both ways.
 * Source: twilio.com/docs/voice/media-streams/websocket-messages. Twilio sends every counter as a string.
 */

/** First message on a socket; carries no `streamSid`. */
export interface ConnectedMessage {
  readonly event: 'connected';
  readonly protocol?: string;
  readonly version?: string;
}

export interface StartMessage {
  readonly event: 'start';
  readonly sequenceNumber?: string;
  readonly streamSid: string;
  readonly start: {
    readonly streamSid: string;
    readonly accountSid: string;
    readonly callSid: string;
    readonly tracks: readonly string[];
    readonly customParameters: Readonly<Record<string, string>>;
    readonly mediaFormat: {
      readonly encoding: string;
      readonly sampleRate: number;
      readonly channels: number;
    };
  };
}

export interface MediaMessage {
  readonly event: 'media';
  readonly sequenceNumber?: string;
  readonly streamSid: string;
  readonly media: {
    readonly track?: string;
    readonly chunk?: string;
    /** Milliseconds since the stream began. */
    readonly timestamp?: string;
    /** Base64 of raw µ-law, 8 kHz mono; 160 bytes are 20 ms. */
    readonly payload: string;
  };
}

export interface DtmfMessage {
  readonly event: 'dtmf';
  readonly sequenceNumber?: string;
  readonly streamSid: string;
  readonly dtmf: { readonly track?: string; readonly digit: string };
}

/** Sent by either side: by us to place a mark, by Twilio when playback reached it. */
export interface MarkMessage {
  readonly event: 'mark';
  readonly sequenceNumber?: string;
  readonly streamSid: string;
  readonly mark: { readonly name: string };
}

export interface StopMessage {
  readonly event: 'stop';
  readonly sequenceNumber?: string;
  readonly streamSid: string;
  readonly stop: { readonly accountSid?: string; readonly callSid?: string };
}

export interface ClearMessage {
  readonly event: 'clear';
  readonly streamSid: string;
}

/** What Twilio may send to a gateway. */
export type InboundMessage =
  | ConnectedMessage
  | StartMessage
  | MediaMessage
  | DtmfMessage
  | MarkMessage
  | StopMessage;

/**
 * Parses one text message of Twilio, with any key order or spacing.
 * @returns `undefined` for anything that is not JSON, not a known event, or lacks a field that event must have
 */
export function parseInboundMessage(text: string): InboundMessage | undefined {
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isInboundMessage(message)) return undefined;
  return message.event === 'start' ? { ...message, start: { ...START_DEFAULTS, ...message.start } } : message;
}

/** What a start may leave out, as a server other than Twilio does. */
const START_DEFAULTS = {
  tracks: ['inbound'],
  customParameters: {},
  mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
} as const;

function isInboundMessage(value: unknown): value is InboundMessage {
  if (!isRecord(value)) return false;
  if (value.event === 'connected') return true;
  if (typeof value.streamSid !== 'string') return false;
  switch (value.event) {
    case 'start':
      return isRecord(value.start) && hasTexts(value.start, 'accountSid', 'callSid') && isStart(value.start);
    case 'media':
      return isRecord(value.media) && hasTexts(value.media, 'payload');
    case 'dtmf':
      return (
        isRecord(value.dtmf) && typeof value.dtmf.digit === 'string' && /^[0-9*#A-D]$/.test(value.dtmf.digit)
      );
    case 'mark':
      return isRecord(value.mark) && hasTexts(value.mark, 'name');
    case 'stop':
      return true;
    default:
      return false;
  }
}

/** The parts of a start that may be absent, but not of another kind. */
function isStart({ tracks = [], customParameters = {}, mediaFormat = {} }: Record<string, unknown>): boolean {
  return Array.isArray(tracks) && isRecord(customParameters) && isRecord(mediaFormat);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hasTexts(record: Record<string, unknown>, ...keys: string[]): boolean {
  return keys.every((key) => typeof record[key] === 'string');
}
