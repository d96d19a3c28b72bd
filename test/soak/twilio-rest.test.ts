import { describe, expect, it } from 'vitest';
import { TwilioRest } from '../../src/twilio/rest.js';
import { ACCOUNT_SID, AUTH_TOKEN } from '../support/caller.js';
import { HOSTILITIES, HostileReceiver } from '../support/hostile.js';
import { clock, eventually, virtualTime } from '../support/time.js';

virtualTime();

/** Those of bare HTTP; the SDK reads what comes before an answer, however fast, until its time is over. */
const HOSTILE = Object.entries(HOSTILITIES).filter(
  ([name, { scheme }]) => scheme === undefined && !/^(is about to|has hints)/.test(name),
);

describe('a Twilio API that', () => {
  it.each(HOSTILE)('%s fails the hang-up with an error', async (name, hostility) => {
    const api = await HostileReceiver.start(() => hostility);
    const rest = new TwilioRest({
      accountSid: ACCOUNT_SID,
      authToken: AUTH_TOKEN,
      apiUrl: new URL(api.url()).origin,
      clock,
    });
    await rest.open();
    const begun = clock.now();
    await expect(rest.hangUp(`CA${'0'.repeat(32)}`)).rejects.toMatchObject({ code: 'GW_TWILIO_REFUSED' });
    expect(clock.now() - begun).toBeLessThan(20_000);
    expect(api.met).toBeGreaterThan(0);
    // What was answered with a status stays for the next request.
    if (/drips|half|never/.test(name)) {
      api.heal();
      await eventually('no connection', () => api.sockets.size === 0);
    }
  });
});
