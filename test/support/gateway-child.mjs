// A gateway in its own process, so that what it costs is measured without its callers.
// Started with --expose-gc; options as JSON in the first argument; answers every message with a report.
import { readdirSync } from 'node:fs';
import { createGateway } from '../../dist/index.js';
import { core } from '../../dist/media/thread-core.js';

const gateway = createGateway({ maxLoopDelayMs: 0, maxCpuPercent: 0, ...JSON.parse(process.argv[2]) });
const { url } = await gateway.listen();
process.send({ url });

process.on('message', () => {
  for (let i = 0; i < 4; i++) globalThis.gc();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  process.send({
    rss,
    heapUsed,
    bufferBytes: arrayBuffers,
    fds: process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0,
    timers: process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length,
    registrySize: gateway.calls.size,
    transcoders: core.liveTranscoders(),
    stats: gateway.stats(),
  });
});
process.on('disconnect', () => process.exit());
