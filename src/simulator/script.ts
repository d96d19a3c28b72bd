import { readFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { GatewayError } from '../errors.js';
import { AudioSource } from './audio.js';
import { durationOf } from './load-steps.js';

/** How long a caller waits for something unless the script says otherwise. */
const PATIENCE_MS = 30_000;
const LONGEST_MS = 3_600_000;
const MOST_STEPS = 1000;

/** What a caller does next. Times are milliseconds. */
export type Deed =
  /** Says a recording once; the next step begins when it is said. */
  | { readonly does: 'say'; readonly audio: AudioSource }
  /** Says a recording over and over while the script goes on. */
  | { readonly does: 'repeat'; readonly audio: AudioSource }
  | { readonly does: 'be quiet' }
  /** Keys 0-9, *, #, A-D; `w` is half a second without one. */
  | { readonly does: 'press'; readonly keys: string }
  | { readonly does: 'wait'; readonly ms: number }
  /** For a sound from the server. */
  | { readonly does: 'wait for sound'; readonly withinMs: number }
  /** For so much silence in one piece, counted from the beginning of the step. */
  | { readonly does: 'wait for silence'; readonly ms: number; readonly withinMs: number }
  /** For the server to end the call. */
  | { readonly does: 'wait for end'; readonly withinMs: number }
  | { readonly does: 'hang up' };

/** A step of a script, with the line it stands in. */
export type ScriptStep = Deed & { readonly line: number; readonly text: string };

/** What a caller does, step by step; see {@link readScript}. */
export interface Script {
  readonly name: string;
  readonly steps: readonly ScriptStep[];
}

const DURATION = String.raw`(\d+(?:\.\d+)?(?:ms|s|m|h))`;
const WITHIN = `(?: within ${DURATION})?`;
const WAIT = new RegExp(`^wait ${DURATION}$`);
const SOUND = new RegExp(`^wait for sound${WITHIN}$`);
const SILENCE = new RegExp(`^wait for silence ${DURATION}${WITHIN}$`);
const END = new RegExp(`^wait for end${WITHIN}$`);
const STEPS =
  '"say FILE", "repeat FILE", "be quiet", "press KEYS", "wait 2s", "wait for sound", "wait for silence 1s", ' +
  '"wait for end" or "hang up"';

/**
 * Reads a script for callers: a step a line, `#` begins a comment. Recordings are named relative to the script;
 * `speech` is the one that comes along.
 * @throws GatewayError `GW_SIM_SCRIPT` with a line for every mistake
 */
export function readScript(path: string): Script {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new GatewayError('GW_SIM_SCRIPT', `Expected a script at ${path} but received no readable file`, {
      cause,
    });
  }
  return parseScript(text, basename(path), dirname(path));
}

/**
 * Reads a script from a text.
 * @param name of the script in messages
 * @param folder where its recordings are looked for
 * @throws GatewayError as {@link readScript}
 */
export function parseScript(text: string, name = 'script', folder = '.'): Script {
  const recordings = new Map<string, AudioSource>();
  const mistakes: string[] = [];
  const steps: ScriptStep[] = [];
  for (const [i, raw] of text.split(/\r?\n/).entries()) {
    const words = raw
      .replace(/(^|\s)#(?=\s|$).*/, '')
      .trim()
      .replace(/\s+/g, ' ');
    if (words === '') continue;
    const line = i + 1;
    try {
      steps.push({ ...deedOf(words, (file) => recordingOf(file, folder, recordings)), line, text: words });
    } catch (error) {
      mistakes.push(`${name}:${line}: ${(error as Error).message}`);
    }
  }
  const left = steps.findIndex((step) => step.does === 'hang up' || step.does === 'wait for end');
  const after = steps[left + 1];
  if (left >= 0 && after !== undefined) {
    mistakes.push(`${name}:${after.line}: Expected nothing after "${steps[left]?.text}" but received a step`);
  }
  if (steps.length === 0 && mistakes.length === 0) {
    mistakes.push(`${name}: Expected at least one step but received none`);
  }
  if (steps.length > MOST_STEPS) {
    mistakes.push(`${name}: Expected at most ${MOST_STEPS} steps but received ${steps.length}`);
  }
  if (mistakes.length > 0) throw new GatewayError('GW_SIM_SCRIPT', mistakes.join('\n'));
  return { name, steps };
}

function deedOf(words: string, recording: (file: string) => AudioSource): Deed {
  const [, verb = '', rest = ''] = /^(\S+) ?(.*)$/.exec(words) ?? [];
  if ((verb === 'say' || verb === 'repeat') && rest !== '') return { does: verb, audio: recording(rest) };
  if (verb === 'press') {
    if (!/^[0-9*#A-Dw]{1,100}$/.test(rest)) throw wrong('keys 0-9, *, #, A-D and w', 'press', rest);
    return { does: 'press', keys: rest };
  }
  if (words === 'be quiet' || words === 'hang up') return { does: words };
  const wait = WAIT.exec(words);
  if (wait !== null) return { does: 'wait', ms: timeOf(wait[1]) };
  const sound = SOUND.exec(words);
  if (sound !== null) return { does: 'wait for sound', withinMs: timeOf(sound[1]) };
  const silence = SILENCE.exec(words);
  if (silence !== null) {
    const [ms, withinMs] = [timeOf(silence[1]), timeOf(silence[2])];
    if (withinMs < ms) throw wrong(`at least ${silence[1]}`, 'within', silence[2] ?? `${PATIENCE_MS} ms`);
    return { does: 'wait for silence', ms, withinMs };
  }
  const end = END.exec(words);
  if (end !== null) return { does: 'wait for end', withinMs: timeOf(end[1]) };
  throw wrong(STEPS, 'a step', words);
}

function timeOf(text: string | undefined): number {
  if (text === undefined) return PATIENCE_MS;
  const ms = durationOf(text) ?? 0;
  if (ms > 0 && ms <= LONGEST_MS) return ms;
  throw wrong('more than nothing and at most 1h', 'a time', text);
}

function recordingOf(file: string, folder: string, known: Map<string, AudioSource>): AudioSource {
  const audio =
    known.get(file) ?? (file === 'speech' ? AudioSource.speech() : AudioSource.file(resolve(folder, file)));
  known.set(file, audio);
  return audio;
}

function wrong(what: string, subject: string, received: string): GatewayError {
  return new GatewayError('GW_SIM_SCRIPT', `Expected ${what} for ${subject} but received "${received}"`);
}
