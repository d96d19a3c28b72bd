import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { FromWorker } from '../../../src/bridge/stream/worker-messages.js';
import { leanOnly } from '../../support/rtc-native.js';

leanOnly();

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A media worker on a machine whose libopus cannot be opened: the first one it finds is none. */
function startWithoutOpus(stack: string, hasWrtc = true) {
  const folder = mkdtempSync(join(tmpdir(), 'without-opus-'));
  folders.push(folder);
  for (const name of ['libopus.so.0', 'libopus.0.dylib']) writeFileSync(join(folder, name), 'not a library');
  const without = join(folder, 'without-wrtc.cjs');
  writeFileSync(
    without,
    `const Module = require('node:module');
    const resolve = Module._resolveFilename;
    Module._resolveFilename = function (name, ...rest) {
      if (name === '@roamhq/wrtc') throw new Error('No libwebrtc');
      return resolve.call(this, name, ...rest);
    };`,
  );
  const worker = fork('dist/bridge/stream/media-worker.js', [stack], {
    env: { PATH: process.env.PATH, LD_LIBRARY_PATH: folder },
    execArgv: hasWrtc ? [] : ['--require', without],
    stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'ipc'],
  });
  let words = '';
  worker.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words += text;
  });
  return { worker, words: () => words };
}

it.runIf(process.platform === 'linux')(
  'without libopus a worker runs on libwebrtc and says why',
  async () => {
    const { worker } = startWithoutOpus('auto');
    const [message] = (await once(worker, 'message')) as [FromWorker];
    expect(message).toEqual({ type: 'ready', stack: 'wrtc', reason: expect.stringContaining('libopus0') });
    worker.send({ type: 'end' });
    await once(worker, 'exit');
  },
);

it.runIf(process.platform === 'linux')(
  'without libopus a worker of the lean stack alone ends at once',
  async () => {
    const { worker, words } = startWithoutOpus('lean');
    const [code] = await once(worker, 'close');
    expect(code).toBe(1);
    expect(words()).toContain('libopus is not installed: apt-get install libopus0');
  },
);

it.runIf(process.platform === 'linux')('without libopus and libwebrtc a worker names both', async () => {
  const { worker, words } = startWithoutOpus('auto', false);
  const [code] = await once(worker, 'close');
  expect(code).toBe(1);
  expect(words()).toContain(
    'The lean stack does not load either: libopus is not installed: apt-get install libopus0',
  );
  expect(words()).toContain('@roamhq/wrtc, which the Stream bridge needs, does not load');
});
