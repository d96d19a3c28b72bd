import { describe, expect, test } from 'vitest';
import type { MarkPlace, PhoneLine, Program } from '../../src/bridge/bridge.js';
import { LocalBridge } from '../../src/bridge/local/bridge.js';
import type { ProgramMember } from '../../src/bridge/local/program-member.js';
import { Room } from '../../src/bridge/local/room.js';
import { GatewayError } from '../../src/errors.js';
import { FRAME_SAMPLES } from '../../src/media/frame.js';
import { virtualTime } from '../support/time.js';

virtualTime();

class Hearer {
  readonly heard: number[] = [];
  write(frame: Int16Array): void {
    this.heard.push(frame[0] as number);
  }
}

class Phone extends Hearer implements PhoneLine {
  isLive = true;
  clears = 0;
  hungUp = false;
  isFull = false;
  readonly marks: string[] = [];
  readonly member;
  constructor(room: Room, callId: string) {
    super();
    this.member = room.join(this, callId);
  }
  clear() {
    this.clears += 1;
    return { playedMs: 0, discardedMs: 60 };
  }
  mark(name: string): void {
    if (this.isFull) throw new GatewayError('GW_TOO_MANY_MARKS', 'full');
    this.marks.push(name);
  }
  hangUp(): void {
    this.hungUp = true;
  }
  transfer(): void {}
  fail(): void {}
  say(number: number): void {
    this.member.write(new Int16Array(FRAME_SAMPLES).fill(number), 0);
  }
}

class Agent extends Hearer implements Program {
  readonly events: string[] = [];
  readonly place: ProgramMember;
  constructor(room: Room, onlyListens = false) {
    super();
    this.place = room.joinProgram(this, onlyListens);
  }
  phoneJoined(callId: string): void {
    this.events.push(`+${callId}`);
  }
  phoneLeft(callId: string): void {
    this.events.push(`-${callId}`);
  }
  pressed(callId: string, digit: string): void {
    this.events.push(`${callId}:${digit}`);
  }
  say(number: number): void {
    this.place.write(new Int16Array(FRAME_SAMPLES).fill(number), 0);
  }
}

describe('a program in a room', () => {
  test('hears silence while it is alone', () => {
    const agent = new Agent(new Room());
    agent.say(1);
    expect(agent.heard).toEqual([]);
  });

  test('and a phone hear each other at once, without an echo', () => {
    const room = new Room();
    const agent = new Agent(room);
    const phone = new Phone(room, 'a');
    phone.say(1);
    agent.say(2);
    expect([phone.heard, agent.heard]).toEqual([[2], [1]]);
  });

  test('leaves no echo agent behind when it leaves', () => {
    const room = new Room();
    const phone = new Phone(room, 'a');
    phone.say(1);
    const agent = new Agent(room);
    agent.place.close();
    phone.say(2);
    expect(phone.heard).toEqual([1]);
  });

  test('is notified of phones from their first frame until they leave', () => {
    const room = new Room();
    const agent = new Agent(room);
    const phone = new Phone(room, 'a');
    expect([agent.events, agent.place.phones]).toEqual([[], []]);
    phone.say(1);
    phone.say(1);
    phone.member.dtmf('5');
    expect(agent.place.phones).toEqual(['a']);
    phone.member.close();
    phone.member.close();
    expect(agent.events).toEqual(['+a', 'a:5', '-a']);
    const silent = new Phone(room, 'b');
    silent.member.close();
    expect(agent.events).toHaveLength(3);
  });

  test('is not waited for between talkspurts, and is mixed as soon as it talks', () => {
    const room = new Room();
    const [a, b] = [new Phone(room, 'a'), new Phone(room, 'b')];
    const agent = new Agent(room);
    agent.say(100);
    a.say(1);
    b.say(10);
    expect(agent.heard).toEqual([11]);
    agent.place.endTalkspurt();
    for (let i = 0; i < 5; i++) {
      a.say(1);
      b.say(10);
    }
    expect(agent.heard).toEqual([11, 11, 11, 11, 11, 11]);
    expect(a.heard).toEqual([110, 10, 10, 10, 10, 10]);
    agent.say(100);
    a.say(1);
    b.say(10);
    expect(a.heard.at(-1)).toBe(110);
  });

  test('clears every live phone and returns the longest audio dropped', () => {
    const room = new Room();
    const [a, b] = [new Phone(room, 'a'), new Phone(room, 'b')];
    b.isLive = false;
    const agent = new Agent(room);
    expect(agent.place.clear()).toBe(60);
    expect([a.clears, b.clears]).toEqual([1, 0]);
  });

  test('gets the result of a mark from the only phone', () => {
    const room = new Room();
    const agent = new Agent(room);
    const fates: MarkPlace[] = [];
    const mark = () => agent.place.mark((place) => fates.push(place));
    mark();
    expect(fates).toEqual(['sent']);
    const phone = new Phone(room, 'a');
    mark();
    mark();
    const [first, second] = phone.marks as [string, string];
    expect(first).not.toBe(second);
    phone.member.marked({ name: first, playedMs: 0, cleared: false });
    phone.member.marked({ name: second, playedMs: 0, cleared: true });
    phone.member.marked({ name: second, playedMs: 0, cleared: true });
    phone.member.marked({ name: 'unknown', playedMs: 0, cleared: false });
    expect(fates).toEqual(['sent', 'heard', 'cleared']);
    mark();
    phone.member.close();
    expect(fates.at(-1)).toBe('cleared');
    const full = new Phone(room, 'b');
    full.isFull = true;
    mark();
    new Phone(room, 'c');
    mark();
    expect(fates.slice(4)).toEqual(['sent', 'sent']);
  });

  test('hangs up one phone, or all', () => {
    const room = new Room();
    const [a, b] = [new Phone(room, 'a'), new Phone(room, 'b')];
    const agent = new Agent(room);
    expect(agent.place.hangUp('x')).toBe(0);
    expect(agent.place.hangUp('b')).toBe(1);
    expect([a.hungUp, b.hungUp]).toEqual([false, true]);
    expect(agent.place.hangUp()).toBe(2);
    expect(a.hungUp).toBe(true);
  });

  test('may send ahead where nothing is mixed: one frame less than the lead, at most 200 ms', () => {
    const ahead = (leadMs: number) => {
      const agent = {} as Program;
      return new LocalBridge(leadMs).joinProgram('r', agent, false).aheadMs;
    };
    expect([ahead(120), ahead(60), ahead(10_000)]).toEqual([100, 40, 200]);
    const room = new Room(() => {}, 80);
    const agent = new Agent(room);
    new Phone(room, 'a');
    expect(agent.place.aheadMs).toBe(80);
    new Phone(room, 'b');
    expect(agent.place.aheadMs).toBe(30);
  });
});

