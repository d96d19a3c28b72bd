import { afterEach, expect, it } from 'vitest';
import { StreamBridge } from '../../src/index.js';
import { createLog } from '../../src/telemetry/log.js';
import { startGateway } from '../support/gateway.js';
import { Agent } from '../support/stream/agent.js';
import { StreamDouble } from '../support/stream/double.js';
import { agentLevel, callPhone, heardBy, LEVEL, notHeardBy, phoneLevel } from '../support/stream-call.js';
import { eventually } from '../support/time.js';

const freed: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const free of freed.splice(0).reverse()) await free();
});

it('a phone and a participant of a Stream call hear each other, through a media worker and real WebRTC', {
  timeout: 60_000,
}, async () => {
  const double = await StreamDouble.start();
  freed.push(() => double.close());
  const { url: baseUrl, apiKey, apiSecret } = double;
  const bridge = new StreamBridge({
    apiKey,
    apiSecret,
    baseUrl,
    maxWorkerDelayMs: 0,
    log: createLog('silent'),
  });
  freed.push(() => bridge.close());
  const { gateway, url } = await startGateway({ bridge, prepareCall: () => ({ room: 'room' }) });
  const caller = callPhone(url, 1_000);
  const agent = await Agent.join({ double, callId: 'room', userId: 'agent' });
  freed.push(() => agent.leave());
  agent.play(1_700, LEVEL);

  await heardBy('the agent', () => agentLevel(agent, 1_000));
  await heardBy('the phone', () => phoneLevel(caller, 1_700));
  await notHeardBy('the phone, of its own voice,', () => phoneLevel(caller, 1_000));
  await notHeardBy('the agent, of its own voice,', () => agentLevel(agent, 1_700));
  expect(gateway.stats().traffic.badMessages).toBe(0);
  expect(bridge.stats()).toMatchObject({ legs: 1, joined: 1, deaths: 0 });
  expect(double.state.unknownRoutes).toEqual([]);

  expect(await caller.hangUp()).toMatchObject({ status: 'completed', error: undefined });
  await eventually('the agent to be alone', () => agent.remoteUserIds().length === 0);
  await gateway.close();
  expect(bridge.workers()).toEqual([]);
});
