import type { Check, Result } from './check.js';
import { baseText } from './public-base.js';
import type { ProbeAnswer } from './wire.js';

/** The Date header has whole seconds, and the request takes time. */
const GOOD_MS = 3_000;
/** Beyond this, tokens and certificates may appear to be from the future or expired. */
const BAD_MS = 30_000;
const API_URL = 'https://api.twilio.com';

/** Compares our clock with that of the gateway (or its proxy) and of Twilio's API. */
export const clock: Check = {
  name: 'clock',
  async run({ at, config, wire }) {
    const clocks: [string, string][] = [['Twilio’s API', config.twilio.apiUrl ?? API_URL]];
    if (at !== undefined) clocks.push(['the gateway’s address', `${baseText(at)}/twilio/`]);
    const offsets: { whose: string; ms: number }[] = [];
    for (const [whose, url] of clocks) {
      const asked = whose === 'Twilio’s API' ? wire.direct.ask(url) : wire.ask(url);
      const ms = await asked.then(offsetOf, () => undefined);
      if (ms !== undefined) offsets.push({ whose, ms });
    }
    if (offsets.length === 0) return { mark: 'skip', says: 'No server to compare the clock with' };
    const wrong = offsets.filter(({ ms }) => Math.abs(ms) > GOOD_MS);
    if (wrong.length === 0)
      return {
        mark: 'ok',
        says: `This clock agrees with ${offsets.map(({ whose }) => whose).join(' and ')}`,
      };
    return wrong.map(resultOf);
  },
};

function resultOf({ whose, ms }: { whose: string; ms: number }): Result {
  const seconds = Math.round(Math.abs(ms) / 1000);
  return {
    mark: Math.abs(ms) > BAD_MS ? 'fail' : 'warn',
    says: `This clock is ${seconds} s ${ms > 0 ? 'ahead of' : 'behind'} that of ${whose}`,
    set: 'the clock by NTP (timedatectl set-ntp true), on every machine',
  };
}

/**
 * Estimates how far our clock is ahead, in milliseconds, assuming that the response was written halfway
 * through the request and in the middle of its second.
 */
function offsetOf({ headers, ms, receivedAt }: ProbeAnswer): number | undefined {
  const told = typeof headers.date === 'string' ? Date.parse(headers.date) : Number.NaN;
  return Number.isNaN(told) ? undefined : receivedAt - ms / 2 - (told + 500);
}