describe('a listen-only program', () => {
  test('hears everybody in one mix and is not a member', () => {
    const room = new Room();
    const ear = new Agent(room, true);
    const [a, b] = [new Phone(room, 'a'), new Phone(room, 'b')];
    for (let i = 0; i < 12; i++) {
      a.say(1);
      b.say(10);
      ear.say(100);
    }
    // The first voice is not kept waiting for others that may not come.
    expect(ear.heard[0]).toBe(1);
    expect(new Set(ear.heard.slice(1))).toEqual(new Set([11]));
    expect([a.heard, b.heard]).toEqual([new Array(12).fill(10), new Array(12).fill(1)]);
    const c = new Phone(room, 'c');
    for (let i = 0; i < 12; i++) {
      a.say(1);
      b.say(10);
      c.say(100);
    }
    expect(ear.heard.at(-1)).toBe(111);
    expect(ear.events).toEqual(['+a', '+b', '+c']);
  });

  test('waits for a late voice, so that one sent ahead stays aligned', () => {
    const room = new Room(() => {}, 80);
    const phone = new Phone(room, 'a');
    const agent = new Agent(room);
    const ear = new Agent(room, true);
    phone.say(1);
    // Four frames at once, then as many as the phone.
    for (let i = 0; i < 4; i++) agent.say(10);
    for (let i = 0; i < 20; i++) {
      phone.say(1);
      agent.say(10);
    }
    expect(ear.heard.slice(1)).toEqual(new Array(ear.heard.length - 1).fill(11));
    // What was ahead is heard when the agent rests; nothing was lost.
    agent.place.endTalkspurt();
    for (let i = 0; i < 8; i++) phone.say(1);
    expect(ear.heard.reduce((sum, value) => sum + value, 0)).toBe(29 * 1 + 24 * 10);
  });

  test('does not hear what was cleared', () => {
    const room = new Room();
    const phone = new Phone(room, 'a');
    const agent = new Agent(room);
    const ear = new Agent(room, true);
    phone.say(1);
    agent.say(10);
    agent.say(10);
    agent.place.clear();
    agent.place.endTalkspurt();
    for (let i = 0; i < 10; i++) phone.say(1);
    expect(ear.heard).toEqual([1, ...new Array(10).fill(1)]);
  });

  test('keeps its room open until it leaves', () => {
    let empty = 0;
    const room = new Room(() => {
      empty += 1;
    });
    const ear = new Agent(room, true);
    const phone = new Phone(room, 'a');
    phone.member.close();
    expect([room.size, empty]).toEqual([1, 0]);
    ear.place.close();
    ear.place.close();
    expect([room.size, empty]).toEqual([0, 1]);
  });
});
