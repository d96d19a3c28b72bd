import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { StreamDouble } from '../support/stream/double.js';
import { eventually } from '../support/time.js';

const CHILD = fileURLToPath(new URL('../support/stream-churn-child.mjs', import.meta.url));

interface Sample {
  readonly calls: number;
  readonly clients: number;
  readonly heapMb: number;
  readonly rssMb: number;
  readonly threads: number;
  readonly descriptors: number;
}

it.each(['lean', 'wrtc'])(
  '200 joins and leaves on %s keep no call, no thread, no descriptor and no memory',
  {
    timeout: 360_000,
  },
  async (stack) => {
    const double = await StreamDouble.start();
    try {
      const { url, apiKey, apiSecret } = double;
      const { stdout } = await promisify(execFile)(
        process.execPath,
        [CHILD, url, apiKey, apiSecret, '200', '5', stack],
        {
          timeout: 350_000,
        },
      );
      const { joins, samples } = JSON.parse(stdout) as { joins: number; samples: Sample[] };
      if (process.env.TEST_LOG) console.log(samples);
      expect(joins).toBe(200);
      const [first, , , last] = samples as [Sample, Sample, Sample, Sample];
      for (const { calls, clients } of samples) expect({ calls, clients }).toEqual({ calls: 0, clients: 0 });
      expect(last.threads).toBeLessThanOrEqual(first.threads);
      expect(last.descriptors).toBeLessThanOrEqual(first.descriptors);
      // Over the last 150 of them; a call that is kept costs 0.16 MB of heap.
      expect(last.heapMb - first.heapMb).toBeLessThan(3);
      expect(last.rssMb - first.rssMb).toBeLessThan(20);
      await eventually('the server to have forgotten all', () => {
        const { coordinatorSockets, sfuSockets, peerConnections } = double.state;
        return coordinatorSockets + sfuSockets + peerConnections === 0;
      });
    } finally {
      await double.close();
    }
  },
);
