// ../gateway-process.ts once more, of the built gateway: the loader for TypeScript has a thread of its own, whose garbage
// collections take tens of milliseconds of the only core.

import { createGateway } from '../../dist/index.js';
import { LeadProbe } from '../../dist/phone/lead-probe.js';

const { probes, ...options } = JSON.parse(process.argv[2] ?? '{}');
// The cost of probes is measured with none and with as many as possible: one a second disappears in the noise.
let sent = 0;
const { tick, sendProbe } = LeadProbe.prototype;
if (probes === 'none') LeadProbe.prototype.tick = () => {};
if (probes === 'many') {
  LeadProbe.prototype.tick = function (now) {
    this.nextAt = now;
    tick.call(this, now);
  };
}
LeadProbe.prototype.sendProbe = function () {
  sent += 1;
  return sendProbe.call(this);
};

const gateway = createGateway({
  // Above the gateway's own limits, because the bench looks for the point of failure.
  maxLoopDelayMs: 0,
  maxCpuPercent: 0,
  ...options,
});
const { url } = await gateway.listen();
process.send?.({ url });

process.on('message', (message) => {
  if (message === 'reset') gateway.resetLatency();
  const { user, system } = process.cpuUsage();
  const rssMb = process.memoryUsage.rss() / 2 ** 20;
  process.send?.({ stats: gateway.stats(), cpuMs: (user + system) / 1e3, rssMb, probes: sent });
});
process.on('disconnect', () => process.exit());
