import { table } from '../src/cli/table.js';
import { createTranscoder, pcmToMulaw } from '../src/index.js';
import { machine, machineLine } from './machine.js';
import { NaivePipeline } from './naive.js';
import { writeResult } from './result.js';

const STREAM_SID = `MZ${'a1'.repeat(16)}`;
const WARM_UP_ROUNDS = 5;
const ROUNDS = 60;
const FRAMES_A_ROUND = 250;

interface Contender {
  readonly name: string;
  readonly direction: 'in' | 'out';
  /** Nanoseconds of every measured frame. */
  readonly times: number[];
  readonly run: (i: number) => void;
}

/** Per-frame latency of both directions, ours against the naive pipeline, taking turns within one run. */
export async function benchTranscode(): Promise<void> {
  await NaivePipeline.ready();
  const messages = mediaMessages(50);
  const pcm = speechLikePcm(50);
  const ours = createTranscoder();
  ours.bind(STREAM_SID);
  const naive = new NaivePipeline();
  const frame = (i: number) => pcm[i % pcm.length] as Int16Array;
  const message = (i: number) => messages[i % messages.length] as ArrayBuffer;
  const contenders: Contender[] = [
    { name: 'trunkline', direction: 'in', times: [], run: (i) => ours.receive(message(i)) },
    { name: 'naive', direction: 'in', times: [], run: (i) => naive.receive(message(i)) },
    { name: 'trunkline', direction: 'out', times: [], run: (i) => ours.transmit(frame(i)) },
    { name: 'naive', direction: 'out', times: [], run: (i) => naive.transmit(frame(i), STREAM_SID) },
  ];
  if (ours.receive(message(0)) !== 960) throw new Error('the fast path refused a message');

  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
    for (const { run, times } of contenders) {
      for (let i = 0; i < FRAMES_A_ROUND; i++) {
        const begun = performance.now();
        run(i);
        const took = (performance.now() - begun) * 1e6;
        if (round >= WARM_UP_ROUNDS) times.push(took);
      }
    }
  }
  ours.close();
  report(contenders);
}

function report(contenders: readonly Contender[]): void {
  const at = machine();
  console.log(`\nTranscoding one 20 ms frame, microseconds (${machineLine(at)})`);
  console.log(`naive: JSON.parse, Buffer, table, npm speex-resampler quality ${NaivePipeline.quality}\n`);
  const rows = contenders.map(({ name, direction, times }) => {
    const sorted = times.toSorted((a, b) => a - b);
    const at = (q: number) =>
      (sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] as number) / 1e3;
    return { direction, name, frames: sorted.length, medianUs: at(0.5), p99Us: at(0.99), p999Us: at(0.999) };
  });
  const ratios = rows.map((row) => {
    const naive = rows.find((other) => other.name === 'naive' && other.direction === row.direction);
    return (naive?.medianUs ?? row.medianUs) / row.medianUs;
  });
  const lines = rows.map((row, i) => {
    const label = row.direction === 'in' ? 'message → 48 kHz' : '48 kHz → message';
    const figures = [row.medianUs, row.p99Us, row.p999Us].map((us) => us.toFixed(2));
    return [label, row.name, ...figures, (ratios[i] as number).toFixed(1)];
  });
  console.log(table(['direction', 'pipeline', 'median', 'p99', 'p99.9', 'times faster'], lines));
  writeResult('transcode', { machine: at, rows: rows.map((row, i) => ({ ...row, timesFaster: ratios[i] })) });
}

/** Messages as Twilio writes them, in memory of their own like a socket's. */
function mediaMessages(count: number): ArrayBuffer[] {
  const audio = speechLike(count * 160);
  return Array.from({ length: count }, (_, i) => {
    const payload = Buffer.from(pcmToMulaw(audio.subarray(i * 160, (i + 1) * 160))).toString('base64');
    const media = { track: 'inbound', chunk: String(i + 1), timestamp: String(i * 20), payload };
    const text = JSON.stringify({
      event: 'media',
      sequenceNumber: String(i + 2),
      media,
      streamSid: STREAM_SID,
    });
    return new TextEncoder().encode(text).buffer as ArrayBuffer;
  });
}

function speechLikePcm(count: number): Int16Array[] {
  const audio = speechLike(count * 960);
  return Array.from({ length: count }, (_, i) => audio.slice(i * 960, (i + 1) * 960));
}

/** Noise with a slow envelope: neither silence nor a pattern that a branch predictor could learn. */
function speechLike(length: number): Int16Array {
  let seed = 7;
  return Int16Array.from({ length }, (_, n) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (((seed >>> 16) - 32_768) * (1 + Math.sin(n / 900))) / 4;
  });
}
