import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { leanOnly } from '../support/rtc-native.js';

leanOnly();

const CHILD = fileURLToPath(new URL('../support/rtc-churn-child.mjs', import.meta.url));

interface Sample {
  readonly connections: number;
  readonly objects: number;
  readonly resources: number;
  readonly heapMb: number;
  readonly rssMb: number;
}

it('100 pairs of lean connections that have talked keep no socket, no native object and no memory', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [CHILD, '100', '5'], { timeout: 300_000 });
  const { connected, heard, samples } = JSON.parse(stdout) as {
    connected: number;
    heard: number;
    samples: Sample[];
  };
  if (process.env.TEST_LOG) console.log(connected, heard, samples);
  expect([connected, heard]).toEqual([100, 100]);
  const [first, , , last] = samples as [Sample, Sample, Sample, Sample];
  // The certificate of the process stays.
  for (const { connections, objects, resources } of samples) {
    expect({ connections, objects, resources }).toEqual({
      connections: 0,
      objects: 1,
      resources: first.resources,
    });
  }
  expect(first.resources).toBeLessThanOrEqual(1);
  // Over the last 75 of them: one that is kept costs some 50 KB of heap, and a native part of as much.
  expect(last.heapMb - first.heapMb).toBeLessThan(1.5);
  expect(last.rssMb - first.rssMb).toBeLessThan(12);
});
