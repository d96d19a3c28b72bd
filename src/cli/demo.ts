import { randomBytes } from 'node:crypto';
import { Command, InvalidArgumentError } from 'commander';
import { createGateway, type GatewayStats } from '../gateway.js';
import { AudioSource } from '../simulator/audio.js';
import { FrameClock } from '../simulator/clock.js';
import { type MergedReport, mergeReports } from '../simulator/measurement.js';
import { SimulatedPhone } from '../simulator/phone.js';
import { Progress } from './progress.js';
import { table } from './table.js';

/** Nobody can own this name (RFC 2606): what is signed is a public URL, what is dialled is loopback. */
const PUBLIC_URL = 'https://gateway.invalid/demo';
/** Calls of which the audio is kept and compared; comparing takes half a second of CPU each. */
const PROVED_CALLS = 3;
const CALLS_A_SECOND = 20;
/** Speech that came back is the speech that was sent: µ-law twice and the filter leave more than this. */
const LEAST_CORRELATION = 0.98;

interface DemoFlags {
  readonly calls: number;
  readonly seconds: number;
  readonly record?: string;
  readonly json?: boolean;
}

/** `trunkline demo` */
export function demoCommand(): Command {
  return new Command('demo')
    .description('place simulated calls into a real gateway and prove that the audio comes back')
    .option('--calls <n>', 'calls at the same time', whole(1, 1000), 1)
    .option('--seconds <n>', 'length of each call', whole(1, 600), 8)
    .option('--record <file>', 'write what the first caller heard as WAV')
    .option('--json', 'print the report as JSON')
    .addHelpText('after', '\nExit code 1 when the audio did not come back whole.')
    .action(async (flags: DemoFlags) => {
      if (!(await runDemo(flags))) process.exitCode = 1;
    });
}

async function runDemo(flags: DemoFlags): Promise<boolean> {
  const accountSid = `AC${randomBytes(16).toString('hex')}`;
  const authToken = randomBytes(16).toString('hex');
  const gateway = createGateway({
    port: 0,
    publicUrl: PUBLIC_URL,
    twilio: { accountSid, authTokens: [authToken] },
    logLevel: 'warn',
  });
  const { url } = await gateway.listen();
  const clock = new FrameClock();
  const phones = Array.from(
    { length: flags.calls },
    (_, i) =>
      new SimulatedPhone({
        accountSid,
        authToken,
        from: '+15550001111',
        to: '+15552223333',
        webhookUrl: `${PUBLIC_URL}/twilio/voice`,
        dial: { publicUrl: PUBLIC_URL, target: url },
        clock,
        audio: AudioSource.speech(),
        record: i < PROVED_CALLS,
      }),
  );
  try {
    await hold(phones, flags);
    const reports = phones.flatMap(({ stream }) =>
      stream === undefined ? [] : [{ report: stream.report(), roundTrip: stream.roundTrip }],
    );
    const merged = mergeReports(reports);
    const stats = gateway.stats();
    const faults = faultsOf(flags, merged);
    if (flags.json)
      console.log(JSON.stringify({ calls: flags.calls, ...stats, phones: merged, faults }, null, 2));
    else print(flags, stats, merged, faults);
    if (flags.record !== undefined) phones[0]?.saveRecording(flags.record);
    return faults.length === 0;
  } finally {
    for (const phone of phones) phone.close();
    await gateway.close();
  }
}

/** Rings all phones one after the other, lets them talk, hangs up. */
async function hold(phones: readonly SimulatedPhone[], flags: DemoFlags): Promise<void> {
  const speech = AudioSource.speech();
  const what = `${phones.length} simulated ${phones.length === 1 ? 'call' : 'calls'} of ${speech.name}`;
  const progress = new Progress(what, flags.seconds + Math.floor(phones.length / CALLS_A_SECOND));
  const begun = performance.now();
  await Promise.all(
    phones.map(async (phone, i) => {
      await sleep((i * 1000) / CALLS_A_SECOND);
      phone.dial();
      await phone.started;
      await sleep(flags.seconds * 1000, () => progress.update((performance.now() - begun) / 1000));
      await phone.hangUp();
    }),
  );
  progress.stop();
}

/** Why the demo failed, if it did. */
function faultsOf(flags: DemoFlags, merged: MergedReport): string[] {
  const faults: string[] = [];
  const heard = merged.proof?.heard;
  if (merged.streams < flags.calls) faults.push(`${flags.calls - merged.streams} calls had no audio`);
  if (heard === undefined || heard.correlation < LEAST_CORRELATION) {
    faults.push(`the speech did not come back: correlation ${heard?.correlation.toFixed(3) ?? 'none'}`);
  }
  if (merged.framesMissing > 0) faults.push(`${merged.framesMissing} frames are missing`);
  if (merged.warnings.first !== undefined) faults.push(`protocol warning: ${merged.warnings.first.reason}`);
  return faults;
}

function print(flags: DemoFlags, stats: GatewayStats, merged: MergedReport, faults: readonly string[]): void {
  const { traffic, latency } = stats;
  const us = (value: number) => `${value.toFixed(1)} µs`;
  const ms = (value: number) => `${value.toFixed(2)} ms`;
  const dropped = traffic.droppedLead + traffic.droppedIntake + traffic.droppedBackpressure;
  const proof = merged.proof?.heard;
  console.log(
    table(
      [flags.calls === 1 ? 'one call' : `${flags.calls} calls`, 'median', 'p99'],
      [
        ['transcoding in (message → 48 kHz)', us(latency.transcodeIn.p50Us), us(latency.transcodeIn.p99Us)],
        [
          'transcoding out (48 kHz → message)',
          us(latency.transcodeOut.p50Us),
          us(latency.transcodeOut.p99Us),
        ],
        ['gateway, socket in → socket out', us(latency.gateway.p50Us), us(latency.gateway.p99Us)],
        ['round trip as the phone sees it', ms(merged.roundTrip.p50Ms), ms(merged.roundTrip.p99Ms)],
      ],
    ),
  );
  console.log(
    table(
      ['frames of 20 ms', 'count'],
      [
        ['sent by the phones', merged.framesSent],
        ['into the gateway', Math.round(traffic.framesIn)],
        ['out of the gateway', traffic.framesOut],
        ['missing at the phones', merged.framesMissing],
        ['dropped by the gateway', dropped],
        ['gaps over 40 ms', merged.gaps],
      ],
    ),
  );
  if (proof !== undefined) {
    console.log(
      `what was heard against what was said: correlation ${proof.correlation.toFixed(4)}, SNR ${proof.snrDb.toFixed(1)} dB, ` +
        `gain ${proof.gainDb.toFixed(2)} dB, ${proof.lagMs.toFixed(1)} ms from mouth to ear`,
    );
  }
  console.log(faults.length === 0 ? 'The speech came back whole.' : `FAILED: ${faults.join('; ')}`);
}

/** Waits; `tick` is called twice a second meanwhile. */
async function sleep(ms: number, tick: () => void = () => {}): Promise<void> {
  const until = performance.now() + ms;
  for (let left = ms; left > 0; left = until - performance.now()) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(left, 500)));
    tick();
  }
}

/** A commander parser for whole numbers within a range. */
export function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}
