import { beforeEach, describe, expect, it } from 'vitest';
import { loudnessOf, packLoudness } from '../../../src/bridge/stream/loudness.js';
import { RemoteMixer, type Speaker } from '../../../src/bridge/stream/remote-mixer.js';
import {
  type AudioStream,
  type AudioTrack,
  BLOCK_SAMPLES,
  type BlockListener,
  type RtcStack,
} from '../../../src/bridge/stream/rtc-stack.js';
import { FRAME_SAMPLES } from '../../../src/media/frame.js';
import { ingressNow } from '../../../src/telemetry/ingress-time.js';
import { limited, noise } from '../../support/media.js';
import { VirtualClock } from '../../support/virtual-clock.js';

const clock = new VirtualClock();
/** After this, participants who left are no longer heard. */
const TAIL_MS = 300;

/** One of a call, whose track the test gives its blocks. */
class Talker {
  readonly sinks: { readonly listener: BlockListener; stopped: number }[] = [];
  private readonly track = { talker: this } as unknown as AudioTrack;
  private stream: AudioStream | undefined = this.newStream();

  constructor(private readonly sessionId: string) {}

  get speaker(): Speaker {
    return { sessionId: this.sessionId, userId: `user-of-${this.sessionId}`, audioStream: this.stream };
  }

  /** Its client connected anew, or has nothing to say any more. */
  reconnect(hasAudio = true): this {
    this.stream = hasAudio ? this.newStream() : undefined;
    return this;
  }

  /** 10 ms of it, from the latest sink that the ear made. */
  says(block: Int16Array | number, sampleRate = 48_000): void {
    const samples = typeof block === 'number' ? new Int16Array(BLOCK_SAMPLES).fill(block) : block;
    const sink = this.sinks.at(-1);
    if (sink !== undefined && sink.stopped === 0) sink.listener(samples, sampleRate);
  }

  private newStream(): AudioStream {
    return { id: `${this.sessionId}:audio`, getAudioTracks: () => [this.track] };
  }
}

const stack: RtcStack = {
  name: 'fake',
  blockSamples: BLOCK_SAMPLES,
  installGlobals() {},
  createAudioSource() {
    throw new Error('not here');
  },
  createAudioSink(track, listener) {
    const sink = { listener, stopped: 0 };
    (track as unknown as { talker: Talker }).talker.sinks.push(sink);
    return {
      stop() {
        sink.stopped += 1;
      },
    };
  },
};

/** What the phone heard, block by block, and the stamps of the frames. */
let heard: Int16Array[];
let stamps: number[];
/** What each frame says of the loudness of programs. */
let loudness: number[];
let ear: RemoteMixer;

beforeEach(() => {
  heard = [];
  stamps = [];
  loudness = [];
  ear = new RemoteMixer(
    stack,
    {
      write(frame, stamp, loud) {
        loudness.push(loud);
        expect(frame).toHaveLength(FRAME_SAMPLES);
        heard.push(frame.slice(0, BLOCK_SAMPLES), frame.slice(BLOCK_SAMPLES));
        stamps.push(stamp);
      },
    },
    clock,
  );
});

const talkers = (count: number) => Array.from({ length: count }, (_, i) => new Talker(`session-${i}`));
const listenTo = (all: readonly Talker[]) => ear.listenTo(all.map(({ speaker }) => speaker));
/** The first sample of every block: enough where blocks are of one value. */
const values = () => heard.map((block) => block[0]);

/** Listens to all of them, and lets them say so much that each is waited for, with nothing left of it. */
function meet(all: readonly Talker[]): void {
  listenTo(all);
  // Nobody waits for those who have not said anything yet: one block of the first alone, and one of all.
  for (const talker of all) talker.says(0);
  all[0]?.says(0);
  expect(heard).toHaveLength(2);
  heard.length = 0;
  stamps.length = 0;
}

/** Every stamp from here on is that of so much later. */
function later(ms: number): number {
  clock.advance(ms);
  return ingressNow(clock);
}

describe('one voice', () => {
  it('passes unchanged, two blocks a frame', () => {
    const [one] = talkers(1) as [Talker];
    listenTo([one]);
    const blocks = [1, 2, 3, 4].map((seed) => noise(BLOCK_SAMPLES, seed));
    for (const block of blocks.slice(0, 3)) one.says(block);
    expect(heard).toEqual(blocks.slice(0, 2));
    one.says(blocks[3] as Int16Array);
    expect(heard).toEqual(blocks);
  });

  it('has the timestamp of the first half of each frame', () => {
    const [one] = talkers(1) as [Talker];
    listenTo([one]);
    const first = later(0);
    one.says(1);
    later(10);
    one.says(2);
    const second = later(10);
    one.says(3);
    later(10);
    one.says(4);
    expect(stamps).toEqual([first, second]);
  });

  it.each([
    ['16 kHz, as before the first packet', 160, 16_000],
    ['16 kHz in blocks of the right length', BLOCK_SAMPLES, 16_000],
    ['20 ms', FRAME_SAMPLES, 48_000],
    ['nothing', 0, 48_000],
  ])('ignores blocks of another format: %s', (_, samples, sampleRate) => {
    const [one, two] = talkers(2) as [Talker, Talker];
    for (const all of [[one], [one, two]]) {
      listenTo(all);
      for (let i = 0; i < 10; i++) one.says(new Int16Array(samples).fill(9), sampleRate);
    }
    expect(heard).toEqual([]);
    two.says(1);
    two.says(2);
    expect(values(), 'nobody waits for it').toEqual([1, 2]);
  });
});

