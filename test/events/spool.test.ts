import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Spool } from '../../src/events/spool.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

let folder: string;
let directory: string;
let lines: string[];
const open: Spool[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'trunkline-spool-'));
  directory = join(folder, 'spool');
  lines = [];
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((spool) => spool.close()));
  rmSync(folder, { recursive: true });
});

/** Longer than any write takes. */
const WRITTEN_MS = 300;

function newSpool(maxBytes?: number): Spool {
  const log = pino({}, { write: (line) => lines.push(line) });
  const spool = new Spool(directory, log, clock, maxBytes);
  open.push(spool);
  return spool;
}

function opened(maxBytes?: number): Spool {
  const spool = newSpool(maxBytes);
  spool.open();
  return spool;
}

const eventOf = (n: number, padding = 0) =>
  JSON.stringify({ id: `e-${n}`, call: { callId: `c-${n % 2}` }, text: 'é'.repeat(padding) });
const add = (spool: Spool, n: number, padding?: number) => spool.add(`e-${n}`, eventOf(n, padding));
const files = () =>
  readdirSync(directory)
    .filter((name) => name !== 'lock')
    .sort()
    .map((name) => join(directory, name));
const only = () => files()[0] as string;
/** The directory as a killed process leaves it, opened by the next. */
const afterCrash = () => {
  const copy = join(folder, `copy-${Math.random()}`);
  mkdirSync(copy);
  for (const file of files()) writeFileSync(join(copy, file.slice(-19)), readFileSync(file));
  const spool = new Spool(copy, pino({}, { write: (line) => lines.push(line) }), clock);
  open.push(spool);
  return spool.open();
};
const idsOf = (events: readonly { id: string }[]) => events.map(({ id }) => id);

describe('a pending event', () => {
  it('is on disk within 200 ms, readable only by its owner, and there for the next process, in order', async () => {
    const spool = opened();
    for (let n = 0; n < 5; n++) add(spool, n);
    await sleep(200);
    expect(idsOf(afterCrash())).toEqual(['e-0', 'e-1', 'e-2', 'e-3', 'e-4']);
    expect(afterCrash()[3]).toEqual({ id: 'e-3', callId: 'c-1', json: eventOf(3) });
    expect(statSync(only()).mode & 0o777).toBe(0o600);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    spool.settle('e-1');
    spool.settle('e-3');
    await sleep(200);
    add(spool, 5);
    await sleep(200);
    expect(idsOf(afterCrash())).toEqual(['e-0', 'e-2', 'e-4', 'e-5']);
    await spool.close();
    expect(idsOf(opened().open())).toEqual([]);
  });

  it('survives any number of restarts until it is settled', async () => {
    const first = opened();
    for (let n = 0; n < 3; n++) add(first, n);
    await first.close();
    const second = newSpool();
    expect(idsOf(second.open())).toEqual(['e-0', 'e-1', 'e-2']);
    second.settle('e-1');
    await second.close();
    const third = newSpool();
    expect(idsOf(third.open())).toEqual(['e-0', 'e-2']);
    for (const id of ['e-0', 'e-2']) third.settle(id);
    await third.close();
    expect(files()).toEqual([]);
  });

  it('is never written if it is settled before', async () => {
    const spool = opened();
    for (let n = 0; n < 100; n++) add(spool, n);
    for (let n = 0; n < 100; n++) spool.settle(`e-${n}`);
    await sleep(WRITTEN_MS);
    expect(files()).toEqual([]);
    expect(spool.size).toBe(0);
  });
});

describe('a crash', () => {
  it('may cut the last line: it is skipped, and later ones go to another file', async () => {
    const spool = opened();
    for (let n = 0; n < 3; n++) add(spool, n);
    await spool.close();
    truncateSync(only(), statSync(only()).size - 10);
    const next = newSpool();
    expect(idsOf(next.open())).toEqual(['e-0', 'e-1']);
    add(next, 3);
    await next.close();
    expect(idsOf(newSpool().open())).toEqual(['e-0', 'e-1', 'e-3']);
  });

  it('may cut an event so that it looks like another’s end', async () => {
    const spool = opened();
    for (const n of [1, 12]) add(spool, n);
    await sleep(WRITTEN_MS);
    spool.settle('e-12');
    await sleep(WRITTEN_MS);
    await spool.close();
    const text = readFileSync(only(), 'utf8');
    expect(text.endsWith('-e-12\n')).toBe(true);
    truncateSync(only(), text.length - 2);
    expect(idsOf(newSpool().open())).toEqual(['e-1', 'e-12']);
  });

  it('may leave unreadable lines: they are reported, and the other events are delivered', async () => {
    const spool = opened();
    add(spool, 0);
    await spool.close();
    appendFileSync(only(), `\0\0\0\n{"id":7}\n${eventOf(1)}\n`);
    expect(idsOf(newSpool().open())).toEqual(['e-0', 'e-1']);
    expect(lines.join('')).toContain('"lines":2');
  });
});

