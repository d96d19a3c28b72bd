import type { AgentCall } from './agent-call.js';

/** Most items whose place is remembered. */
const MAX_ITEMS = 64;
/** Longest piece handed over at once. */
const MAX_SAMPLES = 240_000;

/** How much of an item of a model's speech the caller has heard. */
export interface HeardItem {
  /** The model's name for it. */
  readonly id: string;
  readonly heardMs: number;
  /** Of what the model sent. */
  readonly lengthMs: number;
}

/** What a model said in a call, item by item, and where on the scale of `playedMs` each began. */
export class SpokenItems {
  private items: { readonly id: string; startMs: number; lengthMs: number }[] = [];
  /** Whether more of the latest item may follow. */
  private isOpen = false;
  /** Half a sample at the end of the latest piece. */
  private halfSample: number | undefined;

  constructor(private readonly call: AgentCall) {}

  /**
   * Says a piece of an item, at the call's `sendRate`.
   * @param bytes 16-bit little endian; half a sample at the end is completed by the next piece of the same item
   */
  sayBytes(id: string, bytes: Uint8Array): void {
    const half = this.items.at(-1)?.id === id ? this.halfSample : undefined;
    const whole = new Uint8Array((half === undefined ? 0 : 1) + bytes.length);
    if (half !== undefined) whole[0] = half;
    whole.set(bytes, whole.length - bytes.length);
    this.halfSample = whole.length % 2 === 0 ? undefined : whole.at(-1);
    this.say(id, new Int16Array(whole.buffer, 0, Math.floor(whole.length / 2)));
  }

  /** Says a piece of an item, at the call's `sendRate`. */
  say(id: string, pcm: Int16Array): void {
    const { call } = this;
    let item = this.items.at(-1);
    if (item?.id !== id) {
      item = { id, startMs: call.sentMs, lengthMs: 0 };
      this.items.push(item);
      if (this.items.length > MAX_ITEMS) this.items.shift();
    }
    for (let at = 0; at < pcm.length; at += MAX_SAMPLES) call.send(pcm.subarray(at, at + MAX_SAMPLES));
    this.isOpen = true;
    item.lengthMs += (pcm.length * 1_000) / call.sendRate;
  }

  /** No more of the latest item follows. */
  end(): void {
    this.isOpen = false;
    this.halfSample = undefined;
  }

  /**
   * Barge-in: drops everything that the caller has not heard.
   * @returns the items that were not heard to their end, or have none yet
   * @throws GatewayError as {@link AgentCall.clear}
   */
  async interrupt(): Promise<HeardItem[]> {
    const said = this.items;
    const openId = this.isOpen ? said.at(-1)?.id : undefined;
    this.items = [];
    this.end();
    const { sentMs } = this.call;
    const { playedMs } = await this.call.clear();
    // What was said since began where the caller stopped listening.
    for (const item of this.items) item.startMs -= sentMs - playedMs;
    return said
      .map(({ id, startMs, lengthMs }) => ({
        id,
        heardMs: Math.min(Math.max(playedMs - startMs, 0), lengthMs),
        lengthMs,
      }))
      .filter(({ id, heardMs, lengthMs }) => heardMs < lengthMs || id === openId);
  }
}
