import { describe, expect, test } from 'vitest';
import type { PhoneLine } from '../../src/bridge/bridge.js';
import { Room, type RoomMember } from '../../src/bridge/local/room.js';
import { FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE } from '../../src/media/frame.js';
import { amplitudeAt, decibels, tone } from '../support/media.js';
import { virtualTime } from '../support/time.js';

virtualTime();

const LEVEL = 6_000;
/** Whole periods in every frame, so that levels can be measured exactly. */
const PITCHES = [400, 1_000, 1_900, 2_700];

/** A phone that says one tone, or numbers, and keeps all it hears. */
class Phone implements PhoneLine {
  isLive = true;
  readonly heard: Int16Array[] = [];
  readonly stamps: number[] = [];
  onWrite: (() => void) | undefined;
  readonly member: RoomMember;
  private readonly voice: Int16Array;

  constructor(room: Room, pitch = 1_000) {
    this.voice = tone(pitch, SAMPLE_RATE, FRAME_SAMPLES, LEVEL);
    this.member = room.join(this);
  }
  write(frame: Int16Array, stamp: number): void {
    this.heard.push(frame.slice());
    this.stamps.push(stamp);
    this.onWrite?.();
  }
  clear() {
    return { playedMs: 0, discardedMs: 0 };
  }
  mark(): void {}
  hangUp(): void {}
  transfer(): void {}
  fail(): void {}

  talk(stamp = 0): void {
    this.member.write(this.voice, stamp);
  }
  say(number: number, stamp = 0): void {
    this.member.write(new Int16Array(FRAME_SAMPLES).fill(number), stamp);
  }
  /** First sample of every frame heard. */
  get numbers(): number[] {
    return this.heard.map((frame) => frame[0] as number);
  }
  level(pitch: number, from = 0): number {
    const heard = this.heard.slice(from);
    const all = new Int16Array(heard.length * FRAME_SAMPLES);
    for (const [i, frame] of heard.entries()) all.set(frame, i * FRAME_SAMPLES);
    return decibels(amplitudeAt(pitch, SAMPLE_RATE, all) / LEVEL);
  }
}

function phones<const N extends number>(room: Room, count: N): Phone[] & { length: N } {
  return PITCHES.slice(0, count).map((pitch) => new Phone(room, pitch)) as Phone[] & { length: N };
}

/** All have spoken twice, and heard the others twice. */
function start(all: Phone[]): void {
  for (let i = 0; i < 2; i++) for (const phone of all) phone.say(0);
  for (const phone of all) expect(phone.heard).toHaveLength(2);
}

