import { closeSync, openSync, readSync } from 'node:fs';
import { isNode, isScalar, LineCounter, type Node, parseDocument, visit } from 'yaml';
import type { CallDecision } from '../calls/decision.js';
import { decisionMistakes } from '../calls/decision-check.js';
import { describe, GatewayError } from '../errors.js';
import { DEFAULT_NUMBER, NumberPlan } from '../router/number-plan.js';
import { SETTINGS } from '../settings.js';

/** Largest accepted configuration file, in bytes. */
const MAX_FILE_BYTES = 256 * 1024;
/** The part that says where calls go. */
const NUMBERS = 'numbers';
/** A number or a SIP address, or how some of them begin. */
const NUMBER = /^(\+\d{1,15}|(sips?|client):[^\s<>"*]*)\*?$/;

/** Contents of a configuration file. */
export interface ConfigFile {
  /** By their names in the environment. */
  readonly settings: Readonly<Record<string, string>>;
  /** Where each of them stands: `gateway.yaml:3`. */
  readonly places: ReadonlyMap<string, string>;
  /** Where calls go; absent where the file does not say. */
  readonly plan: NumberPlan | undefined;
  /** What is wrong with it, a line each; settings are checked elsewhere. */
  readonly mistakes: readonly string[];
}

/**
 * Reads a configuration file: YAML, at most 256 KiB.
 * @param name who names it, for messages: `--config` or `CONFIG_FILE`
 * @throws GatewayError `GW_CONFIG_INVALID` where it cannot be read
 */
export function readConfigFile(path: string, name: string): ConfigFile {
  return new Reader(path).read(textOf(path, name));
}

function textOf(path: string, name: string): string {
  const received = (why: string) =>
    new GatewayError(
      'GW_CONFIG_INVALID',
      `Expected a readable file of at most ${MAX_FILE_BYTES} bytes for ${name} but received ${JSON.stringify(path)} (${why})`,
    );
  const bytes = Buffer.alloc(MAX_FILE_BYTES + 1);
  let length = 0;
  try {
    // Whatever it is, no more of it is read.
    const file = openSync(path, 'r');
    try {
      for (let read = -1; read !== 0 && length < bytes.length; length += read) {
        read = readSync(file, bytes, length, bytes.length - length, null);
      }
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw received(String((error as NodeJS.ErrnoException).code));
  }
  if (length > MAX_FILE_BYTES) throw received('larger');
  return bytes.toString('utf8', 0, length);
}

class Reader {
  private readonly lines = new LineCounter();
  private readonly settings: Record<string, string> = {};
  private readonly places = new Map<string, string>();
  private readonly mistakes: string[] = [];
  private document: ReturnType<typeof parseDocument> | undefined;

  constructor(private readonly path: string) {}

  read(text: string): ConfigFile {
    const { settings, places, mistakes } = this;
    const plan = this.planOf(text);
    return { settings, places, plan, mistakes };
  }

  private planOf(text: string): NumberPlan | undefined {
    const content = this.parse(text);
    if (content === undefined) return undefined;
    const { [NUMBERS]: numbers, ...settings } = content;
    for (const [key, value] of Object.entries(settings)) this.takeSetting(key, value);
    return numbers === undefined ? undefined : this.takeNumbers(numbers);
  }

  /** The document as plain data; `undefined` if it is invalid. */
  private parse(text: string): Record<string, unknown> | undefined {
    try {
      const document = parseDocument(text, { lineCounter: this.lines, prettyErrors: false });
      this.document = document;
      for (const { pos, message } of [...document.errors, ...document.warnings]) {
        this.miss(this.lineAt(pos[0]), `Expected YAML but received what is none: ${message}`);
      }
      if (document.errors.length > 0) return undefined;
      visit(document, {
        Scalar(_, node) {
          // A phone number, or digits that mean something as they stand.
          if (typeof node.value === 'number' && /^[+0]\d/.test(node.source ?? '')) node.value = node.source;
        },
      });
      const content: unknown = document.toJS();
      if (content === null) return {};
      if (isRecord(content)) return content;
      this.miss(1, `Expected settings by name, and ${NUMBERS}, but received ${describe(content)}`);
    } catch (error) {
      // Nested too deeply, or names for parts that stand for too much.
      const [reason = ''] = (error as Error).message.split('\n');
      this.miss(1, `Expected YAML but received what cannot be read: ${reason}`);
    }
    return undefined;
  }

  private takeSetting(key: string, value: unknown): void {
    const name = key.toUpperCase();
    const line = this.lineOf([key]);
    if (key !== key.toLowerCase() || !SETTINGS.has(name)) {
      this.miss(line, `Expected a setting in lower case, or ${NUMBERS}, but received ${JSON.stringify(key)}`);
      return;
    }
    const text = this.textOf([key], value);
    if (text === undefined) {
      this.miss(
        line,
        `Expected a text, a number or a list of those for ${key} but received ${describe(value)}`,
      );
      return;
    }
    this.settings[name] = text;
    this.places.set(name, this.place(line));
  }

  /** As it would stand in the environment; `undefined` for what cannot stand there. */
  private textOf(path: readonly (string | number)[], value: unknown): string | undefined {
    if (Array.isArray(value)) {
      const texts = value.map((each, i) => this.textOf([...path, i], each));
      return texts.some((each, i) => each === undefined || Array.isArray(value[i]))
        ? undefined
        : texts.join(',');
    }
    if (value === null) return '';
    if (typeof value === 'string') return value;
    if (typeof value !== 'number' && typeof value !== 'boolean') return undefined;
    const node = this.document?.getIn(path, true);
    return isScalar(node) ? (node.source ?? String(value)) : String(value);
  }

  private takeNumbers(numbers: unknown): NumberPlan | undefined {
    if (!isRecord(numbers)) {
      this.miss(
        this.lineOf([NUMBERS]),
        `Expected decisions by number for ${NUMBERS} but received ${describe(numbers)}`,
      );
      return undefined;
    }
    const decisions = new Map<string, CallDecision>();
    for (const [number, decision] of Object.entries(numbers)) {
      if (number !== DEFAULT_NUMBER && !NUMBER.test(number)) {
        this.miss(
          this.lineOf([NUMBERS, number]),
          `Expected a number like +15551234567 or +1555*, a SIP address, or ${DEFAULT_NUMBER} for ${NUMBERS} but received ${JSON.stringify(number)}`,
        );
        continue;
      }
      for (const { path, message } of decisionMistakes(decision)) {
        const at = path.length === 0 ? '' : `${path.join('.')}: `;
        this.miss(
          this.lineOf([NUMBERS, number, ...path]),
          `Expected a decision for ${number} but received ${at}${message}`,
        );
      }
      if (isRecord(decision) && decision.bridge === false) {
        this.miss(
          this.lineOf([NUMBERS, number, 'bridge']),
          `Expected a bridge for ${number} but received false: no code of yours takes the stream here`,
        );
      }
      decisions.set(number, (decision ?? {}) as CallDecision);
    }
    return new NumberPlan(decisions);
  }

  private miss(line: number, what: string): void {
    // One line each, even if a name contains line breaks.
    this.mistakes.push(`${what.replace(/\s+/g, ' ')} (${this.place(line)})`);
  }

  private place(line: number): string {
    return `${this.path}:${line}`;
  }

  /** Of what stands at a path, or of what it would stand in. */
  private lineOf(path: readonly PropertyKey[]): number {
    for (let length = path.length; length > 0; length--) {
      const at = path.slice(0, length);
      const node = this.keyAt(at) ?? this.document?.getIn(at, true);
      const [offset] = (isNode(node) ? node.range : undefined) ?? [];
      if (offset !== undefined) return this.lineAt(offset);
    }
    return 1;
  }

  /** The name by which something stands there, whose place is nearer than that of a long value. */
  private keyAt(path: readonly PropertyKey[]): Node | undefined {
    const holder = this.document?.getIn(path.slice(0, -1), true) as
      | { items?: readonly unknown[] }
      | undefined;
    const last = path.at(-1);
    for (const item of holder?.items ?? []) {
      const key = (item as { key?: unknown } | null)?.key;
      if (isScalar(key) && String(key.value) === last) return key;
    }
    return undefined;
  }

  private lineAt(offset: number): number {
    return Math.max(1, this.lines.linePos(offset).line);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
