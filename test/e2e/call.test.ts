import { expect, it } from 'vitest';
import { AudioSource, SimulatedTwilio } from '../../src/simulator/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from '../support/caller.js';
import { hears } from '../support/control.js';
import { FleetNode } from '../support/fleet.js';
import { eventually } from '../support/time.js';

// The installed command line in its own process, and a phone in real time.
it.each(['native', 'wasm'])('a caller hears the echo agent, through the %s core', async (core) => {
  const node = await FleetNode.start({ TRANSCODER: core });
  const health = (await (await fetch(`${node.url}/health`)).json()) as { transcoder: string };
  expect(health.transcoder).toBe(core);
  const dial = { publicUrl: PUBLIC_URL, target: node.url };
  const twilio = new SimulatedTwilio({ accountSid: ACCOUNT_SID, authToken: AUTH_TOKEN, dial });
  const phone = twilio.placeCall({
    from: '+15550001111',
    to: '+15552223333',
    webhookUrl: `${PUBLIC_URL}/twilio/voice`,
    audio: AudioSource.tone(1_000, -12),
    record: true,
  });
  await phone.started;
  await eventually('the echo', () => Math.abs(hears(phone, 1_000) - -12) < 1, 20_000);
  // Only the tone is heard.
  expect(hears(phone, 1_500)).toBeLessThan(-50);
  await phone.hangUp();
  expect((await phone.ended).status).toBe('completed');
  await eventually('the end', () => node.output.includes('call ended'));
  await twilio.close();
  node.child.kill('SIGTERM');
  expect(await node.exited).toEqual([0, null]);
});
