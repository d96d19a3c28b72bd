import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { table } from '../src/cli/table.js';
import { AudioSource, PHONE_RATE } from '../src/simulator/index.js';
import { amplitudeAt } from '../test/support/media.js';
import { machine, machineLine } from './machine.js';
import { watchProcess } from './processor.js';
import { writeResult } from './result.js';
import { StreamSetup } from './stream-setup.js';

/** What the answer to a phone's offer says of Opus, and of the media line. */
interface Variant {
  readonly name: string;
  readonly fmtp: string;
  readonly lines?: string;
  /** Attributes taken out of the answer. */
  readonly without?: string;
}

const USUAL = 'minptime=10;useinbandfec=1';
const NARROW = `${USUAL};maxplaybackrate=8000`;
/** As Stream answers, as we ship, and what else was tried. */
const VARIANTS: readonly Variant[] = [
  { name: 'as Stream answers (full band)', fmtp: USUAL },
  { name: 'maxplaybackrate=8000 (shipped)', fmtp: NARROW },
  { name: 'maxplaybackrate=16000', fmtp: `${USUAL};maxplaybackrate=16000` },
  { name: 'narrowband, sprop-maxcapturerate=8000', fmtp: `${NARROW};sprop-maxcapturerate=8000` },
  { name: 'narrowband, stereo=0', fmtp: `${NARROW};stereo=0` },
  { name: 'narrowband, 24 kb/s', fmtp: `${NARROW};maxaveragebitrate=24000` },
  { name: 'narrowband, 12 kb/s', fmtp: `${NARROW};maxaveragebitrate=12000` },
  { name: 'narrowband, without FEC', fmtp: 'minptime=10;maxplaybackrate=8000' },
  { name: 'narrowband, DTX', fmtp: `${NARROW};usedtx=1` },
  { name: 'narrowband, CBR', fmtp: `${NARROW};cbr=1` },
  { name: 'narrowband, 40 ms packets', fmtp: NARROW, lines: 'a=ptime:40\r\n' },
  { name: 'narrowband, 60 ms packets', fmtp: NARROW, lines: 'a=ptime:60\r\n' },
  { name: 'narrowband, no transport-cc', fmtp: NARROW, without: 'rtcp-fb' },
];
const CALLS = 20;
const ROUNDS = 2;
const WARM_UP_MS = 3_000;
const SPEECH = AudioSource.speech().pcm;
const THIRDS_HZ = [315, 400, 500, 630, 800, 1_000, 1_250, 1_600, 2_000, 2_500, 3_150];

interface Run {
  readonly worker: number;
  readonly encoder: number;
  /** Largest difference of what was heard to what was said in any third of an octave, 300 to 3,400 Hz, in dB. */
  readonly band: number;
}

/** What the SDP of a phone's answer can save. Variants take turns, so that the machine's moods reach all alike. */
export async function benchStreamSdp(): Promise<void> {
  const at = machine();
  console.log(`\nWhat SDP can save, ${CALLS} calls that say speech (${machineLine(at)})\n`);
  const runs = new Map<string, Run[]>(VARIANTS.map(({ name }) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const variant of VARIANTS) {
      runs.get(variant.name)?.push(await run(variant));
      process.stderr.write('.');
    }
  }
  process.stderr.write('\n');
  const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] as number;
  const rows = [...runs].map(([name, of]) => ({
    name,
    workerPerCall: median(of.map(({ worker }) => worker / CALLS)),
    encoderPerCall: median(of.map(({ encoder }) => encoder / CALLS)),
    bandDb: median(of.map(({ band }) => band)),
  }));
  const percent = (share: number) => `${(share * 100).toFixed(2)} %`;
  console.log(
    table(
      ['the answer says', 'worker CPU a call', 'encoder a call', 'largest change of a band, dB'],
      rows.map((row) => [
        row.name,
        percent(row.workerPerCall),
        percent(row.encoderPerCall),
        row.bandDb.toFixed(1),
      ]),
    ),
  );
  writeResult('stream-sdp', { machine: at, calls: CALLS, rounds: ROUNDS, rows });
}

async function run(variant: Variant): Promise<Run> {
  const folder = mkdtempSync(join(tmpdir(), 'sdp-'));
  const preload = join(folder, 'variant.mjs');
  writeFileSync(preload, program(variant));
  const setup = await StreamSetup.start('wrtc', preload);
  try {
    await setup.call(CALLS);
    await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
    // One whole turn of the speech: its spectrum then does not depend on where it begins.
    const watched = await watchProcess(await setup.worker(), (SPEECH.length / PHONE_RATE) * 1000);
    const heard = setup.phones[0]?.heard().slice(-SPEECH.length) ?? new Int16Array();
    return {
      worker: watched.total,
      encoder: watched.threads.find(([name]) => name.startsWith('AudioEncoder'))?.[1] ?? 0,
      band: largestChange(heard),
    };
  } finally {
    await setup.close();
    rmSync(folder, { recursive: true });
  }
}

/** A module that workers load first: it answers in the place of what we ship. */
function program({ fmtp, lines = '', without }: Variant): string {
  return `
const timer = setInterval(() => {
  const mended = globalThis.RTCPeerConnection;
  if (mended === undefined) return;
  clearInterval(timer);
  const original = Object.getPrototypeOf(mended.prototype).setRemoteDescription;
  mended.prototype.setRemoteDescription = function (description) {
    if (description.type !== 'answer') return original.call(this, description);
    let sdp = description.sdp.replace(/a=fmtp:111 .*\\r\\n/g, ${JSON.stringify(`a=fmtp:111 ${fmtp}\r\n`)});
    ${without === undefined ? '' : `sdp = sdp.replace(/a=${without}.*\\r\\n/g, '');`}
    return original.call(this, { type: 'answer', sdp: sdp + ${JSON.stringify(lines)} });
  };
}, 1);
timer.unref();
`;
}

function largestChange(heard: Int16Array): number {
  const said = thirds(SPEECH);
  return Math.max(...thirds(heard).map((level, i) => Math.abs(level - (said[i] as number))));
}

/** Levels of thirds of an octave in dB, each from several frequencies within, over pieces of 64 ms. */
function thirds(pcm: Int16Array): number[] {
  const length = 512;
  return THIRDS_HZ.map((centre) => {
    let power = 0;
    for (let at = 0; at + length <= pcm.length; at += length) {
      for (const ratio of [0.93, 0.97, 1, 1.03, 1.07]) {
        power += amplitudeAt(centre * ratio, PHONE_RATE, pcm.subarray(at, at + length)) ** 2;
      }
    }
    return 10 * Math.log10(power / Math.floor(pcm.length / length) + 1e-9);
  });
}
