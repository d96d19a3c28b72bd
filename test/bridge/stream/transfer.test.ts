import { expect, it } from 'vitest';
import { agentLevel, heardBy, notHeardBy, phoneLevel, startStream } from '../../support/stream-call.js';
import { eventually } from '../../support/time.js';

/** Who is in a Stream call. */
const membersOf = (
  double: { state: { calls: readonly { cid: string; participants: readonly { userId: string }[] }[] } },
  cid: string,
) => double.state.calls.find((call) => call.cid === cid)?.participants.map(({ userId }) => userId) ?? [];

it('a live caller moves from one Stream call to another, over the same media stream', async () => {
  const { gateway, double, phone, agent } = await startStream();
  const caller = phone(1_000);
  const first = await agent('first', 1_700);
  const second = await agent('second', 2_300, { callId: 'other' });
  await heardBy('the phone', () => phoneLevel(caller, 1_700));
  const callId = gateway.calls.listActive()[0]?.callId as string;
  const answer = await gateway.control.transfer(callId, { stream: { id: 'other' } });
  expect(answer).toEqual({ callId, to: 'stream', room: 'default:other' });
  await heardBy('the phone', () => phoneLevel(caller, 2_300));
  await heardBy('the second agent', () => agentLevel(second, 1_000));
  await notHeardBy('the first agent', () => agentLevel(first, 1_000));
  expect(phoneLevel(caller, 1_700)).toBeLessThan(-50);
  expect(caller.streams).toHaveLength(1);
  expect(gateway.calls.get(callId)?.state).toBe('live');
  await eventually('its leave', () => !membersOf(double, 'default:room').includes(`phone-${callId}`), 10_000);
  expect(membersOf(double, 'default:other')).toContain(`phone-${callId}`);
  // Commands come from where it is now.
  await second.sendEvent({ type: 'phone.hangup' });
  await eventually('the end', () => gateway.calls.get(callId) === undefined, 10_000);
});

it('to a Stream call that can not be one, or a number, as over /v1', async () => {
  const { gateway, phone, agent } = await startStream();
  const caller = phone(1_000);
  await agent('first', 1_700);
  await heardBy('the phone', () => phoneLevel(caller, 1_700));
  const callId = gateway.calls.listActive()[0]?.callId as string;
  await expect(gateway.control.transfer(callId, { room: 'no such name' })).rejects.toMatchObject({
    code: 'GW_STREAM_CALL_NAME',
    status: 400,
  });
  await heardBy('the phone, still', () => phoneLevel(caller, 1_700));
  // Twilio is told to come back: no account is needed for it.
  await gateway.control.transfer(callId, { number: '+15557778888' });
  expect(await caller.ended).toMatchObject({ dialled: ['+15557778888'], error: undefined });
});
