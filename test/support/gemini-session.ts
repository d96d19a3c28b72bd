import { randomBytes, randomUUID } from 'node:crypto';
import type { FunctionDeclaration, FunctionResponse, Setup } from './gemini-wire.js';

/** How much a session remembers of itself, in entries. */
const MOST_ENTRIES = 1_000;
/** Turns whose audio is kept. */
const MOST_HEARD = 20;

/** What made the model speak. */
export type GeminiInput =
  | { readonly kind: 'speech'; readonly heard: Int16Array }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'tools'; readonly responses: readonly FunctionResponse[] };

/** One entry of the model's context; words that it did not send are not in it. */
export interface HistoryEntry {
  readonly role: 'user' | 'model' | 'function';
  text: string;
}

export interface GeminiCall {
  readonly id: string;
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
  /** The model waits for the response before it goes on. */
  readonly isBlocking: boolean;
}

/** One turn of the model, as it went over the wire. */
export interface GeminiTurnRecord {
  readonly kind: GeminiInput['kind'];
  /** 16 kHz; emptied when many turns have followed. */
  heard: Int16Array;
  readonly heardMs: number;
  /** Milliseconds of audio sent, and the words of it. */
  sentMs: number;
  transcript: string;
  readonly calls: GeminiCall[];
  isInterrupted: boolean;
  /** `turnComplete` was sent. */
  isComplete: boolean;
}

/** One conversation, over one connection after another. */
export class GeminiSession {
  readonly handles: string[] = [];
  readonly history: HistoryEntry[] = [];
  readonly turns: GeminiTurnRecord[] = [];
  /** Functions whose responses have not come. */
  readonly pending = new Map<string, GeminiCall>();
  /** Ids of the functions that the user's activity cancelled. */
  readonly cancelled: string[] = [];
  /** What the client sent, over all connections. */
  readonly received = {
    connections: 0,
    audioMs: 0,
    /** Messages with audio. */
    chunks: 0,
    text: [] as string[],
    responses: [] as FunctionResponse[],
    /** Responses to no function that was called, or to a cancelled one. */
    strayResponses: [] as FunctionResponse[],
    streamEnds: 0,
  };
  /** What the model answers now, or answered last. */
  input: GeminiInput = { kind: 'text', text: '' };
  /** Code and reason by which the last connection was closed. */
  closed: { readonly code: number; readonly reason: string } | undefined;
  /** Audio in both directions, in milliseconds: what the tokens are counted of. */
  promptMs = 0;
  responseMs = 0;

  /** @param setup of the newest connection */
  constructor(public setup: Setup) {}

  get instructions(): string {
    return (this.setup.systemInstruction?.parts ?? []).map(({ text }) => text).join('\n\n');
  }

  get tools(): readonly FunctionDeclaration[] {
    return (this.setup.tools ?? []).flatMap(({ functionDeclarations = [] }) => functionDeclarations);
  }

  /** Whether the model waits for the function's response: as declared. By default, the newest models do not. */
  isBlocking(name: string): boolean {
    const { behavior = 'UNSPECIFIED' } = this.tools.find((tool) => tool.name === name) ?? {};
    return behavior === 'BLOCKING' || (behavior === 'UNSPECIFIED' && !isNewest(this.setup.model));
  }

  newCallId(): string {
    return `function-call-${BigInt.asUintN(63, randomBytes(8).readBigUInt64LE())}`;
  }

  /** A new handle of this session; earlier ones stay valid. */
  newHandle(): string {
    const handle = randomUUID();
    keep(this.handles, handle);
    return handle;
  }

  remember(role: HistoryEntry['role'], text: string): HistoryEntry {
    return keep(this.history, { role, text });
  }

  begin(input: GeminiInput): GeminiTurnRecord {
    this.input = input;
    const heard = input.kind === 'speech' ? input.heard : new Int16Array();
    const old = this.turns.at(-MOST_HEARD);
    if (old !== undefined) old.heard = new Int16Array();
    return keep(this.turns, {
      kind: input.kind,
      heard,
      heardMs: heard.length / 16,
      sentMs: 0,
      transcript: '',
      calls: [],
      isInterrupted: false,
      isComplete: false,
    });
  }
}

/** The generation that reports activity, thinks as it likes, and by default goes on while a function runs. */
export function isNewest(model: string | undefined): boolean {
  return model?.startsWith('models/gemini-3.8-') === true;
}

/** Adds an entry; of many, the oldest is dropped. */
export function keep<T>(entries: T[], entry: T): T {
  entries.push(entry);
  if (entries.length > MOST_ENTRIES) entries.shift();
  return entry;
}
