import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import wavefile from 'wavefile';
import { startControlled } from '../support/control.js';
import { checkAnswer, paths } from '../support/documented.js';
import { KEY } from '../support/leg.js';
import { tone } from '../support/media.js';
import { type Operation, type Request, send } from '../support/operations.js';
import { virtualTime } from '../support/time.js';

virtualTime();

const freed: (() => unknown)[] = [];
afterEach(() => {
  for (const free of freed.splice(0)) free();
});

const RECORDING = '/v1/calls/{callId}/recording';
const PLAY = '/v1/calls/{callId}/play';
/** Operations to perform first. */
const BEFORE: Record<string, Operation> = {
  [`get ${RECORDING}`]: { method: 'post', path: RECORDING },
  [`delete ${RECORDING}`]: { method: 'post', path: RECORDING },
  [`delete ${PLAY}`]: { method: 'post', path: PLAY },
};

const SUCCESSES = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).flatMap(([method, { responses }]) =>
    Object.entries(responses)
      .filter(([status]) => Number(status) < 300)
      .map(([status, { content = {} }]) => ({
        method,
        path,
        status: Number(status),
        isStream: 'text/event-stream' in content,
      })),
  ),
);

/** A directory with a second of sound. */
function directory(): string {
  const made = mkdtempSync(join(tmpdir(), 'trunkline-answers-'));
  freed.push(() => rmSync(made, { recursive: true }));
  const wav = new wavefile.WaveFile();
  wav.fromScratch(1, 8_000, '16', tone(600, 8_000, 8_000, 8_000) as unknown as number[]);
  writeFileSync(join(made, 'a.wav'), wav.toBuffer());
  return made;
}

it('every operation has one answer when all goes well', () => {
  const all = Object.values(paths).flatMap((methods) => Object.keys(methods));
  expect(SUCCESSES).toHaveLength(all.length);
});

it.each(SUCCESSES)('$method $path: $status', async ({ method, path, status, isStream }) => {
  const { url, place } = await startControlled(
    { playDir: directory(), recordDir: directory(), prepareCall: () => ({ room: 'desk' }) },
    { callee: { does: 'answer', afterMs: 10 } },
  );
  const { callId } = await place();
  if (isStream) {
    const gone = new AbortController();
    const headers = { authorization: `Bearer ${KEY}` };
    const response = await fetch(url + path, { headers, signal: gone.signal });
    expect([response.status, response.headers.get('content-type')]).toEqual([status, 'text/event-stream']);
    gone.abort();
    return;
  }
  const request: Request = { callId };
  const before = BEFORE[`${method} ${path}`];
  if (before !== undefined) expect((await send(url, before, request)).status).toBe(201);
  const answer = await send(url, { method, path }, request);
  expect([answer.status, answer.body.error]).toEqual([status, undefined]);
  checkAnswer(method, path, status, answer.body);
});
