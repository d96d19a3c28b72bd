import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../support/needs.js';
import { ROOT, SANITIZED } from './toolchain.js';

const SOURCES = ['certificate', 'dtls', 'opus', 'srtp'] as const;
type Source = (typeof SOURCES)[number];

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'trunkline-rtc-sanitized-'));
});
afterAll(() => rmSync(work, { recursive: true }));

const hasLibraries = needs('OpenSSL for C', 'apt-get install libssl-dev libopus0', () => {
  const { status } = spawnSync('g++', [
    '-fsyntax-only',
    '-x',
    'c++',
    '-include',
    'openssl/ssl.h',
    '/dev/null',
  ]);
  return status === 0;
});

const objects = new Map<string, Promise<string>>();
/** The machine's own OpenSSL instead of Node's; of Node only the header of libuv. */
function object(file: string): Promise<string> {
  const { nodedir } = JSON.parse(
    readFileSync(join(ROOT, 'build/config.gypi'), 'utf8').replace(/^#.*/, ''),
  ).variables;
  const flags = [
    '-c',
    '-Inative/rtc',
    '-idirafter',
    `${nodedir}/include/node`,
    '-DOPENSSL_SUPPRESS_DEPRECATED',
  ];
  const output = join(work, `${file.replaceAll('/', '_')}.o`);
  const made = objects.get(file) ?? SANITIZED.make(output, [file], flags);
  objects.set(file, made);
  return made;
}

async function build(name: string, instead: Partial<Record<Source, string>> = {}): Promise<string> {
  const files = [
    'test/native/rtc-hostile.cc',
    ...SOURCES.map((source) => instead[source] ?? `native/rtc/${source}.cc`),
  ];
  const libraries = ['-Wl,--no-as-needed', '-lssl', '-lcrypto', '-ldl'];
  return SANITIZED.make(join(work, name), await Promise.all(files.map(object)), libraries);
}

async function faults(program: string, runs: number): Promise<string> {
  const seed = Date.now() % 2 ** 31;
  const { stdout, stderr }: { stdout: string; stderr: string } = await SANITIZED.run(program, [
    `${seed}`,
    `${runs}`,
  ]).catch((error) => error);
  return stderr.trim() ? `seed ${seed}: ${stderr}` : stdout.trim();
}

describe.runIf(hasLibraries)(
  'DTLS, SRTP and Opus with AddressSanitizer and UndefinedBehaviorSanitizer',
  {
    timeout: 10 * 60_000,
  },
  () => {
    it('survive what a peer may send', async (context) => {
      await SANITIZED.need(context);
      expect(await faults(await build('hostile'), 100)).toMatch(/^all( but Opus)?$/);
    });

    it.for([
      ['reads behind a header', 'srtp', 'if (length < header + 4) return 0;', '', /heap-buffer-overflow/],
      [
        'seals behind the room',
        'srtp',
        'Write32(rollover, static_cast<uint32_t>(index >> 16));\n    out_',
        'tag[10] = 0;\n    Write32(rollover, 0);\n    out_',
        /heap-buffer-overflow/,
      ],
      [
        'forgets a certificate',
        'dtls',
        'X509_free(certificate);',
        '',
        /LeakSanitizer: detected memory leaks/,
      ],
      [
        'leaves an error behind',
        'dtls',
        '~ErrorScope() { ERR_clear_error(); }',
        '~ErrorScope() {}',
        /Property failed/,
      ],
      [
        'decodes more than there is room for',
        'opus',
        'room < MaxSamples() ? room : MaxSamples()',
        'MaxSamples()',
        /Property failed: no more/,
      ],
    ] as const)('are caught when one %s', async ([, name, from, to, fault], context) => {
      await SANITIZED.need(context);
      const source = readFileSync(join(ROOT, `native/rtc/${name}.cc`), 'utf8');
      expect(source).toContain(from);
      const file = join(work, `${name}-${source.indexOf(from)}.cc`);
      writeFileSync(file, source.replaceAll(from, to));
      expect(
        await faults(await build(`mutant-${name}-${source.indexOf(from)}`, { [name]: file }), 20),
      ).toMatch(fault);
    });
  },
);