describe('a room', () => {
  test('echoes a lone phone', () => {
    const room = new Room();
    const [a] = phones(room, 1);
    a?.say(7, 42);
    expect(a?.numbers).toEqual([7]);
    expect(a?.stamps).toEqual([42]);
  });

  test('passes two phones’ frames straight to each other', () => {
    const room = new Room();
    const [a, b] = phones(room, 2) as [Phone, Phone];
    a.say(1, 10);
    expect(b.numbers).toEqual([1]);
    a.say(2, 11);
    b.say(9, 12);
    expect([b.numbers, b.stamps]).toEqual([
      [1, 2],
      [10, 11],
    ]);
    expect([a.numbers, a.stamps]).toEqual([[9], [12]]);
  });

  test.each([3, 4])('of %d lets each phone hear the others at their level, but not itself', (count) => {
    const room = new Room();
    const all = phones(room, count);
    start(all);
    for (let i = 0; i < 25; i++) for (const phone of all) phone.talk();
    for (const [i, phone] of all.entries()) {
      expect(phone.heard).toHaveLength(27);
      for (const [j, pitch] of PITCHES.slice(0, count).entries()) {
        if (i === j) expect(phone.level(pitch, 2)).toBeLessThan(-60);
        else expect(Math.abs(phone.level(pitch, 2))).toBeLessThan(0.1);
      }
    }
  });

  test('stamps a mix with the oldest frame in it, across the wrap', () => {
    const room = new Room();
    const [a, b, c] = phones(room, 3) as [Phone, Phone, Phone];
    start([a, b, c]);
    a.say(1, -2_147_483_640);
    b.say(1, 2_147_483_640);
    c.say(1, -2_147_483_630);
    expect(a.stamps.at(-1)).toBe(2_147_483_640);
  });

  test('mixes aligned phones from the first frame', () => {
    const room = new Room();
    const all = phones(room, 3);
    for (const [i, phone] of all.entries()) phone.say(10 ** i);
    for (const [i, phone] of all.entries()) expect(phone.numbers).toEqual([111 - 10 ** i]);
  });

  test('waits 40 ms, once, for phones that have sent nothing', () => {
    const room = new Room();
    const [a, b, c] = phones(room, 3) as [Phone, Phone, Phone];
    a.say(1);
    a.say(2);
    expect(b.numbers).toEqual([]);
    a.say(3);
    expect(b.numbers).toEqual([1, 2, 3]);
    a.say(4);
    expect(b.numbers).toEqual([1, 2, 3, 4]);
    expect(c.numbers).toEqual([1, 2, 3, 4]);
    expect(a.numbers).toEqual([0, 0, 0, 0]);
  });

  test('waits at most 40 ms for a phone that stops sending', () => {
    const room = new Room();
    const [a, b, c] = phones(room, 3) as [Phone, Phone, Phone];
    start([a, b, c]);
    for (let i = 1; i <= 50; i++) {
      a.say(i);
      b.say(100 * i);
      const late = 2 + i - c.heard.length;
      expect(late * FRAME_MS).toBeLessThanOrEqual(40);
    }
  });

  test('does not wait for a phone that still rings', () => {
    const room = new Room();
    const [a, b, c] = phones(room, 3) as [Phone, Phone, Phone];
    b.isLive = c.isLive = false;
    a.say(1);
    expect(a.numbers).toEqual([1]);
    b.isLive = true;
    a.say(2);
    expect([a.numbers, b.numbers, c.numbers]).toEqual([[1], [2], []]);
    c.isLive = true;
    for (const phone of [a, b, c]) phone.say(3);
    expect(c.numbers).toEqual([6]);
  });

  test('mixes a phone again that had stopped sending', () => {
    const room = new Room();
    const [a, b, c] = phones(room, 3) as [Phone, Phone, Phone];
    for (let i = 0; i < 60; i++) {
      for (const phone of [a, b]) phone.talk();
      if (i < 10 || i >= 30) c.talk();
    }
    expect(Math.abs(a.level(PITCHES[2] as number, 35))).toBeLessThan(0.1);
    expect(Math.abs(a.level(PITCHES[1] as number, 35))).toBeLessThan(0.1);
  });

  test('buffers at most two frames of a burst', () => {
    const room = new Room();
    const [a, b, c] = phones(room, 3) as [Phone, Phone, Phone];
    start([a, b, c]);
    for (let i = 1; i <= 20; i++) a.say(i);
    expect(b.numbers.length).toBeGreaterThanOrEqual(2 + 18);
    expect(b.numbers).toEqual([...b.numbers].sort((x, y) => x - y));
  });

  test('accepts a third phone in mid-call', () => {
    const room = new Room();
    const [a, b] = phones(room, 2) as [Phone, Phone];
    for (let i = 0; i < 10; i++) for (const phone of [a, b]) phone.talk();
    const c = new Phone(room, PITCHES[2]);
    for (let i = 0; i < 25; i++) for (const phone of [a, b, c]) phone.talk();
    expect(a.heard.length).toBeGreaterThanOrEqual(34);
    expect(Math.abs(a.level(PITCHES[2] as number, 12))).toBeLessThan(0.1);
    expect(Math.abs(c.level(PITCHES[0] as number, 2))).toBeLessThan(0.1);
  });

  test('continues without delay when one of three leaves', () => {
    const room = new Room();
    const [a, b, c] = phones(room, 3) as [Phone, Phone, Phone];
    start([a, b, c]);
    a.say(1);
    a.say(2);
    c.member.close();
    c.member.close();
    expect(room.size).toBe(2);
    a.say(3);
    expect(b.numbers.at(-1)).toBe(3);
    b.say(5);
    expect(a.numbers.at(-1)).toBe(5);
    expect(c.heard).toHaveLength(2);
  });

  test('forwards the frames waiting to be mixed when one of three leaves', () => {
    const room = new Room();
    const [a, b, c] = phones(room, 3) as [Phone, Phone, Phone];
    start([a, b, c]);
    a.say(1);
    a.say(2);
    expect(b.heard).toHaveLength(2);
    c.member.close();
    expect(b.numbers.slice(2)).toEqual([1, 2]);
  });

  test.each([1, 2, 3])('mixes no more audio of a phone that has left %d others', (others) => {
    const room = new Room();
    const gone = new Phone(room);
    const rest = phones(room, others);
    gone.member.close();
    gone.say(66);
    expect(gone.numbers).toEqual([]);
    for (const phone of rest) expect(phone.numbers).toEqual([]);
  });

  test('stays correct for the others when a phone hangs up during a write', () => {
    for (const leaver of [0, 1, 2, 3]) {
      const room = new Room();
      const all = phones(room, 4);
      start(all);
      const left = all[leaver] as Phone;
      left.onWrite = () => left.member.close();
      for (const [i, phone] of all.entries()) phone.say(10 ** i);
      for (const [i, phone] of all.entries()) expect(phone.numbers.slice(2)).toEqual([1_111 - 10 ** i]);
      expect(room.size).toBe(3);
    }
  });

  test('survives several leaving during a write', () => {
    const room = new Room();
    const all = phones(room, 4);
    start(all);
    const last = all[3] as Phone;
    last.onWrite = () => {
      for (const phone of all.slice(1)) phone.member.close();
    };
    for (const [i, phone] of all.entries()) phone.say(10 ** i);
    expect(all[0]?.numbers.slice(2)).toEqual([1_110]);
    expect(room.size).toBe(1);
  });
});