describe('several voices', () => {
  it.each([2, 3, 7])('are mixed exactly, %i of them: the sum, softly limited', (count) => {
    const all = talkers(count);
    meet(all);
    const rounds = Array.from({ length: 10 }, (_, round) =>
      all.map((_, i) => noise(BLOCK_SAMPLES, 100 * round + i + 1)),
    );
    for (const [round, blocks] of rounds.entries()) {
      // In any order.
      for (let i = 0; i < count; i++)
        all[(i + round) % count]?.says(blocks[(i + round) % count] as Int16Array);
    }
    const sums = rounds.map((blocks) =>
      Int16Array.from({ length: BLOCK_SAMPLES }, (_, n) => {
        const sum = blocks.reduce((total, block) => total + (block[n] as number), 0);
        return limited(sum, count);
      }),
    );
    expect(heard).toEqual(sums);
  });

  it('leave out one that lags by 30 ms, and include it again later', () => {
    const [one, two] = talkers(2) as [Talker, Talker];
    meet([one, two]);
    for (let i = 0; i < 4; i++) {
      one.says(1);
      two.says(10);
    }
    expect(values(), 'mixed').toEqual([11, 11, 11, 11]);
    one.says(1);
    one.says(1);
    expect(heard, 'waited for, 20 ms').toHaveLength(4);
    one.says(1);
    one.says(1);
    expect(values().slice(4), 'left out after 30 ms').toEqual([1, 1, 1, 1]);
    one.says(1);
    one.says(1);
    expect(values().slice(8), 'and no longer waited for').toEqual([1, 1]);
    two.says(10);
    expect(heard, 'back, and so the first is waited for').toHaveLength(10);
    one.says(1);
    two.says(10);
    one.says(1);
    expect(values().slice(10)).toEqual([11, 11]);
  });

  it('lose nothing of a bursty one within the waiting time', () => {
    const [one, two] = talkers(2) as [Talker, Talker];
    meet([one, two]);
    for (let i = 1; i <= 20; i += 2) {
      one.says(i);
      one.says(i + 1);
      two.says(100 * i);
      two.says(100 * (i + 1));
    }
    expect(values()).toEqual(Array.from({ length: 20 }, (_, i) => 101 * (i + 1)));
  });

  it('have the timestamp of the oldest block of the first half', () => {
    const [one, two] = talkers(2) as [Talker, Talker];
    meet([one, two]);
    const oldest = later(0);
    two.says(1);
    later(7);
    one.says(1);
    later(3);
    one.says(1);
    later(7);
    two.says(1);
    expect(stamps).toEqual([oldest]);
  });
});

describe('a participant', () => {
  it('is heard as soon as it has audio', () => {
    const [one] = talkers(1) as [Talker];
    one.reconnect(false);
    listenTo([one]);
    expect(one.sinks).toHaveLength(0);
    listenTo([one.reconnect()]);
    one.says(1);
    one.says(2);
    expect(values()).toEqual([1, 2]);
  });

  it('whose stream was replaced is heard by the new one, and the old sink is stopped', () => {
    const [one] = talkers(1) as [Talker];
    listenTo([one]);
    one.says(1);
    one.says(2);
    listenTo([one.reconnect()]);
    expect(one.sinks.map(({ stopped }) => stopped)).toEqual([1, 0]);
    one.says(3);
    one.says(4);
    expect(values()).toEqual([1, 2, 3, 4]);
  });

  it('that stays keeps its sink', async () => {
    const [one, two, three] = talkers(3) as [Talker, Talker, Talker];
    listenTo([one, two]);
    listenTo([two, one]);
    listenTo([three, one, two]);
    listenTo([one, three]);
    await clock.pass(TAIL_MS);
    expect([one, two, three].map(({ sinks }) => sinks.length)).toEqual([1, 1, 1]);
    expect([one, two, three].map(({ sinks }) => sinks[0]?.stopped)).toEqual([0, 1, 0]);
  });

  it('that has left is not waited for', () => {
    const [one, two] = talkers(2) as [Talker, Talker];
    meet([one, two]);
    listenTo([one]);
    for (let i = 1; i <= 4; i++) one.says(i);
    expect(values()).toEqual([1, 2, 3, 4]);
  });

  it('has no stale audio in the next mix', () => {
    const [one, two, three] = talkers(3) as [Talker, Talker, Talker];
    meet([one, two]);
    one.says(77);
    one.says(77);
    listenTo([one, two, three]);
    for (let i = 0; i < 4; i++) {
      three.says(5);
      two.says(10);
      one.says(1);
    }
    expect(values()).toEqual([16, 16, 16, 16]);
  });
});

