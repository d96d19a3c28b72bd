import { createHash } from 'node:crypto';
import { table } from '../src/cli/table.js';
import { chooseCore } from '../src/media/backend.js';
import type { Core } from '../src/media/core.js';
import { TRANSCODERS } from '../src/media/core.js';
import { machine, machineLine } from './machine.js';
import { plotCurves, plotField, writePlot } from './plot.js';
import { LINEAR, ours, speexAt } from './quality/contenders.js';
import type { Contender, Direction } from './quality/direction.js';
import {
  cutoffHz,
  gainDb,
  groupDelayMs,
  idleNoiseDb,
  keepsSilence,
  range,
  rippleDb,
  sinadDb,
  type Worst,
  worstAlias,
  worstImage,
} from './quality/measures.js';
import { writeResult } from './result.js';

const DELAYS_HZ = [300, 1_000, 2_000, 3_000, 3_400];

interface Row {
  readonly name: string;
  readonly direction: 'up' | 'down';
  readonly rippleDb: number;
  readonly cutoffHz: number;
  /** Worst image on the way up, worst alias on the way down. */
  readonly worst: Worst;
  readonly sinadDb: number;
  readonly delayMs: readonly number[];
  readonly idleNoiseDb: number;
  readonly keepsSilence: boolean;
}

/** What a phone and its listener get to hear of the filters: ours as they were built, and what else a Node program can use. */
export async function benchQuality(): Promise<void> {
  const at = machine();
  const { core, same } = backends();
  const contenders = [ours(core)];
  for (const quality of [3, 5, 7, 10]) contenders.push(await speexAt(quality));
  contenders.push(LINEAR);
  const rows = contenders.flatMap((contender) => [rowOf(contender, 'up'), rowOf(contender, 'down')]);

  console.log(`\nQuality of 8 ↔ 48 kHz, measured on 16-bit output (${machineLine(at)})`);
  console.log(`trunkline: the same bytes from ${same.join(', ')}\n`);
  const head = [
    '',
    '',
    'ripple dB',
    '-3 dB Hz',
    'image, alias dB',
    'SINAD dB',
    ...DELAYS_HZ.map((hz) => `ms at ${hz}`),
    'idle dBFS',
    'silence',
  ];
  console.log(table(head, rows.map(cellsOf)));
  writeResult('quality', { machine: at, sameBytes: same, delaysHz: DELAYS_HZ, rows });
  plot(contenders);
}

/** The core of this machine, and which backends give its bytes. One that gives others is an error. */
function backends(): { core: Core; same: string[] } {
  const noise = Int16Array.from(
    { length: 48_000 },
    (_, i) => ((Math.imul(i + 1, 2_654_435_761) >>> 16) - 32_768) | 0,
  );
  const found = TRANSCODERS.filter((name) => name.includes('-') && name !== 'native-debug').flatMap(
    (name) => {
      try {
        const { up, down } = ours(chooseCore(name));
        const hash = createHash('sha256').update(up.convert(noise)).update(down.convert(noise)).digest('hex');
        return [{ name, hash }];
      } catch {
        // Not of this processor, or not compiled.
        return [];
      }
    },
  );
  if (new Set(found.map(({ hash }) => hash)).size !== 1) {
    throw new Error(`Expected the same bytes from every backend but received ${JSON.stringify(found)}`);
  }
  return { core: chooseCore('auto'), same: found.map(({ name }) => name) };
}

function rowOf(contender: Contender, name: 'up' | 'down'): Row {
  const direction = contender[name];
  return {
    name: contender.name,
    direction: name,
    rippleDb: rippleDb(direction),
    cutoffHz: cutoffHz(direction),
    worst: name === 'up' ? worstImage(direction) : worstAlias(direction),
    sinadDb: sinadDb(direction),
    delayMs: DELAYS_HZ.map((hz) => groupDelayMs(direction, hz)),
    idleNoiseDb: idleNoiseDb(direction),
    keepsSilence: keepsSilence(direction),
  };
}

