import type { LoadReport } from '../simulator/load.js';
import { table } from './table.js';

const ms = (value: number) => value.toFixed(2);

/** What the phones of a run saw, as a table and a sentence. */
export function loadTable(report: LoadReport): string {
  const { roundTrip, handshake, webhook } = report;
  const times = table(
    ['milliseconds', 'median', 'p99', 'p99.9', 'max'],
    [
      [
        'round trip of a frame',
        ...[roundTrip.p50Ms, roundTrip.p99Ms, roundTrip.p999Ms, roundTrip.maxMs].map(ms),
      ],
      ['webhook', ...[webhook.p50Ms, webhook.p99Ms, webhook.p999Ms, webhook.maxMs].map(ms)],
      [
        'upgrade to WebSocket',
        ...[handshake.p50Ms, handshake.p99Ms, handshake.p999Ms, handshake.maxMs].map(ms),
      ],
    ],
  );
  const counts = table(
    ['frames of 20 ms at the phones', 'count'],
    [
      ['sent', report.framesSent],
      ['came back', report.framesReceived],
      ['missing', report.framesMissing],
      ['gaps over 40 ms', report.gaps],
      ['underruns', report.underruns],
    ],
  );
  return `${times}\n${counts}\n${proofLine(report)}`;
}

function proofLine({ proof }: LoadReport): string {
  if (proof === undefined) return 'no call was recorded, so nothing proves that the audio came back';
  const { correlation, snrDb, gainDb } = proof.received;
  return (
    `what came back against what was said: correlation ${correlation.toFixed(4)}, SNR ${snrDb.toFixed(1)} dB, ` +
    `gain ${gainDb.toFixed(2)} dB; ${proof.heard.lagMs.toFixed(1)} ms from mouth to ear`
  );
}
