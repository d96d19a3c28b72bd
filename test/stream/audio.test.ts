import { expect, it } from 'vitest';
import { agentLevel, heardBy, notHeardBy, phoneLevel } from '../support/stream-call.js';
import { realStream } from '../support/stream-real.js';

const { start, talk } = realStream();

it('lets the phone hear three participants at once, but not itself, at the pace of speech', async () => {
  const { phone, agent, gateway } = await start();
  const tones = [503, 1_117, 2_309];
  const early = await Promise.all(tones.slice(0, 2).map((hz) => agent(`agent-${hz}`, hz)));
  const caller = phone(1_700);
  for (const hz of tones.slice(0, 2)) {
    await heardBy('the phone, of those who were there before it,', () => phoneLevel(caller, hz));
  }
  const late = await agent('agent-2309', 2_309);
  for (const hz of tones) await heardBy('the phone', () => phoneLevel(caller, hz));
  await heardBy('the phone, each of them in the same half second,', () =>
    Math.max(...tones.map((hz) => Math.abs(phoneLevel(caller, hz)))),
  );
  await notHeardBy('the phone, of its own voice,', () => phoneLevel(caller, 1_700));
  for (const other of [...early, late]) {
    await heardBy('each of them', () => agentLevel(other, 1_700));
  }
  await early[0]?.leave();
  await heardBy('the phone, of those who stay,', () => phoneLevel(caller, 2_309));
  await notHeardBy('the phone', () => phoneLevel(caller, 503));
  // Three voices in turn, instead of mixed, would be three times the frames.
  const { framesIn, framesOut } = gateway.stats().traffic;
  expect(framesOut / framesIn).toBeLessThan(1.5);
});

it('lets two phones in one call hear each other and the agent', async () => {
  const { phone, agent } = await start();
  const first = phone(503);
  const second = phone(1_117, { from: '+15550004444' });
  const other = await agent('agent', 2_309);
  await heardBy('the first phone', () => phoneLevel(first, 1_117));
  await heardBy('the first phone', () => phoneLevel(first, 2_309));
  await heardBy('the second phone', () => phoneLevel(second, 503));
  await heardBy('the agent', () => agentLevel(other, 503));
  await heardBy('the agent', () => agentLevel(other, 1_117));
  await notHeardBy('the phone, of its own voice,', () => phoneLevel(first, 503));
  await notHeardBy('the phone, of its own voice,', () => phoneLevel(second, 1_117));
});

it('lets the phone hear a shared screen’s audio together with the voice', async () => {
  const { other, caller, agent, hear } = await talk();
  await other.shareSound(2_309);
  await heardBy('the phone, of the screen,', () => phoneLevel(caller, 2_309));
  await hear(' all the same');
  await other.stopSharing();
  await notHeardBy('the phone', () => phoneLevel(caller, 2_309));
  await hear(' as before');
  // So is one who came later.
  const late = await agent('late', 503);
  await late.shareSound(1_117);
  await heardBy('the phone', () => phoneLevel(caller, 1_117));
});

it('also works within one process', async () => {
  const { bridge, pool } = await talk({ bridge: { media: 'inline' } });
  expect([bridge.stats().joined, pool.census().legs]).toEqual([1, 0]);
});
