import { afterEach } from 'vitest';
import { systemClock } from '../../src/clock.js';
import {
  AudioSource,
  type InboundCallOptions,
  PhoneClock,
  SimulatedPhone,
} from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from './caller.js';
import { amplitudeAt, decibels } from './media.js';
import { clock, sleep } from './time.js';

/** Peak of the tones of phones and agents. */
export const LEVEL = 8_000;
const LEVEL_DBFS = 20 * Math.log10(LEVEL / 32_767);
/** Looking costs, so it is done seldom. */
const LOOK_MS = 100;

const phones: SimulatedPhone[] = [];

afterEach(() => {
  for (const phone of phones.splice(0)) phone.close();
});

/** Calls a gateway and plays a tone. */
export function callPhone(target: string, hz?: number, options: Partial<InboundCallOptions> = {}) {
  const phone = new SimulatedPhone({
    accountSid: ACCOUNT_SID,
    authToken: AUTH_TOKEN,
    from: '+15550001111',
    to: '+15552223333',
    webhookUrl: `${PUBLIC_URL}/twilio/voice`,
    dial: { publicUrl: PUBLIC_URL, target },
    clock: new PhoneClock(clock),
    audio: hz === undefined ? AudioSource.silence() : AudioSource.tone(hz, LEVEL_DBFS),
    record: true,
    ...options,
  });
  phones.push(phone);
  return phone.dial();
}

/**
 * Level of a tone a phone heard, in decibels against {@link LEVEL}: the median over the last half seconds.
 * One alone may hold a splice of NetEq's (it stretches speech when a machine stalls), which breaks a tone's phase.
 */
export function phoneLevel(phone: SimulatedPhone, hz: number, halfSeconds = 1): number {
  const heard = phone.stream === undefined ? new Int16Array() : phone.heard().slice(-4_000 * halfSeconds);
  if (heard.length < 4_000 * halfSeconds) return -120;
  const levels = Array.from({ length: halfSeconds }, (_, i) => {
    const amplitude = amplitudeAt(hz, 8_000, heard.slice(4_000 * i, 4_000 * (i + 1)));
    return decibels(Math.max(amplitude, 1e-3) / LEVEL);
  });
  return levels.sort((a, b) => a - b)[halfSeconds >> 1] as number;
}

/** Somebody in a Stream call, as far as what they hear goes. */
interface Listener {
  heard(hz: number, options: { from?: string }): number;
}

/** The same for the last half second that an agent heard. */
export function agentLevel(agent: Listener, hz: number, from?: string): number {
  const amplitude = agent.heard(hz, from === undefined ? {} : { from });
  return decibels(Math.max(amplitude, 1e-3) / LEVEL);
}

/** Waits until a level is within 1 dB of what was said. */
export function heardBy(who: string, level: () => number): Promise<void> {
  return levelOf(`${who} to hear 0 dB`, level, (found) => Math.abs(found) < 1);
}

/** Waits until a half second passes without a tone: one's own voice would be in each of them. */
export function notHeardBy(who: string, level: () => number): Promise<void> {
  return levelOf(`${who} to hear less than -50 dB`, level, (found) => found < -50);
}

/** A look that comes late counts as one look: what a busy machine took from this process does not count. */
async function levelOf(
  what: string,
  level: () => number,
  isRight: (found: number) => boolean,
): Promise<void> {
  const looks = clock === systemClock ? 300 : 150;
  let found = level();
  for (let look = 0; !isRight(found); look++) {
    if (look === looks) throw new Error(`Expected ${what} but received ${found} dB`);
    await sleep(LOOK_MS);
    found = level();
  }
}