describe('a participant that has left', () => {
  const stopped = ({ sinks }: Talker) => sinks[0]?.stopped;

  it('is heard until it is quiet', () => {
    const [one] = talkers(1) as [Talker];
    listenTo([one]);
    one.says(1_000);
    listenTo([]);
    for (let i = 0; i < 9; i++) one.says(1_000);
    for (let i = 0; i < 11; i++) one.says(0);
    expect(stopped(one)).toBe(0);
    // Quieter than -60 dBFS is quiet.
    one.says(-33);
    expect(stopped(one)).toBe(1);
    expect(values()).toEqual([...Array(10).fill(1_000), ...Array(11).fill(0), -33]);
  });

  it('is heard for at most 300 ms, with the others', async () => {
    const [one, two] = talkers(2) as [Talker, Talker];
    meet([one, two]);
    listenTo([one]);
    for (let i = 0; i < 29; i++) {
      one.says(1);
      two.says(1_000);
      await clock.pass(10);
    }
    expect([stopped(one), stopped(two)]).toEqual([0, 0]);
    expect(values().slice(0, 28)).toEqual(Array(28).fill(1_001));
    await clock.pass(10);
    expect([stopped(one), stopped(two)]).toEqual([0, 1]);
    const before = heard.length;
    one.says(1);
    one.says(1);
    expect(values().slice(before)).toContain(1);
  });

  it('and returns is heard as before', async () => {
    const [one] = talkers(1) as [Talker];
    listenTo([one]);
    listenTo([]);
    listenTo([one]);
    await clock.pass(2 * TAIL_MS);
    for (let i = 0; i < 30; i++) one.says(0);
    expect(one.sinks.map((sink) => sink.stopped)).toEqual([0]);
  });

  it('is waited for at the end of a call', async () => {
    const [one, two] = talkers(2) as [Talker, Talker];
    listenTo([one, two]);
    let isOver = false;
    const finished = ear.finish().then(() => {
      isOver = true;
    });
    for (let i = 0; i < 12; i++) {
      one.says(0);
      two.says(1_000);
    }
    await clock.pass(0);
    expect(isOver).toBe(false);
    for (let i = 0; i < 12; i++) two.says(0);
    await finished;
    expect([stopped(one), stopped(two)]).toEqual([1, 1]);
    await ear.finish();
  });

  it('is not waited for when the mixer is closed', async () => {
    const [one] = talkers(1) as [Talker];
    listenTo([one]);
    const finished = ear.finish();
    ear.close();
    await finished;
    await clock.pass(2 * TAIL_MS);
    expect(stopped(one)).toBe(1);
  });
});

it('is silent after it is closed', () => {
  const all = talkers(3);
  listenTo(all);
  for (const talker of all) talker.says(1);
  ear.close();
  heard.length = 0;
  expect(all.map(({ sinks }) => sinks[0]?.stopped)).toEqual([1, 1, 1]);
  // Even where a sink says one thing more.
  for (let i = 0; i < 10; i++) for (const { sinks } of all) sinks[0]?.listener(new Int16Array(480), 48_000);
  expect(heard).toEqual([]);
});

describe('programs', () => {
  const loud = (value: number) => loudnessOf(new Int16Array(BLOCK_SAMPLES).fill(value));

  it('have their loudness reported; other voices do not count', () => {
    const [program, other] = talkers(2) as [Talker, Talker];
    ear.followPrograms(['user-of-session-0']);
    meet([program, other]);
    loudness.length = 0;
    for (const value of [2_000, 0]) {
      program.says(value);
      other.says(30);
    }
    expect(heard.map((block) => block[0])).toEqual([2_030, 30]);
    expect(loudness).toEqual([packLoudness(loud(2_000), 1)]);
    ear.followPrograms([]);
    for (const value of [2_000, 2_000]) {
      program.says(value);
      other.says(30);
    }
    expect(loudness[1]).toBe(0);
  });

  it('that are hushed are left out for that time, and nobody else is', () => {
    const [program, other] = talkers(2) as [Talker, Talker];
    meet([program, other]);
    ear.followPrograms(['user-of-session-0']);
    ear.hush('user-of-session-0', 35);
    for (let i = 0; i < 6; i++) {
      program.says(1_000);
      other.says(30);
    }
    expect(values()).toEqual([30, 30, 30, 30, 1_030, 1_030]);
    expect(loudness.at(-2)).toBe(packLoudness(loud(1_000), loud(1_000)));
  });

  it('that are alone are silent while hushed', () => {
    const [program] = talkers(1) as [Talker];
    listenTo([program]);
    ear.followPrograms(['user-of-session-0']);
    ear.hush('user-of-session-0', 20);
    for (let i = 0; i < 4; i++) program.says(1_000);
    expect(values()).toEqual([0, 0, 1_000, 1_000]);
    expect(loudness[0]).toBe(packLoudness(loud(1_000), loud(1_000)));
  });
});
