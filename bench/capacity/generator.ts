import { type ChildProcessByStdio, execFileSync, spawn, spawnSync } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { AudioSource, FRAME_BYTES } from '../../src/simulator/index.js';

const SOURCE = fileURLToPath(new URL('../native/generator.cc', import.meta.url));
const ANSWER_MS = 30_000;
const TLS_FLAGS = ['-DGENERATOR_TLS'];
const TLS_LIBRARIES = ['-lssl', '-lcrypto'];
/** Quieter than this is a pause: -36 dBFS, more than the gateway says of one. */
const WORD = 32_768 * 10 ** (-36 / 20);

/** One call as the generator dials it, with the signature of its upgrade. */
export interface Order {
  /** Over TLS; default false. */
  readonly isSecure?: boolean;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly publicHost: string;
  readonly signature: string;
  readonly callSid: string;
  readonly accountSid: string;
  readonly streamSid: string;
}

/** One call through a media proxy as the generator sends its RTP: ports on loopback. */
export interface RtpOrder {
  /** Of the phone, and what the proxy gave to it. */
  readonly near: number;
  readonly proxyForNear: number;
  /** Of the one it talks to, who sends everything back, and what the proxy gave to that one. */
  readonly far: number;
  readonly proxyForFar: number;
}

interface Times {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

export interface Progress {
  readonly streaming: number;
  /** Calls whose stream never began, and calls whose stream was ended by the server. */
  readonly failed: number;
  readonly lost: number;
  readonly firstError: string;
}

/** What the phones saw of the frames that they sent during the hold. */
export interface GeneratorReport extends Progress {
  readonly heldMs: number;
  readonly sent: number;
  readonly received: number;
  readonly missing: number;
  /** Frames not sent because the socket took none or 5 s of them were under way. */
  readonly discarded: number;
  readonly unexpected: number;
  readonly roundTrip: Times;
  /** How late frames left. */
  readonly lateness: Times;
  /** Round trips' p99 of each second. */
  readonly p99OfSeconds: readonly number[];
  /** Share of one core. */
  readonly cpu: number;
  /** Version and cipher of TLS; empty without. */
  readonly tls: string;
}

interface Events {
  ready: object;
  progress: Progress;
  settled: { readonly lost: number; readonly quiet: boolean };
  holding: object;
  report: GeneratorReport;
  stopped: object;
}

/** The generator's program and what its phones say, in a folder of their own. */
export class GeneratorProgram {
  private constructor(
    private readonly folder: string,
    readonly path: string,
    readonly audio: string,
  ) {}

  /** Whether it can be compiled and run here. */
  static isPossible(): boolean {
    return process.platform === 'linux' && spawnSync('g++', ['--version']).status === 0;
  }

  /** Whether it can dial `wss`: needs the headers of OpenSSL (libssl-dev). */
  static speaksTls(): boolean {
    const include = '#include <openssl/ssl.h>\n';
    return spawnSync('g++', ['-E', '-x', 'c++', '-'], { input: include, stdio: 'pipe' }).status === 0;
  }