function cellsOf(row: Row): string[] {
  return [
    row.name,
    row.direction === 'up' ? '8 → 48' : '48 → 8',
    row.rippleDb.toFixed(4),
    row.cutoffHz.toFixed(0),
    `${row.worst.db.toFixed(1)} (${row.worst.toneHz} → ${row.worst.atHz} Hz)`,
    row.sinadDb.toFixed(1),
    ...row.delayMs.map((ms) => ms.toFixed(2)),
    row.idleNoiseDb.toFixed(1),
    row.keepsSilence ? 'kept' : 'lost',
  ];
}

function plot(contenders: readonly Contender[]): void {
  const kilohertz = (from: number, to: number, ticks: number[]) => ({ label: 'Hz', from, to, ticks });
  const level = { label: 'gain, dB', from: -120, to: 5, ticks: [-120, -100, -80, -60, -40, -20, 0] };
  const shown = contenders.filter(({ name }) => !name.endsWith('q5'));
  // A tone above 4 kHz comes out folded: its alias is what there is to see.
  const response = (direction: Direction, hz: number) =>
    hz < 4_000 ? gainDb(direction, hz) : worstOf(direction, hz);
  writePlot(
    'quality-response',
    plotCurves(
      'What of a tone at 48 kHz is left in 8 kHz (above 4 kHz: aliases)',
      kilohertz(0, 12_000, range(0, 12_000, 2_000)),
      level,
      shown.map(({ name, down }) => ({
        name,
        points: range(103, 11_953, 150).map((hz) => [hz, response(down, hz)] as const),
      })),
    ),
  );
  writePlot(
    'quality-delay',
    plotCurves(
      'Group delay, 8 to 48 kHz',
      kilohertz(200, 3_600, range(400, 3_600, 400)),
      { label: 'ms', from: 0, to: 17, ticks: range(0, 16, 2) },
      shown.map(({ name, up }) => ({
        name,
        points: range(200, 3_600, 100).map((hz) => [hz, groupDelayMs(up, hz)] as const),
      })),
    ),
  );
  for (const [file, contender] of [
    ['trunkline', contenders[0]],
    ['linear', LINEAR],
  ] as const) {
    writePlot(
      `quality-sweep-${file}`,
      plotField(
        `A sweep of 0 to 4 kHz at 48 kHz: ${contender?.name}`,
        { label: 'seconds', from: 0, to: 2, ticks: [0, 0.5, 1, 1.5, 2] },
        { label: 'kHz (black: -110 dB)', from: 0, to: 24, ticks: range(0, 24, 4) },
        spectrogram((contender as Contender).up),
      ),
    );
  }
}

function worstOf(direction: Direction, hz: number): number {
  const alias = Math.abs(hz - 8_000 * Math.round(hz / 8_000));
  return gainDb(direction, hz, alias);
}

/** Levels of 120 bands from 24 kHz down to 0, in 200 columns: 0 is -110 dB, 1 full scale. */
function spectrogram(up: Direction): number[][] {
  const [seconds, columns, bands, window] = [2, 200, 120, 480];
  const sweep = Int16Array.from({ length: 8_000 * seconds }, (_, n) => {
    const t = n / 8_000;
    return 29_000 * Math.sin(2 * Math.PI * (4_000 / seconds / 2) * t * t);
  });
  const out = up.convert(sweep);
  const hann = Float64Array.from(
    { length: window },
    (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / window),
  );
  return range(0, bands - 1, 1).map((band) => {
    const hz = 24_000 * (1 - (band + 0.5) / bands);
    return range(0, columns - 1, 1).map((column) => {
      const begin = Math.floor((column * (out.length - window)) / (columns - 1));
      let [re, im] = [0, 0];
      for (let n = 0; n < window; n++) {
        const value = (out[begin + n] as number) * (hann[n] as number);
        re += value * Math.cos((2 * Math.PI * hz * n) / 48_000);
        im += value * Math.sin((2 * Math.PI * hz * n) / 48_000);
      }
      const db = 20 * Math.log10(Math.max((4 / window) * Math.hypot(re, im), 1e-3) / 29_000);
      return Math.max(0, 1 + db / 110);
    });
  });
}
