import { type EventEmitter, once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { loadResampler } from '../../src/media/rate-converter.js';
import { AudioSource } from '../../src/simulator/index.js';
import { signWebhook } from '../../src/webhooks/signature.js';
import { clock } from './time.js';

/** A fault of an agent. */
export type AgentFault =
  | 'odd pieces'
  | 'big endian'
  | 'no clear'
  | 'late clear'
  | 'audio after clear'
  | 'late marks'
  | 'early marks'
  | 'no marks'
  | 'one name for all marks'
  | 'flood'
  | 'huge message'
  | 'echo at another rate'
  | 'voice at another rate'
  | 'voice at one rate'
  | 'stream at another rate'
  | 'no reconnect'
  | 'deaf after reconnect'
  | 'no pongs'
  | 'accepts any signature'
  | 'refuses with 500'
  | 'mixes calls'
  | 'gaps'
  | 'minutes at once'
  | 'invalid JSON'
  | 'never closes'
  | 'hangs while unread'
  | 'never answers'
  | 'subprotocol of its own'
  | 'ignores keys';

export interface AgentSettings {
  readonly fault?: AgentFault;
  readonly secret?: string;
  /** Echoes what it hears; else it says something of its own. */
  readonly echoes?: boolean;
  /** Sends its audio in real time, 20 ms a piece; else all at once. */
  readonly paced?: boolean;
  readonly greets?: boolean;
  /** Milliseconds until it knows what to say. */
  readonly thinksMs?: number;
  /** Sends silence while it says nothing, as a live microphone does. */
  readonly hisses?: boolean;
  /** Says its sentence several times, with so many milliseconds between. */
  readonly pauseMs?: number;
  readonly sentences?: number;
  /** Hangs up after its answer. */
  readonly hangsUp?: boolean;
}

const LOUD = 1_000;
/** Frames of silence after which the caller has finished. */
const PAUSE = 25;
const FRAME_MS = 20;
/** Of the recording: "Every word I say now should come back to me, clear and complete." */
const ANSWER_MS = [2_120, 5_000] as const;

/** A voice agent of tests with at most one fault, on a port of loopback. */
export class TestAgent {
  readonly conversations = new Set<Conversation>();
  /** Ids of calls so far. */
  readonly known = new Set<string>();

  private constructor(
    readonly server: WebSocketServer,
    readonly settings: AgentSettings,
    readonly convert: Awaited<ReturnType<typeof loadResampler>>,
  ) {}

  static async start(settings: AgentSettings = {}): Promise<TestAgent> {
    const { fault } = settings;
    const server = new WebSocketServer({
      host: '127.0.0.1',
      port: 0,
      autoPong: fault !== 'no pongs',
      handleProtocols: () => (fault === 'subprotocol of its own' ? 'chat' : 'trunkline.leg'),
      verifyClient: ({ req }: { req: IncomingMessage }, done: (ok: boolean, status?: number) => void) =>
        done(agent.accepts(req), fault === 'refuses with 500' ? 500 : 401),
    });
    await once(server, 'listening');
    const agent = new TestAgent(server, settings, await loadResampler());
    server.on('connection', (socket, request) => agent.talk(socket, request));
    return agent;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.server.address() as AddressInfo).port}/`;
  }

  async close(): Promise<void> {
    for (const client of this.server.clients) client.terminate();
    this.server.close();
    await once(this.server, 'close');
  }

  private accepts({ headers }: IncomingMessage): boolean {
    const { fault, secret } = this.settings;
    const line = String(headers['trunkline-call']);
    if (fault === 'no reconnect' && JSON.parse(line).connection > 1) return false;
    if (secret === undefined || fault === 'accepts any signature') return true;
    const seconds = Number(headers['webhook-timestamp']);
    const signed = signWebhook(String(headers['webhook-id']), line, [secret], seconds);
    const ageMs = Math.abs(clock.date().getTime() - 1_000 * seconds);
    return ageMs < 300_000 && signed['webhook-signature'] === headers['webhook-signature'];
  }

  private talk(socket: WebSocket, request: IncomingMessage): void {
    const { connection } = JSON.parse(String(request.headers['trunkline-call']));
    if (this.settings.fault === 'never closes') {
      // Of `ws`: what answers the closing handshake.
      (socket as unknown as { _receiver: EventEmitter })._receiver.removeAllListeners('conclude');
    }
    const conversation = new Conversation(this, socket, connection > 1);
    this.conversations.add(conversation);
    socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) conversation.hear(data);
      else conversation.note(JSON.parse(data.toString()));
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      conversation.isOver = true;
      this.conversations.delete(conversation);
    });
  }
}

class Conversation {
  isOver = false;
  private rate = 0;
  private heard: Buffer[] = [];
  private quiet = 0;
  private speaks = false;
  private marks = 0;
  /** Counts what was said: what is older than a clear is not sent any more. */
  private turn = 0;

  constructor(
    private readonly agent: TestAgent,
    private readonly socket: WebSocket,
    private readonly isResumed: boolean,
  ) {}

  private get fault(): AgentFault | undefined {
    return this.agent.settings.fault;
  }

  note(event: { type: string; rate: number; name: string }): void {
    if (event.type === 'ready') {
      this.rate = event.rate;
      if (this.fault === 'invalid JSON') this.socket.send('{"type":"mark" "name":"x"}');
    }
    if (event.type === 'joined' && this.agent.settings.greets) this.say(this.voice());
    if (event.type === 'mark') this.speaks = false;
    if (event.type === 'dtmf' && this.fault !== 'ignores keys') this.say(this.voice());
  }

  hear(frame: Buffer): void {
    if (this.agent.settings.hisses && !this.speaks) this.send(Buffer.alloc(frame.length));
    if (this.fault === 'deaf after reconnect' && this.isResumed) return;
    const samples = new Int16Array(Uint8Array.from(frame).buffer);
    const energy = samples.reduce((sum, sample) => sum + sample * sample, 0);
    if (energy > LOUD * LOUD * samples.length) {
      if (this.speaks) this.interrupt();
      this.quiet = 0;
      this.heard.push(frame);
    } else if (this.heard.length > 0 && this.quiet++ < PAUSE) this.heard.push(frame);
    else if (this.heard.length > 0) {
      const question = Buffer.concat(this.heard);
      this.heard = [];
      const { echoes, thinksMs = 0 } = this.agent.settings;
      if (this.fault === 'never answers') return;
      this.turn += 1;
      const { turn } = this;
      const answer = () => {
        if (turn === this.turn && !this.isOver) this.say(echoes ? question : this.voice());
      };
      if (thinksMs === 0) answer();
      else clock.after(thinksMs, answer);
    }
  }

  private interrupt(): void {
    if (this.fault === 'no clear') return;
    this.speaks = false;
    if (this.fault === 'late clear') {
      clock.after(800, () => this.tell({ type: 'clear' }));
      return;
    }
    if (this.fault !== 'audio after clear') this.turn += 1;
    this.tell({ type: 'clear' });
  }

  /** Something of its own, at the leg's rate or a wrong one. */
  private voice(): Buffer {
    const [from, to] = ANSWER_MS;
    const part = AudioSource.speech().pcm.subarray(from * 8, to * 8);
    const wrong: Record<string, number> = {
      'voice at another rate': this.rate * 3,
      'voice at one rate': 8_000,
    };
    const converter = this.agent.convert(8_000, wrong[this.fault ?? ''] ?? this.rate);
    const pcm = converter.process(part);
    converter.close();
    const sentence = Buffer.from(pcm.buffer, pcm.byteOffset, pcm.byteLength);
    const { pauseMs = 0, sentences = 1 } = this.agent.settings;
    const pause = Buffer.alloc((this.rate * pauseMs) / 500);
    return Buffer.concat(Array.from({ length: sentences }, () => [sentence, pause]).flat());
  }

  private say(speech: Buffer): void {
    const { fault, rate, agent } = this;
    this.turn += 1;
    this.speaks = true;
    let audio = speech;
    if (fault === 'echo at another rate')
      audio = Buffer.concat([...samplesOf(speech)].flatMap((s) => [s, s]));
    if (fault === 'big endian') audio = Buffer.from(speech).swap16();
    if (fault === 'minutes at once') audio = Buffer.concat(Array.from({ length: 20 }, () => speech));
    if (fault === 'huge message') {
      this.send(Buffer.alloc(1_100_000, speech));
      return;
    }
    if (fault === 'flood') {
      for (let i = 0; i < 30_000; i++) this.send(Buffer.alloc(2));
      return;
    }
    if (fault === 'early marks') this.mark();
    const slow = fault === 'gaps' ? 1.7 : fault === 'stream at another rate' ? 1 : undefined;
    const bytes = (rate * 2 * FRAME_MS) / 1_000;
    const piece = fault === 'stream at another rate' ? bytes * 1.5 : bytes;
    const isPaced = agent.settings.paced || slow !== undefined || fault === 'audio after clear';
    if (isPaced) void this.stream(audio, piece, FRAME_MS * (slow ?? 1));
    else {
      // One sample after the other goes astray.
      const size = fault === 'odd pieces' ? 641 : 8_192;
      for (let at = 0; at < audio.length; at += size + (size % 2)) this.send(audio.subarray(at, at + size));
      this.finish(audio.length);
    }
  }

  /** Sends piece by piece, on time however late a timer is. */
  private async stream(audio: Buffer, bytes: number, everyMs: number): Promise<void> {
    const { turn } = this;
    const begun = clock.now();
    for (let at = 0, count = 0; at < audio.length; at += bytes, count++) {
      const wait = begun + count * everyMs - clock.now();
      if (wait > 0) await clock.sleep(wait);
      if (this.turn !== turn || this.isOver) return;
      this.send(audio.subarray(at, at + bytes));
    }
    this.finish(0);
  }

  private finish(bytes: number): void {
    const { fault, rate } = this;
    if (fault === 'late marks') {
      clock.after((bytes * 500) / rate + 800, () => this.mark());
    } else if (fault === 'one name for all marks') {
      this.mark('said');
      this.mark('said');
    } else if (fault === 'no marks' || fault === 'early marks') {
      clock.after((bytes * 500) / rate, () => {
        this.speaks = false;
      });
    } else this.mark();
    if (this.agent.settings.hangsUp) this.tell({ type: 'hangup' });
  }

  private mark(name = `answer-${++this.marks}`): void {
    this.tell({ type: 'mark', name });
  }

  private tell(command: object): void {
    if (!this.isOver) this.socket.send(JSON.stringify(command));
  }

  private send(audio: Buffer): void {
    const { agent, fault } = this;
    const all = fault === 'mixes calls' ? [...agent.conversations] : [this];
    for (const { socket, isOver } of all) if (!isOver) socket.send(audio);
  }
}

function* samplesOf(audio: Buffer): Generator<Buffer> {
  for (let at = 0; at < audio.length; at += 2) yield audio.subarray(at, at + 2);
}
