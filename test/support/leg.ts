import { once } from 'node:events';
import WebSocket from 'ws';
import type { LegEvent } from '../../src/legs/leg-messages.js';
import { eventually } from './time.js';

/** The control key of tests. */
export const KEY = 'control-key-of-the-tests';

export const legUrl = (gateway: string, room: string, query = '') =>
  `${gateway.replace(/^http/, 'ws')}/v1/rooms/${encodeURIComponent(room)}/leg${query}`;

/** A program on a raw leg, over a real socket. */
export class TestLeg {
  readonly events: LegEvent[] = [];
  /** Binary messages, as they came. */
  readonly frames: Int16Array[] = [];
  closed: { code: number; reason: string } | undefined;

  private constructor(readonly socket: WebSocket) {
    socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) this.frames.push(new Int16Array(Uint8Array.from(data).buffer));
      else this.events.push(JSON.parse(String(data)));
    });
    socket.on('close', (code, reason) => {
      this.closed = { code, reason: String(reason) };
    });
    socket.on('error', () => {});
  }

  /** Joins, and is `ready`. */
  static join(gateway: string, room: string, query = ''): Promise<TestLeg> {
    return TestLeg.at(legUrl(gateway, room, query));
  }

  /** As {@link join}, by the leg's whole URL. */
  static async at(url: string): Promise<TestLeg> {
    const socket = new WebSocket(url.replace(/^http/, 'ws'), {
      headers: { authorization: `Bearer ${KEY}` },
    });
    const leg = new TestLeg(socket);
    await once(socket, 'open');
    await leg.event('ready');
    return leg;
  }

  get ready() {
    const [event] = this.events;
    if (event?.type !== 'ready') throw new Error('Expected ready first');
    return event;
  }

  tell(command: object | string): void {
    this.socket.send(typeof command === 'string' ? command : JSON.stringify(command));
  }

  say(pcm: Int16Array): void {
    this.socket.send(Buffer.from(pcm.buffer, pcm.byteOffset, pcm.byteLength));
  }

  all<T extends LegEvent['type']>(type: T): Extract<LegEvent, { type: T }>[] {
    return this.events.filter((event): event is Extract<LegEvent, { type: T }> => event.type === type);
  }

  /** The first event of a type, waited for. */
  async event<T extends LegEvent['type']>(type: T): Promise<Extract<LegEvent, { type: T }>> {
    await eventually(`an event ${type}`, () => this.all(type).length > 0, 10_000);
    return this.all(type)[0] as Extract<LegEvent, { type: T }>;
  }

  /** Everything heard, one frame after the other. */
  get heard(): Int16Array {
    const all = new Int16Array(this.frames.reduce((sum, frame) => sum + frame.length, 0));
    let at = 0;
    for (const frame of this.frames) {
      all.set(frame, at);
      at += frame.length;
    }
    return all;
  }

  close(): void {
    this.socket.terminate();
  }
}
