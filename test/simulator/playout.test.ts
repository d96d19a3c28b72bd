import { afterEach, describe, expect, it } from 'vitest';
import { encodeMulaw, PlayoutBuffer, type PlayoutBufferOptions } from '../../src/simulator/index.js';
import { VirtualClock } from '../support/virtual-clock.js';

const loud = encodeMulaw(new Int16Array(160).fill(8000));
const marks: { name: string; at: number }[] = [];
let clock: VirtualClock;
let begun: number;
let buffer: PlayoutBuffer;

function open(options: Partial<PlayoutBufferOptions> = {}): PlayoutBuffer {
  marks.length = 0;
  clock = new VirtualClock();
  begun = clock.now();
  const onMark = (name: string) => marks.push({ name, at: clock.now() - begun });
  buffer = new PlayoutBuffer({ clock, onMark, ...options });
  return buffer;
}

afterEach(() => {
  buffer.close();
  expect(clock.pending).toBe(0);
});

describe('marks', () => {
  it('are echoed at once when nothing is buffered', () => {
    open().mark('now');
    expect(marks.map((mark) => mark.name)).toEqual(['now']);
  });

  it('are echoed in order when the audio before them was played', () => {
    open();
    buffer.append(800);
    buffer.mark('100 ms');
    buffer.append(800);
    buffer.mark('200 ms');
    expect(clock.pending).toBe(1);
    clock.advance(1_000);
    expect(marks).toEqual([
      { name: '100 ms', at: 100 },
      { name: '200 ms', at: 200 },
    ]);
  });

  it('wait for the de-jitter delay too', () => {
    open({ dejitterMs: 60 });
    buffer.append(160);
    buffer.mark('late');
    clock.advance(1_000);
    expect(marks).toEqual([{ name: 'late', at: 80 }]);
  });

  it('are bounded in number', () => {
    open();
    buffer.append(8000);
    let taken = 0;
    while (buffer.mark('x') && taken < 20_000) taken += 1;
    expect(taken).toBe(10_000);
  });
});

describe('clear', () => {
  it('drops what is buffered and echoes all waiting marks at once', () => {
    open();
    buffer.append(8000, 1000);
    buffer.mark('a', 1000);
    buffer.append(8000, 1000);
    buffer.mark('b', 1000);
    buffer.clear(1500);
    expect(marks.map((mark) => mark.name)).toEqual(['a', 'b']);
    expect(buffer.leadMs(1500)).toBe(0);
    expect(buffer.counts(1500)).toMatchObject({ clears: 1, clearedMs: 1500, playedMs: 500, marks: 2 });
  });

  it('causes no underrun later', () => {
    open();
    buffer.append(800, 1000);
    buffer.clear(1050);
    buffer.append(800, 3000);
    expect(buffer.counts(3000).underruns).toBe(0);
  });
});

describe('the clock', () => {
  it('plays a burst at 1×, and counts the lead', () => {
    open();
    buffer.append(16_000, 1000);
    expect(buffer.leadMs(1500)).toBe(1500);
    expect(buffer.counts(1500)).toMatchObject({ playedMs: 500, maxLeadMs: 2000, underruns: 0 });
  });

  it('counts a gap within speech as an underrun, but not a pause between', () => {
    open();
    buffer.append(160, 1000);
    buffer.append(160, 1050);
    buffer.append(160, 5000);
    expect(buffer.counts(6000)).toMatchObject({ underruns: 1, underrunMs: 30, playedMs: 60 });
  });
});

describe('the recording', () => {
  it('contains what was heard: silence before, in gaps and after, and no cleared audio', () => {
    open({ recordMs: 10_000 });
    buffer.begin(1000);
    buffer.append(160, 1010, loud);
    buffer.append(160, 1015, loud);
    buffer.append(160, 1060, loud);
    buffer.clear(1070);
    const heard = buffer.heard(1100);
    expect(heard.length).toBe(800);
    const edges = [...heard.keys()].filter((i) => (heard[i] !== 0) !== (i > 0 && heard[i - 1] !== 0));
    expect(edges).toEqual([80, 400, 480, 560]);
  });

  it('is bounded', () => {
    open({ recordMs: 100 });
    buffer.begin(1000);
    for (let i = 0; i < 50; i++) buffer.append(160, 1000, loud);
    expect(buffer.heard(3000).length).toBe(800);
  });
});
