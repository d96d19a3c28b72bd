import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import WebSocket from 'ws';

/** The account all tests use. */
export const ACCOUNT_SID = `AC${'0'.repeat(31)}1`;
export const AUTH_TOKEN = 'test-auth-token';
/** Twilio sees this origin; the gateway listens on loopback behind an imagined proxy that strips `/edge`. */
export const PUBLIC_URL = 'https://voice.example.com/edge';

/** Twilio's signature, from its documentation and not from any library. */
export function sign(url: string, parameters: Record<string, string> = {}, token = AUTH_TOKEN): string {
  const text = Object.keys(parameters)
    .sort()
    .reduce((sum, name) => sum + name + parameters[name], url);
  return createHmac('sha1', token).update(text).digest('base64');
}

let serial = 0;
const nextSid = (prefix: string) => `${prefix}${(++serial).toString(16).padStart(32, '0')}`;

export function voiceParameters(more: Record<string, string> = {}): Record<string, string> {
  return {
    CallSid: nextSid('CA'),
    AccountSid: ACCOUNT_SID,
    From: '+15550001111',
    Caller: '+15550001111',
    To: '+15552223333',
    Called: '+15552223333',
    CallStatus: 'ringing',
    Direction: 'inbound',
    ApiVersion: '2010-04-01',
    ...more,
  };
}

/** Posts a signed form. */
export function postForm(
  gateway: string,
  path: string,
  parameters: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(gateway + path, {
    method: 'POST',
    headers: { 'x-twilio-signature': sign(PUBLIC_URL + path, parameters), ...headers },
    body: new URLSearchParams(parameters),
  });
}

/** The media URL in a TwiML answer. */
export function streamUrl(twiml: string): string {
  const url = /<Stream url="([^"]+)"/.exec(twiml)?.[1];
  if (url === undefined) throw new Error(`no stream in ${twiml}`);
  return url;
}

/** Where a public media URL leads on loopback. */
export function localUrl(gateway: string, publicUrl: string): string {
  return gateway.replace(/^http/, 'ws') + new URL(publicUrl).pathname.replace(/^\/edge/, '');
}

/** The status (and error code) of an upgrade; 101 if accepted. */
export async function upgradeStatus(
  url: string,
  headers: Record<string, string>,
): Promise<{ status: number; code?: string }> {
  const socket = new WebSocket(url, { headers });
  return new Promise((resolve, reject) => {
    socket.on('open', () => {
      socket.terminate();
      resolve({ status: 101 });
    });
    socket.on('unexpected-response', (_request, response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, code: JSON.parse(body || '{}').error?.code }),
      );
    });
    socket.on('error', (error) => {
      if (!/Unexpected server response/.test(error.message)) reject(error);
    });
  });
}

/** A manual caller on a raw WebSocket: it sends exactly what the test asks for. */
export class Caller {
  readonly streamSid = nextSid('MZ');
  /** Everything received, parsed, but for the marks by which the gateway measures its lead. */
  readonly received: { event: string; media?: { payload: string }; mark?: { name: string } }[] = [];
  closed: { code: number; reason: string } | undefined;
  private sequence = 0;
  private chunk = 0;

  private constructor(
    readonly socket: WebSocket,
    readonly parameters: Record<string, string>,
    readonly twiml: string,
  ) {
    socket.on('message', (data) => {
      const message = JSON.parse(String(data));
      if (message.mark?.name.startsWith('trunkline-lead-') !== true) this.received.push(message);
    });
    socket.on('close', (code, reason) => {
      this.closed = { code, reason: String(reason) };
    });
    socket.on('error', () => {});
  }

  /** Webhook, upgrade; no `start` yet. */
  static async connect(gateway: string, more: Record<string, string> = {}): Promise<Caller> {
    const parameters = voiceParameters(more);
    const answer = await postForm(gateway, '/twilio/voice', parameters);
    return Caller.answer(gateway, await answer.text(), parameters);
  }

  /** Connects the phone according to the TwiML; no `start` yet. */
  static async answer(gateway: string, twiml: string, parameters: Record<string, string>): Promise<Caller> {
    const url = streamUrl(twiml);
    const socket = new WebSocket(localUrl(gateway, url), { headers: { 'x-twilio-signature': sign(url) } });
    const caller = new Caller(socket, parameters, twiml);
    await once(socket, 'open');
    return caller;
  }

  /** Webhook, upgrade, `connected`, `start`. */
  static async call(gateway: string, more: Record<string, string> = {}): Promise<Caller> {
    const caller = await Caller.connect(gateway, more);
    caller.start();
    return caller;
  }

  json(message: object): void {
    this.socket.send(JSON.stringify(message));
  }

  start(more: { callSid?: string; accountSid?: string } = {}): void {
    this.json({ event: 'connected', protocol: 'Call', version: '1.0.0' });
    this.json({
      event: 'start',
      sequenceNumber: String(++this.sequence),
      start: {
        accountSid: more.accountSid ?? ACCOUNT_SID,
        streamSid: this.streamSid,
        callSid: more.callSid ?? this.parameters.CallSid,
        tracks: ['inbound'],
        mediaFormat: { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 },
        customParameters: {},
      },
      streamSid: this.streamSid,
    });
  }

  media(payload: Uint8Array, more: { timestamp?: number; streamSid?: string } = {}): void {
    this.json({
      event: 'media',
      sequenceNumber: String(++this.sequence),
      media: {
        track: 'inbound',
        chunk: String(++this.chunk),
        timestamp: String(more.timestamp ?? (this.chunk - 1) * 20),
        payload: Buffer.from(payload).toString('base64'),
      },
      streamSid: more.streamSid ?? this.streamSid,
    });
  }

  stop(): void {
    this.json({
      event: 'stop',
      sequenceNumber: String(++this.sequence),
      stop: { accountSid: ACCOUNT_SID, callSid: this.parameters.CallSid },
      streamSid: this.streamSid,
    });
  }

  /** µ-law bytes of all media received. */
  get heard(): Buffer {
    return Buffer.concat(
      this.received.flatMap((message) =>
        message.media ? [Buffer.from(message.media.payload, 'base64')] : [],
      ),
    );
  }

  get mediaCount(): number {
    return this.received.filter((message) => message.event === 'media').length;
  }

  hangUp(): void {
    this.socket.terminate();
  }
}
