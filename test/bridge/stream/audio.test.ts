import { expect, it } from 'vitest';
import { agentLevel, heardBy, notHeardBy, phoneLevel, startStream } from '../../support/stream-call.js';

it('brings 1 kHz from the phone to a participant, and another tone back, each within 1 dB', async () => {
  const { phone, agent, gateway, bridge, double } = await startStream();
  const caller = phone(1_000);
  const other = await agent('agent', 1_700);
  await heardBy('the agent', () => agentLevel(other, 1_000));
  await heardBy('the phone', () => phoneLevel(caller, 1_700));
  await notHeardBy('the phone, of its own voice,', () => phoneLevel(caller, 1_000));
  await notHeardBy('the agent, of its own voice,', () => agentLevel(other, 1_700));
  const { droppedLead, droppedBackpressure, badMessages } = gateway.stats().traffic;
  expect({ droppedLead, droppedBackpressure, badMessages }).toEqual({
    droppedLead: 0,
    droppedBackpressure: 0,
    badMessages: 0,
  });
  expect(bridge.stats()).toMatchObject({ legs: 1, dropped: 0, deaths: 0, rejoins: 0, retries: 0 });
  expect(double.state.unknownRoutes).toEqual([]);
});

it('lets the phone hear three participants at once, and not itself', async () => {
  const { phone, agent } = await startStream();
  const tones = [503, 1_117, 2_309];
  const early = await Promise.all(tones.slice(0, 2).map((hz) => agent(`agent-${hz}`, hz)));
  const caller = phone(1_700);
  for (const hz of tones.slice(0, 2)) {
    await heardBy('the phone, of those who were there before it,', () => phoneLevel(caller, hz));
  }
  const late = await agent('agent-2309', 2_309);
  for (const hz of tones) await heardBy('the phone', () => phoneLevel(caller, hz));
  await notHeardBy('the phone, of its own voice,', () => phoneLevel(caller, 1_700));
  for (const other of [...early, late]) {
    await heardBy('each of them', () => agentLevel(other, 1_700));
  }
  await early[0]?.leave();
  await heardBy('the phone, of those who stay,', () => phoneLevel(caller, 2_309));
  await notHeardBy('the phone', () => phoneLevel(caller, 503));
});

it('lets two phones in one call hear each other and the agent', async () => {
  const { phone, agent } = await startStream();
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

it('works within one process as well', async () => {
  const { phone, agent, bridge } = await startStream({ bridge: { media: 'inline' } });
  const caller = phone(1_000);
  const other = await agent('agent', 1_700);
  await heardBy('the agent', () => agentLevel(other, 1_000));
  await heardBy('the phone', () => phoneLevel(caller, 1_700));
  expect(bridge.stats().workers).toBe(0);
});
