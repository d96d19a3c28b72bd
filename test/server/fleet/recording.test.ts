import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import wavefile from 'wavefile';
import { Caller, eventually } from '../../support/caller.js';
import { startFleet } from '../../support/fleet.js';
import { describeOnRedis, RedisServer } from '../../support/redis.js';
import { toneMulaw } from '../../support/tone.js';

describeOnRedis('a call recorded in a fleet', () => {
  it('is recorded at the node that has it, whichever is asked', async () => {
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
      // biome-ignore lint/suspicious/noExplicitAny: the body is what is tested
      return [response?.status, (await response?.json()) as any] as const;
    };
    try {
      for (const node of [one, other]) {
        expect(await ask(node, 'GET')).toMatchObject([404, { error: { code: 'GW_RECORDING_NONE' } }]);
        expect(await ask(node, 'POST')).toMatchObject([201, { callId: calls[0]?.callId }]);
        expect(await ask(other, 'POST')).toMatchObject([409, { error: { code: 'GW_RECORDING_EXISTS' } }]);
        for (let i = 1; i <= 25; i++) caller.media(toneMulaw(700, 20), { timestamp: 100_000 + i * 20 });
        await new Promise((resolve) => setTimeout(resolve, 300));
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
});
