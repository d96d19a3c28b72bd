import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { AudioSource, align, decodeMulaw, FRAME_MS, PHONE_RATE } from '../../src/simulator/index.js';
import type { Order, RtpOrder } from '../capacity/generator.js';
import { talkOverRtp } from './rtp-talk.js';

/** How long somebody talks. */
const TALK_MS = 3_000;
/** After so much time without a message no echo is expected. */
const QUIET_MS = 400;
/** Longest delay of an echo. */
const MAX_LAG_MS = 400;

/** What an echo may differ by: correlation, and decibels of level. */
export const SAME = { correlation: 0.98, gainDb: 1 } as const;

/** How an echo sounds, and how much later than its own message: by filters, and by frames kept back. */
export interface Sound {
  /** Normalised correlation with what was said, and level in decibels. */
  readonly correlation: number;
  readonly gainDb: number;
  readonly delayMs: number;
}

/** Places one call, talks for three seconds in real time, and compares what comes back with what was said. */
export async function soundOf(order: Order | RtpOrder): Promise<Sound> {
  const audio = AudioSource.speech();
  const payloads = Array.from(
    { length: TALK_MS / FRAME_MS },
    (_, i) => audio.payloads[i % audio.payloads.length] as string,
  );
  const heard =
    'near' in order
      ? await talkOverRtp(
          order,
          payloads.map((payload) => Buffer.from(payload, 'base64')),
          QUIET_MS,
        )
      : await talk(order, payloads);
  const said = audio.pcm.subarray(0, (TALK_MS * PHONE_RATE) / 1_000);
  const echo = decodeMulaw(Buffer.concat(heard));
  const { correlation, gainDb, lagMs } = align(said, echo, { maxLagMs: MAX_LAG_MS });
  const keptMs = (Math.max(0, said.length - echo.length) * 1_000) / PHONE_RATE;
  return { correlation, gainDb, delayMs: lagMs + keptMs };
}

async function talk(order: Order, payloads: readonly string[]): Promise<Buffer[]> {
  const { isSecure, host, port, path, publicHost, signature, ...sids } = order;
  const socket = new WebSocket(`${isSecure ? 'wss' : 'ws'}://${host}:${port}${path}`, {
    // Of the bench's own making.
    rejectUnauthorized: false,
    headers: {
      host: publicHost,
      'x-forwarded-proto': 'https',
      'x-forwarded-host': publicHost,
      'x-twilio-signature': signature,
    },
  });
  const heard: Buffer[] = [];
  socket.on('message', (data) => {
    const { event, media } = JSON.parse(String(data));
    if (event === 'media') heard.push(Buffer.from(media.payload, 'base64'));
  });
  await once(socket, 'open');
  const say = (message: object) => socket.send(JSON.stringify(message));
  const { streamSid, callSid, accountSid } = sids;
  const mediaFormat = { encoding: 'audio/x-mulaw', sampleRate: 8000, channels: 1 };
  const start = { streamSid, callSid, accountSid, tracks: ['inbound'], mediaFormat, customParameters: {} };
  say({ event: 'connected', protocol: 'Call', version: '1.0.0' });
  say({ event: 'start', sequenceNumber: '1', start, streamSid });
  const begun = performance.now();
  for (const [i, payload] of payloads.entries()) {
    await pause(Math.max(0, begun + i * FRAME_MS - performance.now()));
    const media = {
      track: 'inbound',
      chunk: String(i + 1),
      timestamp: String(i * FRAME_MS),
      payload,
    };
    say({ event: 'media', sequenceNumber: String(i + 2), media, streamSid });
  }
  // Trunkline continues with silence.
  for (let count = -1; count < heard.length && count < payloads.length; ) {
    count = heard.length;
    await pause(QUIET_MS);
  }
  const sequenceNumber = String(payloads.length + 2);
  say({ event: 'stop', sequenceNumber, stop: { accountSid, callSid }, streamSid });
  socket.close();
  return heard;
}

/** Whether that is the sound that was sent. @param expectedDb how much louder it is known to be */
export function isSame({ correlation, gainDb }: Sound, expectedDb = 0): boolean {
  return correlation >= SAME.correlation && Math.abs(gainDb - expectedDb) <= SAME.gainDb;
}
