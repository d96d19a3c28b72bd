import { benchAgents } from './agents.js';
import { benchOverload } from './capacity/overload.js';
import { benchCapacity } from './capacity.js';
import { benchDashboard } from './dashboard.js';
import { benchEvents } from './events.js';
import { benchForged } from './forged.js';
import { benchGateway } from './gateway.js';
import { benchHandshakes } from './handshakes.js';
import { benchLatency } from './latency.js';
import { benchLead } from './lead.js';
import { benchPeers } from './peers.js';
import { benchQuality } from './quality.js';
import { benchRamp } from './ramp.js';
import { benchRefusal } from './refusal.js';
import { benchRelay } from './relay.js';
import { benchSiege } from './siege.js';
import { benchStartup } from './startup.js';
import { benchStream } from './stream.js';
import { benchStreamSdp } from './stream-sdp.js';
import { benchTelemetry } from './telemetry.js';
import { benchTransports } from './transports.js';
import { benchWorkers } from './workers.js';

const BENCHES: Readonly<Record<string, () => Promise<void>>> = {
  latency: benchLatency,
  quality: benchQuality,
  gateway: benchGateway,
  startup: benchStartup,
  stream: benchStream,
};
/** Long: only by name. */
const SPECIAL: Readonly<Record<string, () => Promise<void>>> = {
  capacity: benchCapacity,
  overload: benchOverload,
  dashboard: benchDashboard,
  'stream-sdp': benchStreamSdp,
  refusal: benchRefusal,
  forged: benchForged,
  telemetry: benchTelemetry,
  lead: benchLead,
  siege: benchSiege,
  events: benchEvents,
  transports: benchTransports,
  agents: benchAgents,
  relay: benchRelay,
  handshakes: benchHandshakes,
  ramp: benchRamp,
  workers: benchWorkers,
  peers: benchPeers,
};

const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !(name in BENCHES) && !(name in SPECIAL));
if (unknown !== undefined) {
  console.error(
    `Expected ${[...Object.keys(BENCHES), ...Object.keys(SPECIAL)].join(' or ')} for the bench but received "${unknown}"`,
  );
  process.exit(1);
}
for (const [name, bench] of Object.entries({ ...BENCHES, ...SPECIAL })) {
  if (wanted.includes(name) || (wanted.length === 0 && name in BENCHES)) await bench();
}
