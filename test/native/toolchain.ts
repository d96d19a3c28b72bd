import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { TestContext } from 'vitest';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Objects outlive a run and are shared by test files: each is named by all that it was made of. */
const OBJECTS = join(ROOT, 'node_modules/.cache/trunkline-objects');

const listed = (suffix: string) =>
  ['native', 'native/kernels'].flatMap((folder) =>
    readdirSync(join(ROOT, folder))
      .filter((name) => name.endsWith(suffix))
      .map((name) => `${folder}/${name}`),
  );
/** The core without its two faces, whose kernels for other processors are empty. */
export const CORE = listed('.cc').filter((source) => source !== 'native/addon.cc');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

const hash = (parts: readonly string[]) =>
  createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 32);

const execute = promisify(execFile);
let idle = availableParallelism();
const waiting: (() => void)[] = [];

/** Runs a command when a processor is free. */
async function run(command: string, args: readonly string[], env = process.env) {
  if (idle > 0) idle--;
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return await execute(command, args, { cwd: ROOT, env, maxBuffer: 2 ** 26 });
  } finally {
    const next = waiting.shift();
    if (next) next();
    else idle++;
  }
}

/** A compiler with its flags, and what runs its programs. */
export class Toolchain {
  private trouble: Promise<string> | undefined;
  private readonly compiled = new Map<string, Promise<string>>();

  constructor(
    private readonly name: string,
    private readonly compiler: string,
    private readonly flags: readonly string[],
    /** The Debian packages it comes in. */
    private readonly packages: string,
    private readonly options: {
      /** Runs the programs, if this machine cannot; null if nothing does. */
      readonly emulator?: string | null;
      /** The least program. */
      readonly trial?: string;
    } = {},
  ) {}

  /** Skips a test where the tools do not do what it needs of them. CI has them all: there it fails. */
  async need(context: TestContext): Promise<void> {
    this.trouble ??= this.tryOut();
    const trouble = await this.trouble;
    if (trouble === '') return;
    const advice = `Skipped: tests that need ${this.name} (apt-get install ${this.packages})`;
    if (process.env.CI) throw new Error(`${advice}\n${trouble}`);
    console.warn(advice);
    context.skip(advice);
  }

  /** Whether it makes programs that run; what is wrong, if not. A version that it can tell says nothing of its libraries. */
  private async tryOut(): Promise<string> {
    const work = mkdtempSync(join(tmpdir(), 'trunkline-trial-'));
    const source = join(work, 'trial.cc');
    writeFileSync(source, this.options.trial ?? 'int main() { return 0; }\n');
    try {
      const program = await this.make(join(work, 'trial'), [source]);
      // Used by fuzzers only, which would run forever.
      if (this.options.emulator !== null) await this.run(program, ['-runs=1']);
      return '';
    } catch (error) {
      return String(error);
    } finally {
      rmSync(work, { recursive: true });
    }
  }

  /** The core's objects, `except` of some sources. */
  core(except: readonly string[] = []): Promise<string[]> {
    return Promise.all(
      CORE.filter((source) => !except.includes(source)).map((source) => this.object(source)),
    );
  }

  private object(source: string): Promise<string> {
    const made = this.compiled.get(source) ?? this.compile(source);
    this.compiled.set(source, made);
    return made;
  }

  private async compile(source: string): Promise<string> {
    const { stdout: version } = await run(this.compiler, ['--version']);
    const folder = join(OBJECTS, hash([version, ...this.flags]));
    const name = basename(source, '.cc');
    const object = join(folder, `${name}-${hash([source, ...listed('.h')].map(read))}.o`);
    if (existsSync(object)) return object;
    mkdirSync(folder, { recursive: true });
    const unfinished = join(folder, randomUUID());
    await run(this.compiler, [...WARNINGS, ...this.flags, '-c', source, '-o', unfinished]);
    // What it was before is of no use any more.
    for (const old of readdirSync(folder))
      if (old.startsWith(`${name}-`)) rmSync(join(folder, old), { force: true });
    renameSync(unfinished, object);
    return object;
  }

  /** Compiles and links. */
  async make(output: string, inputs: readonly string[], flags: readonly string[] = []): Promise<string> {
    await run(this.compiler, [...WARNINGS, ...this.flags, ...flags, ...inputs, '-o', output]);
    return output;
  }

  /** Links a program of this folder with the core. */
  async program(work: string, name: string): Promise<string> {
    return this.make(join(work, randomUUID()), [`test/native/${name}.cc`, ...(await this.core())]);
  }

  run(program: string, args: readonly string[], env?: NodeJS.ProcessEnv) {
    const { emulator } = this.options;
    return emulator ? run(emulator, [program, ...args], env) : run(program, args, env);
  }
}

const WARNINGS = ['-std=c++17', '-Wall', '-Wextra'];
const SANITIZERS = ['-O1', '-g1', '-fno-omit-frame-pointer', '-fno-sanitize-recover=all'];

export const GCC = new Toolchain('GCC', 'g++', ['-O3'], 'g++');
export const CLANG = new Toolchain('clang', 'clang++-16', ['-O3'], 'clang-16');
/** Position independent, so that the addon can be made of the same objects. */
export const SANITIZED = new Toolchain(
  'GCC with sanitizers',
  'g++',
  [...SANITIZERS, '-fsanitize=address,undefined,float-cast-overflow', '-fPIC', '-fvisibility=hidden'],
  'g++',
);
export const ARM = new Toolchain(
  'GCC for ARM, or qemu',
  'aarch64-linux-gnu-g++',
  ['-O2', '-static'],
  'g++-aarch64-linux-gnu qemu-user',
  { emulator: 'qemu-aarch64' },
);
export const FUZZER = new Toolchain(
  'libFuzzer of clang',
  'clang++-16',
  [...SANITIZERS, '-fsanitize=fuzzer,address,undefined'],
  'clang-16 libclang-rt-16-dev',
  { trial: 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' },
);
/**
 * The modules have their own script; this only says whether there is all that it needs. Another distribution's clang may give
 * other bytes, and be as right.
 */
export const WASM = new Toolchain(
  'clang for WebAssembly',
  'clang++-16',
  ['--target=wasm32-wasi', '-fno-exceptions', '-isystem/usr/lib/llvm-16/include/wasm32-wasi/c++/v1'],
  'clang-16 lld-16 wasi-libc libc++-16-dev-wasm32 libclang-rt-16-dev-wasm32',
  {
    emulator: null,
    trial: `#include <algorithm>
static_assert(__VERSION__[0] == 'D', "Debian's clang");
int main(int count, char**) { return std::min(count, 0); }
`,
  },
);
