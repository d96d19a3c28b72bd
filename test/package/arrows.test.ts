import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const SRC = fileURLToPath(new URL('../../src', import.meta.url));
/** What any room may import. */
const GROUND = ['errors.ts', 'clock.ts', 'telemetry'];

/** Every import from one file of `src` to another. */
const arrows = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .flatMap((from) =>
    [...readFileSync(join(SRC, from), 'utf8').matchAll(/\b(?:from|import\()\s*'(\.[^']+)\.js'/g)].map(
      ([, path]) => ({ from, to: relative(SRC, join(SRC, dirname(from), `${path}.ts`)) }),
    ),
  );
const isWithin = (file: string, room: string) => file === room || file.startsWith(`${room}/`);

it.each([
  ['media', []],
  ['twilio', []],
  ['http/transport', []],
  ['http/transport/node', ['http/transport']],
  ['http/transport/uws', ['http/transport']],
])('src/%s imports nothing that stands above it or beside it', (room, below) => {
  const own = arrows.filter(({ from }) => isWithin(from, room));
  expect(own.length).toBeGreaterThan(3);
  const rooms = [...GROUND, room];
  const isBelow = (to: string) =>
    rooms.some((each) => isWithin(to, each)) || below.some((each) => dirname(to) === each);
  expect(own.filter(({ to }) => !isBelow(to))).toEqual([]);
});
