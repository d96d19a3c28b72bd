import { StreamClient } from '@stream-io/node-sdk';
import { expect, it } from 'vitest';
import { attachPhoneToCall, LocalBridge, TwilioMediaStream } from '../../src/index.js';
import { agentLevel, heardBy, phoneLevel } from '../support/stream-call.js';
import { realStream } from '../support/stream-real.js';
import { eventually } from '../support/time.js';

const { start } = realStream();

/** Processes that this one has started. */
const processes = () => process.getActiveResourcesInfo().filter((name) => name === 'ProcessWrap').length;

it('attached phones share media workers, which end with the last phone', {
  timeout: 90_000,
}, async () => {
  const { agent, double, gateway, phone, present, room } = await start({
    gateway: { prepareCall: () => ({ bridge: false }), bridge: new LocalBridge() },
  });
  const client = new StreamClient(double.apiKey, double.apiSecret, { basePath: double.url });
  let phones = 0;
  gateway.on('call', (_, stream) => {
    void attachPhoneToCall(client.video.call('default', room), stream, `caller-${++phones}`);
  });
  const other = await agent('agent', 2_309);
  const before = processes();
  // What is refused keeps no worker.
  await attachPhoneToCall(client.video.call('default', room), undefined as never, 'nobody').catch(() => {});
  await attachPhoneToCall(client.video.call('default', 'no such'), new TwilioMediaStream(), 'x').catch(
    () => {},
  );
  const first = phone(503);
  await heardBy('the agent', () => agentLevel(other, 503));
  const second = phone(1_117);
  await heardBy('the agent', () => agentLevel(other, 1_117));
  await heardBy('the first phone', () => phoneLevel(first, 1_117));
  await eventually('one for both, and a spare one', () => processes() === before + 2, 20_000);
  await first.hangUp();
  await eventually('one to have left', () => present().join() === 'agent,caller-2', 10_000);
  await heardBy('the second phone', () => phoneLevel(second, 2_309));
  expect(processes()).toBeGreaterThan(before);
  await second.drop();
  await eventually('no process to be left', () => processes() === before, 15_000);
  expect(present()).toEqual(['agent']);
  // And another time, with new ones.
  const third = phone(503);
  await heardBy('the agent', () => agentLevel(other, 503));
  await third.hangUp();
  await eventually('no process to be left', () => processes() === before, 15_000);
});
