import { table } from '../src/cli/table.js';
import { isSampled, Latencies } from '../src/telemetry/latencies.js';
import { stampNow, stampsBetween } from '../src/telemetry/stamp.js';
import type { CapacityResult } from './capacity.js';
import { machine, machineLine } from './machine.js';
import { readResult, writeResult } from './result.js';

/** As many calls take turns: their histograms do not stay in the processor's cache. */
const CALLS = 1_000;
const FRAMES = 2_000_000;
const ROUNDS = 7;
const FRAMES_A_SECOND = 50;

export interface TelemetryResult {
  /** Nanoseconds an echoed frame: clock readings, and writing down what they say; medians of the rounds. */
  readonly clockNs: number;
  readonly recordNs: number;
  /** CPU of a gateway an echoed frame, nanoseconds, at so many calls of the capacity bench. */
  readonly gatewayNs: number;
  readonly calls: number;
}

/**
 * What latency costs to measure, against what a gateway takes for the same frame. The steps are those of a media stream and
 * its outlet, without anything between them; run after the capacity bench, whose figures are the other side.
 */
export async function benchTelemetry(): Promise<void> {
  const rounds = Array.from({ length: ROUNDS + 1 }, () => ({ clock: clocks(), record: records() })).slice(1);
  const clockNs = median(rounds.map(({ clock }) => clock));
  const recordNs = median(rounds.map(({ record }) => record));
  const rows = readResult<CapacityResult>('capacity')?.rows ?? [];
  const row = rows.filter(({ ok }) => ok).at(-1);
  console.log(`\nWhat latency costs to measure (${machineLine(machine())})`);
  if (row === undefined) {
    console.log(
      `clock ${clockNs.toFixed()} ns, records ${recordNs.toFixed()} ns an echoed frame; no capacity to compare with`,
    );
    return;
  }
  const gatewayNs = (row.gatewayCpu * 1e9) / (row.calls * FRAMES_A_SECOND);
  const share = (ns: number) => `${((100 * ns) / gatewayNs).toFixed(2)} %`;
  const total = clockNs + recordNs;
  console.log(
    table(
      ['an echoed frame', 'ns', 'share'],
      [
        ['clock readings', clockNs.toFixed(), share(clockNs)],
        ['histograms', recordNs.toFixed(), share(recordNs)],
        ['both', total.toFixed(), share(total)],
        [`the gateway, ${row.calls} calls`, gatewayNs.toFixed(), '100 %'],
      ],
    ),
  );
  writeResult('telemetry', { clockNs, recordNs, gatewayNs, calls: row.calls } satisfies TelemetryResult);
}

/** Clock readings of one frame: when it came and when it left; every eighth time also what lies between. */
function clocks(): number {
  let sum = 0;
  const ns = timed((frame) => {
    const came = stampNow();
    if (isSampled(frame)) sum += stampNow() + stampNow() + stampNow() + stampNow();
    sum += stampsBetween(came, stampNow());
  });
  // Used, or it would not be worked out.
  return Number.isNaN(sum) ? 0 : ns;
}

function records(): number {
  const whole = new Latencies();
  const calls = Array.from({ length: CALLS }, () => new Latencies(whole));
  return timed((frame) => {
    const call = calls[frame % CALLS] as Latencies;
    // Spread like real ones: a few microseconds, sometimes many.
    const stamps = (frame * 7919) & (frame % 100 === 0 ? 16_383 : 255);
    call.intakeJitter.record(stamps * 20);
    call.gateway.record(stamps);
    // Of each call every eighth.
    if (!isSampled((frame / CALLS) | 0)) return;
    call.transcodeIn.record(stamps);
    call.decodedLeg.record(stamps >> 4);
    call.transcodeOut.record(stamps);
    call.legEncoded.record(stamps);
    call.encodedSocket.record(stamps);
    call.playoutLead.record(stamps * 500);
  });
}

/** Nanoseconds of one run of `work`. */
function timed(work: (frame: number) => void): number {
  const begun = process.hrtime.bigint();
  for (let frame = 0; frame < FRAMES; frame++) work(frame);
  return Number(process.hrtime.bigint() - begun) / FRAMES;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] as number;
}
