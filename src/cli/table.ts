import Table from 'cli-table3';
import type { Percentiles } from '../simulator/histogram.js';
import type { LoadReport } from '../simulator/load.js';

/** A plain table for terminals and logs: no colours, a line a row. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const plain = new Table({
    head: [...head],
    style: { head: [], border: [], compact: true },
    colAligns: head.map((_, i) => (i === 0 ? 'left' : 'right')),
  });
  plain.push(...rows.map((row) => [...row]));
  return plain.toString();
}

const ms = (value: number) => value.toFixed(2);

/** What the phones of a run saw, as a table and a sentence. */
export function loadTable(report: LoadReport): string {
  const { handovers, echoes } = report;
  const times = table(
    ['milliseconds', 'median', 'p99', 'p99.9', 'max'],
    [
      ...(echoes ? [timesRow('round trip of a frame', report.roundTrip)] : []),
      timesRow('webhook', report.webhook),
      timesRow('upgrade to WebSocket', report.handshake),
      ...(handovers.count === 0
        ? []
        : [
            timesRow('silence of a hand-over', handovers.gap),
            timesRow('stream to stream', handovers.reconnect),
          ]),
    ],
  );
  const counts = table(
    ['frames of 20 ms at the phones', 'count'],
    [
      ['sent', report.framesSent],
      [echoes ? 'came back' : 'received', report.framesReceived],
      ...(echoes
        ? [
            ['missing', report.framesMissing],
            ['of pauses, left out', report.pausesLeftOut],
            ['ms by which words were shortened', report.wordsShortenedMs],
          ]
        : []),
      ['gaps over 40 ms', report.gaps],
      ['underruns', report.underruns],
    ],
  );
  const lines = [times, counts];
  if (handovers.count > 0) {
    lines.push(
      `hand-overs to another stream: ${handovers.count}` +
        (handovers.unheard > 0 ? `, ${handovers.unheard} of them without a sound` : ''),
    );
  }
  if (report.script !== undefined) lines.push(scriptLine(report.script));
  else lines.push(echoes ? proofLine(report) : 'no echo was expected, so round trips were not measured');
  if (echoes && report.delay !== undefined) lines.push(delayLine(report.delay));
  return lines.join('\n');
}

function timesRow(name: string, { count, p50Ms, p99Ms, p999Ms, maxMs }: Percentiles): string[] {
  return [name, ...[p50Ms, p99Ms, p999Ms, maxMs].map((value) => (count === 0 ? '–' : ms(value)))];
}

function scriptLine({ name, completed, failed, cutShort }: NonNullable<LoadReport['script']>): string {
  return `${name}: ${completed} callers came to its end, ${failed} could not, ${cutShort} were cut short`;
}

function delayLine({ beginMs, endMs, stalls, afterStallMs = 0 }: NonNullable<LoadReport['delay']>): string {
  const after =
    stalls === 0 ? '' : `; 3 s after the worst of ${stalls} stalls ${afterStallMs.toFixed(1)} ms more`;
  return `mouth to ear: ${beginMs.toFixed(1)} ms at the beginning, ${endMs.toFixed(1)} at the end${after}`;
}

function proofLine({ proof }: LoadReport): string {
  if (proof === undefined) return 'no call was recorded, so nothing proves that the audio came back';
  const { correlation, snrDb, gainDb } = proof.received;
  return (
    `what came back against what was said: correlation ${correlation.toFixed(4)}, SNR ${snrDb.toFixed(1)} dB, ` +
    `gain ${gainDb.toFixed(2)} dB; ${proof.heard.lagMs.toFixed(1)} ms from mouth to ear`
  );
}