describe('the disk', () => {
  it('holds no more than the limit; the rest waits in memory, which is reported once', async () => {
    const maxBytes = 20_000;
    const spool = opened(maxBytes);
    for (let n = 0; n < 100; n++) {
      add(spool, n, 500);
      if (n % 10 === 9) await sleep(1_100);
    }
    const most = files().reduce((sum, file) => sum + statSync(file).size, 0);
    expect(spool.bytes).toBe(most);
    // Everything from one turn is written at once.
    expect(most).toBeLessThan(maxBytes + 10 * 1_100);
    expect(spool.size).toBe(100);
    expect(lines.filter((line) => line.includes('cannot be written'))).toHaveLength(1);
    expect(spool.failures).toBeGreaterThan(1);
    expect(spool.holds('e-0')).toBe(true);
    expect(spool.holds('e-99')).toBe(false);
  });

  it('is freed: files without pending events are deleted, the oldest first', async () => {
    const spool = opened();
    for (let n = 0; n < 50; n++) {
      add(spool, n, 50_000);
      await sleep(200);
      if (n > 2) spool.settle(`e-${n - 2}`);
    }
    await sleep(WRITTEN_MS);
    // Five megabytes were written; the first event keeps them all.
    expect(spool.bytes).toBeGreaterThan(5_000_000);
    expect(idsOf(afterCrash())).toEqual(['e-0', 'e-48', 'e-49']);
    spool.settle('e-0');
    await eventually('the end of the old files', () => spool.bytes < 2 ** 21);
    expect(idsOf(afterCrash())).toEqual(['e-48', 'e-49']);
  });

  it('may fail for a while: that is reported once, and everything is written when it works again', async () => {
    const spool = opened();
    add(spool, 0);
    await sleep(WRITTEN_MS);
    // The open file continues; the next one is new.
    for (let n = 1; n < 30; n++) {
      add(spool, n, 20_000);
      await sleep(WRITTEN_MS);
    }
    renameSync(directory, `${directory}-away`);
    for (let n = 30; n < 60; n++) {
      add(spool, n, 20_000);
      await sleep(WRITTEN_MS);
    }
    expect(spool.failures).toBeGreaterThan(1);
    expect(spool.size).toBe(60);
    expect(spool.holds('e-59')).toBe(false);
    spool.settle('e-58');
    renameSync(`${directory}-away`, directory);
    await eventually('the last event', () => lines.some((line) => line.includes('written again')));
    expect(lines.filter((line) => line.includes('cannot be written'))).toHaveLength(1);
    expect(spool.holds('e-59')).toBe(true);
    expect(idsOf(afterCrash())).toEqual([...Array(60).keys()].filter((n) => n !== 58).map((n) => `e-${n}`));
  });

  it('gets no new file per attempt while it is full', async () => {
    const spool = opened();
    add(spool, 0);
    await sleep(WRITTEN_MS);
    const before = files();
    const handle = await openFile(only());
    await handle.close();
    const full = vi.spyOn(Object.getPrototypeOf(handle), 'appendFile');
    full.mockRejectedValue(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' }));
    try {
      add(spool, 1);
      await eventually('a few tries', () => spool.failures >= 4, 10_000);
      // The last one may still be there.
      expect(files().length).toBeLessThanOrEqual(before.length + 1);
    } finally {
      full.mockRestore();
    }
    await eventually('the event', () => lines.some((line) => line.includes('written again')));
    expect(idsOf(afterCrash())).toEqual(['e-0', 'e-1']);
  });
});

describe('the directory', () => {
  const TAKEN = expect.objectContaining({
    code: 'GW_SPOOL_TAKEN',
    message: expect.stringMatching(/^The spool ".*" belongs to another running gateway$/),
  });
  const codeOf = (open: () => unknown) => {
    try {
      open();
    } catch (error) {
      return error;
    }
    return undefined;
  };

  it('belongs to one gateway of a process', async () => {
    const first = opened();
    expect(codeOf(() => newSpool().open())).toEqual(TAKEN);
    await first.close();
    expect(codeOf(() => newSpool().open())).toBeUndefined();
  });

  describe('of another process', () => {
    let child: ChildProcess;
    beforeEach(async () => {
      const module = new URL('../../dist/events/directory-lock.js', import.meta.url).href;
      mkdirSync(directory);
      const script = `const { DirectoryLock } = await import(${JSON.stringify(module)});
        console.log(new DirectoryLock(${JSON.stringify(directory)}).acquire()); setInterval(() => {}, 1000)`;
      child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const [said] = await once(child.stdout as NodeJS.ReadableStream, 'data');
      expect(String(said)).toBe('true\n');
    });
    afterEach(() => child.kill('SIGKILL'));

    it('is rejected while the other process runs, and taken over when it was killed', async () => {
      expect(codeOf(() => newSpool().open())).toEqual(TAKEN);
      child.kill('SIGKILL');
      await once(child, 'exit');
      expect(codeOf(() => newSpool().open())).toBeUndefined();
    });

    it.runIf(process.platform === 'linux')(
      'is taken over if the process id is another process’s now, e.g. 1 in each container',
      () => {
        const lock = join(directory, 'lock');
        const [pid, birth] = readFileSync(lock, 'utf8').split(' ').map(Number);
        writeFileSync(lock, `${pid} ${Number(birth) - 1}`);
        expect(codeOf(() => newSpool().open())).toBeUndefined();
      },
    );
  });

  it.each(['', '999999999 7', `${process.pid} 7`])('is taken over if its lock contains %j', (text) => {
    mkdirSync(directory);
    writeFileSync(join(directory, 'lock'), text);
    expect(codeOf(() => newSpool().open())).toBeUndefined();
  });

  it('that cannot be created is an error', () => {
    writeFileSync(directory, 'a file');
    expect(codeOf(() => newSpool().open())).toMatchObject({
      code: 'GW_SPOOL_DIR',
      message: `Expected a directory to write to for EVENTS_SPOOL_DIR but received "${directory}"`,
    });
  });
});