  /** @throws Error where g++ does not take it, with what it says */
  static compile(flags: readonly string[] = ['-O2']): GeneratorProgram {
    const folder = mkdtempSync(join(tmpdir(), 'trunkline-generator-'));
    const [path, audio] = [join(folder, 'generator'), join(folder, 'speech.txt')];
    try {
      const warnings = ['-Wall', '-Wextra', '-Werror'];
      const [tls, libraries] = GeneratorProgram.speaksTls() ? [TLS_FLAGS, TLS_LIBRARIES] : [[], []];
      const all = ['-std=c++17', ...warnings, ...flags, ...tls, SOURCE, '-o', path, ...libraries];
      execFileSync('g++', all, { stdio: 'pipe' });
      writeFileSync(audio, `${wordsOf(AudioSource.speech()).join('\n')}\n`);
      return new GeneratorProgram(folder, path, audio);
    } catch (error) {
      rmSync(folder, { recursive: true });
      throw error;
    }
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/**
 * Its frames that are words, by their root mean square. The gateway may leave out those of pauses, after which these phones would
 * take every echo for that of a frame before: they count.
 */
export function wordsOf({ payloads, pcm }: AudioSource): string[] {
  return payloads.filter((_, frame) => {
    const samples = pcm.subarray(frame * FRAME_BYTES, (frame + 1) * FRAME_BYTES);
    return samples.reduce((energy, sample) => energy + sample * sample, 0) > WORD ** 2 * samples.length;
  });
}

/** A crowd of phones in its own process: bench/native/generator.cc. */
export class Generator extends EventEmitter {
  /** The last command sent to it. */
  progress: Progress = { streaming: 0, failed: 0, lost: 0, firstError: '' };
  private readonly exited: Promise<never>;

  private constructor(private readonly child: ChildProcessByStdio<Writable, Readable, null>) {
    super();
    this.exited = once(child, 'exit').then(([code, signal]) => {
      throw new Error(`Expected an answer from the generator but it ended with ${code ?? signal}`);
    });
    this.exited.catch(() => {});
    // A command to one that has ended is answered by its end.
    child.stdin.on('error', () => {});
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { event, ...rest } = JSON.parse(line) as { event: keyof Events };
      if (event === 'progress') this.progress = rest as Progress;
      this.emit(event, rest);
    });
  }

  /**
   * @param phones how many there may be: their frames are spread over the 20 ms
   * @param ciphers of TLS, as OpenSSL names them, joined by colons: those of 1.3, or those of 1.2, which is then the only
   *   version; default OpenSSL's own list
   */
  static async start(
    program: GeneratorProgram,
    phones: number,
    core?: number,
    ciphers?: string,
  ): Promise<Generator> {
    return Generator.run(program, phones, core, ciphers);
  }

  /** Phones that speak RTP: see `callRtp`. */
  static async startRtp(program: GeneratorProgram, phones: number, core?: number): Promise<Generator> {
    return Generator.run(program, phones, core, 'rtp');
  }

  private static async run(
    program: GeneratorProgram,
    phones: number,
    core: number | undefined,
    last: string | undefined,
  ): Promise<Generator> {
    const run = [program.path, program.audio, String(phones), ...(last === undefined ? [] : [last])];
    const [command = '', ...args] = core === undefined ? run : ['taskset', '-c', String(core), ...run];
    const generator = new Generator(spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] }));
    await generator.next('ready');
    return generator;
  }

  call(order: Order): void {
    const { isSecure = false, host, port, path, publicHost, signature } = order;
    const { callSid, accountSid, streamSid } = order;
    const scheme = isSecure ? 'wss' : 'ws';
    this.say(
      ['call', scheme, host, port, path, publicHost, signature, callSid, accountSid, streamSid].join(' '),
    );
  }

  callRtp({ near, proxyForNear, far, proxyForFar }: RtpOrder): void {
    this.say(['call', near, proxyForNear, far, proxyForFar].join(' '));
  }

  /** Waits until so many calls stream or failed. */
  async connected(calls: number): Promise<Progress> {
    while (this.progress.streaming + this.progress.failed + this.progress.lost < calls)
      await this.next('progress');
    return this.progress;
  }

  /** Mutes all phones until no echo arrives: lost frames are then known, and pairs are right again. */
  async settle(): Promise<Events['settled']> {
    return this.ask('settle', 'settled');
  }

  async hold(): Promise<void> {
    await this.ask('hold', 'holding');
  }

  async endHold(): Promise<GeneratorReport> {
    return this.ask('end', 'report');
  }

  /** Hangs up everywhere. */
  async stop(): Promise<void> {
    await this.ask('stop', 'stopped');
  }

  /** Ends the process, without a word to anybody. */
  kill(): void {
    this.child.kill('SIGKILL');
  }

  private ask<Name extends keyof Events>(command: string, event: Name): Promise<Events[Name]> {
    const answer = this.next(event);
    this.say(command);
    return answer;
  }

  private say(line: string): void {
    this.child.stdin.write(`${line}\n`);
  }

  private async next<Name extends keyof Events>(event: Name): Promise<Events[Name]> {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const [answer] = (await Promise.race([once(this, event, { signal }), this.exited])) as [Events[Name]];
    return answer;
  }
}
