import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import wavefile from 'wavefile';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import { Caller, PUBLIC_URL } from '../support/caller.js';
import { type FleetNode, startFleet } from '../support/fleet.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually, sleep } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';

describeOnRedis('a call recorded in a fleet', () => {
  it('is recorded on the node that has it, whichever node is asked', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'trunkline-fleet-'));
    const redis = await RedisServer.start();
    const { nodes, proxy } = await startFleet(2, redis.url, { RECORD_DIR: directory });
    const [one, other] = nodes;
    const caller = await Caller.call(proxy.url);
    caller.media(toneMulaw(700, 20));
    await eventually('the echo', () => caller.mediaCount > 0);
    const listed = await one?.control('/v1/calls');
    const { calls } = (await (listed as Response).json()) as { calls: { callId: string }[] };
    const path = `/v1/calls/${calls[0]?.callId}/recording`;
    const ask = async (node: typeof one, method: string) => {
      const response = await node?.control(path, { method });
      // biome-ignore lint/suspicious/noExplicitAny: tests check the body
      return [response?.status, (await response?.json()) as any] as const;
    };
    try {
      for (const node of [one, other]) {
        expect(await ask(node, 'GET')).toMatchObject([404, { error: { code: 'GW_RECORDING_NONE' } }]);
        expect(await ask(node, 'POST')).toMatchObject([201, { callId: calls[0]?.callId }]);
        expect(await ask(other, 'POST')).toMatchObject([409, { error: { code: 'GW_RECORDING_EXISTS' } }]);
        for (let i = 1; i <= 25; i++) caller.media(toneMulaw(700, 20), { timestamp: 100_000 + i * 20 });
        await sleep(300);
        expect((await ask(one, 'GET'))[1].seconds).toBeGreaterThan(0.25);
        const [status, result] = await ask(node, 'DELETE');
        expect([status, result.end]).toEqual([200, 'stopped']);
        const wav = new wavefile.WaveFile(readFileSync(join(directory, result.file)));
        expect(wav.getSamples(true, Int16Array).length / 2 / 16_000).toBeCloseTo(result.seconds, 2);
      }
      expect(readdirSync(directory)).toHaveLength(2);
    } finally {
      caller.hangUp();
      rmSync(directory, { recursive: true });
    }
  });

  it('is complete on the draining node, and can be recorded again on the next', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'trunkline-fleet-'));
    const redis = await RedisServer.start();
    const { nodes, proxy, twilio } = await startFleet(2, redis.url, { RECORD_DIR: directory });
    const phone = twilio.placeCall({
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      from: '+15550001111',
      to: '+15552223333',
      audio: AudioSource.tone(1_000),
    });
    await phone.started;
    const holder = nodes.find(({ address }) => proxy.served(address).sockets > 0) as FleetNode;
    const other = nodes.find((node) => node !== holder) as FleetNode;
    try {
      const { calls } = (await (await holder.control('/v1/calls')).json()) as {
        calls: { callId: string }[];
      };
      const path = `/v1/calls/${calls[0]?.callId}/recording`;
      expect((await holder.control(path, { method: 'POST' })).status).toBe(201);
      await sleep(1_000);
      holder.child.kill('SIGTERM');
      expect(await holder.exited).toEqual([0, null]);
      await eventually('the next stream', () => phone.streams.length === 2 && isOpen(phone), 10_000);
      const read = (file: string) => {
        const wav = new wavefile.WaveFile(readFileSync(join(directory, file)));
        return (wav.getSamples(true, Int16Array) as unknown as Int16Array).length / 2 / 16_000;
      };
      const [first = ''] = readdirSync(directory);
      expect(read(first)).toBeGreaterThan(0.8);
      expect(holder.output).toContain('"end":"call-ended"');
      const asked = await other.control(path, { method: 'POST' });
      expect(asked.status).toBe(201);
      await sleep(500);
      const { file } = (await (await other.control(path, { method: 'DELETE' })).json()) as { file: string };
      expect(file).not.toBe(first);
      expect(read(file)).toBeGreaterThan(0.3);
    } finally {
      await phone.hangUp();
      rmSync(directory, { recursive: true });
    }
  });
});

const isOpen = ({ streams }: SimulatedPhone) => streams.at(-1)?.isOpen === true;
