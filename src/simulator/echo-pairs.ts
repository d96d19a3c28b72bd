import { FRAME_BYTES, FRAME_MS } from './audio.js';
import { LEVELS_A_FRAME, Levels, PAUSE_LEVEL } from './levels.js';

const LEVELS_A_SECOND = 50 * LEVELS_A_FRAME;
/** Sent frames that are kept: about 20 s, far more than any echo is late. */
const KEPT_SENT = 1024;
/** Frames that came back and may wait for their pairs; so many of their levels are looked at together. */
const KEPT_BACK = 256;
const MOST_WAITING = 128;
const FEW_WAITING = 50;
/** How often they are looked at, in frames that came back, and at most so many times as rarely where nothing is found. */
const LOOK_EVERY = 25;
const MOST_PATIENCE = 64;
/** Frames that are left for the next look: what comes after tells of them. */
const HELD_BACK = 10;
/** Pairs are looked at in blocks of 100 ms: sums of differences of their levels, each in steps of 0.75 dB. */
const BLOCK = 5 * LEVELS_A_FRAME;
/** A block that varies less says nothing of its place. */
const VARIED = 60;
/** One that differs less is as it was sent. */
const ALIKE = 30;
/** A block is in its place where it differs so much less than 20 ms before and after; and is not, where it differs more. */
const CLEARLY = 0.6;
const DIFFERENT = 160;
/** Other places nearby, in levels. */
const NEAR = [-2, -1, 1, 2];
const AROUND = [...NEAR, -LEVELS_A_FRAME, LEVELS_A_FRAME];
/** The way through the levels of least cost: a difference counts so much at most, … */
const MOST_DIFFERENT = 24;
/** … 5 ms that are nobody's echo so much, … */
const UNPAIRED_COST = 12;
/** … and it must be worth so much to leave a place for another. */
const JUMP_COST = 100;
/** … less where a word is shortened. */
const SHORTEN_COST = 30;
/** More than this of difference on the way is another sound. */
const MOST_ALIKE = 6;
/** Of an echo at least this share is where it was expected, once so many frames came back; or it is like another by chance. */
const LEAST_STEADY = 0.1;
const ENOUGH = 100;
/** After so many looks in a row, 10 s, it is looked more seldom, and only in the latest 5 s. */
const MOST_REALIGNED = 20;
const RECENT = 5 * LEVELS_A_SECOND;
/** Where a jump took place is known but for so much. */
const AMBIGUOUS = 40;
/** Less of a word than this is left out, at one place, where words are shortened by a period of the voice: 20 ms. */
const WORD_LEVELS = LEVELS_A_FRAME;
/** Words may be shortened by this share of a second. */
const MOST_SHORTENED = 0.15;
const LEVEL_MS = FRAME_MS / LEVELS_A_FRAME;
/** How a place was come to: not from the same or one a little below. */
const JUMP = WORD_LEVELS;
const NOWHERE = -(2 ** 31);
/** Longer messages are taken in pieces: characters and bytes. */
const PIECE = 4000;
const PIECE_BYTES = (PIECE / 4) * 3;

/** What did not come back though what came after it did, or it had the time. */
export interface LeftOut {
  /** Frames of words. */
  readonly framesMissing: number;
  /** Frames of silence, below -36 dBFS. */
  readonly pausesLeftOut: number;
  /** Milliseconds of words, each time less than 20, at most 15 % of any second. */
  readonly wordsShortenedMs: number;
}

/** Who hears of a frame whose pair is known: when it was sent and when its echo came, in monotonic milliseconds. */
type OnPair = (sentAt: number, cameAt: number) => void;

/**
 * Finds out which sent frame each frame that came back is the echo of, by how loud both are over time: servers leave out
 * silent frames of pauses, shorten words, put in silence or send again, and the n-th back is not the n-th sent any more.
 */
export class EchoPairs {
  private readonly sent = new Levels(KEPT_SENT * LEVELS_A_FRAME);
  private readonly back = new Levels(KEPT_BACK * LEVELS_A_FRAME);
  private readonly sentAt = new Float64Array(KEPT_SENT);
  private readonly cameAt = new Float64Array(KEPT_BACK);
  /** Of each frame that came back: frames sent by then. */
  private readonly sentBy = new Float64Array(KEPT_BACK);
  /** Frames sent, and whole ones that came back. */
  private sentFrames = 0;
  private backFrames = 0;
  private backBytes = 0;
  /** By how many levels a sent one is further on than its echo. */
  private shift = 0;
  /** Levels that came back and were judged, and the sent one that is expected next. */
  private judged = 0;
  private expected = 0;
  private nextLook = LOOK_EVERY;
  private patience = 1;
  private hasVaried = false;
  private isProven = false;
  /** Levels of sound that have pairs, and that are nobody's echo. */
  private paired = 0;
  private unpaired = 0;
  /** Frames that were in the place where they were expected, and looks in a row that found none. */
  private steady = 0;
  private realigned = 0;
  /** Levels of pauses left out, of words shortened and missing. */
  private pauses = 0;
  private shortened = 0;
  private missing = 0;
  /** Levels by which words may be shortened by now. */
  private allowance = MOST_SHORTENED * LEVELS_A_SECOND;
  /** Levels of words left out at nearly one place: where, how many, and how many of them count as shortened. */
  private cutAt = 0;
  private cut = 0;
  private cutShortened = 0;
  /** Levels of silence that came back since, and are nobody's echo: as good as a pause that was sent. */
  private silence = 0;
  private latestMs = 0;

  /** @param isEcho whether an echo is expected; one is taken for one where not */
  constructor(
    private readonly onPair: OnPair,
    private readonly isEcho = true,
  ) {}

  get framesSent(): number {
    return this.sentFrames;
  }

  /** Of the last echo whose pair is known. */
  get latestRoundTripMs(): number {
    return this.latestMs;
  }

  get framesBack(): number {
    return this.backFrames;
  }

  /** Whether the sound says that pairs are right; `undefined` where it does not vary, or there was none. */
  get isRight(): boolean | undefined {
    const isSeldomSteady = this.backFrames >= ENOUGH && this.steady < LEAST_STEADY * this.backFrames;
    if (this.hasVaried && (this.unpaired > this.paired || isSeldomSteady)) return false;
    return this.isProven || undefined;
  }

  frameSent(payload: string, now: number): void {
    if (this.isEcho) this.sent.add(payload, FRAME_BYTES);
    this.sentAt[this.sentFrames % KEPT_SENT] = now;
    this.sentFrames += 1;
  }

  mediaReceived(payload: string, bytes: number, now: number): void {
    if (!this.isEcho) {
      this.backBytes += bytes;
      for (
        const complete = Math.floor(this.backBytes / FRAME_BYTES);
        this.backFrames < complete;
        this.backFrames++
      ) {
        this.cameAt[this.backFrames % KEPT_BACK] = now;
        this.reportPair(this.backFrames, this.backFrames);
      }
      return;
    }
    if (payload.length <= PIECE) {
      this.addEcho(payload, bytes, now);
      return;
    }
    for (let at = 0; at < payload.length; at += PIECE) {
      this.addEcho(payload.slice(at, at + PIECE), Math.min(PIECE_BYTES, bytes - (at / 4) * 3), now);
    }
  }

  /** Judges all that came back, also what later frames could have told more of. */
  conclude(): void {
    if (this.isEcho) this.matchPairs(true);
  }

  /** What was left out, in frames. @param due frames sent that should be back by now */
  leftOut(due: number): LeftOut {
    if (!this.isEcho) {
      return { framesMissing: Math.max(0, due - this.backFrames), pausesLeftOut: 0, wordsShortenedMs: 0 };
    }
    let { missing, pauses } = this;
    const end = due * LEVELS_A_FRAME;
    for (let at = this.expected; at < end; at++) {
      if (this.isPause(at)) pauses += 1;
      else missing += 1;
    }
    return {
      framesMissing: Math.round(missing / LEVELS_A_FRAME),
      pausesLeftOut: Math.round(pauses / LEVELS_A_FRAME),
      wordsShortenedMs: this.shortened * LEVEL_MS,
    };
  }

  /** Frames sent until a moment. */
  sentUntil(time: number): number {
    const oldest = Math.max(0, this.sentFrames - KEPT_SENT);
    let due = this.sentFrames;
    while (due > oldest && (this.sentAt[(due - 1) % KEPT_SENT] as number) > time) due -= 1;
    return due;
  }

  private addEcho(payload: string, bytes: number, now: number): void {
    this.back.add(payload, bytes);
    this.backBytes += bytes;
    // Messages of another size than a frame's: every frame that is complete now has arrived now.
    const complete = Math.floor(this.backBytes / FRAME_BYTES);
    while (this.backFrames < complete) {
      this.cameAt[this.backFrames % KEPT_BACK] = now;
      this.sentBy[this.backFrames % KEPT_BACK] = this.sentFrames;
      this.backFrames += 1;
    }
    if (this.backFrames >= this.nextLook) this.matchPairs(false);
  }

  private matchPairs(isLast: boolean): void {
    this.nextLook = this.backFrames + LOOK_EVERY * this.patience;
    const end = this.backFrames * LEVELS_A_FRAME;
    // Where little is found, less is looked at.
    this.settleUpTo(end - (this.patience > 1 ? FEW_WAITING : MOST_WAITING) * LEVELS_A_FRAME);
    if (this.judged === end) return;
    const { rightTo, isWrong } = this.compare(end);
    if (!this.hasVaried) this.judge(end);
    else if (isWrong && this.hasSound(end)) this.realign(end, isLast);
    else this.judge(isLast ? end : this.withoutSilence(rightTo));
  }

  /** What came back so long ago that nothing tells of its pairs any more. */
  private settleUpTo(to: number): void {
    // Where nothing ever told of any, one is taken for one.
    if (!this.isProven) this.judge(to);
    // Nor is anything known of what is not kept.
    const unknown = Math.min(to, this.back.oldest) - this.judged;
    if (unknown > 0) {
      this.judged += unknown;
      this.expected = Math.max(this.expected, this.judged + this.shift);
    }
    for (; this.judged < to; this.judged++) this.pair(this.judged, this.judged + this.shift);
  }

  /** Whether what waits is in its place. @returns to where blocks prove it, and whether one disproves it */
  private compare(end: number): { rightTo: number; isWrong: boolean } {
    const { shift } = this;
    let rightTo = this.judged;
    let isWrong = false;
    for (let begin = this.judged; begin + BLOCK <= end; begin += BLOCK) {
      const here = this.blockDifference(begin, shift);
      const before = this.blockDifference(begin, shift - LEVELS_A_FRAME);
      const after = this.blockDifference(begin, shift + LEVELS_A_FRAME);
      const beside = Math.min(before, after);
      let near = beside;
      // Where next to nothing differs there is no better place.
      if (here > ALIKE) for (const by of NEAR) near = Math.min(near, this.blockDifference(begin, shift + by));
      const isVaried = this.variation(begin + shift) > VARIED;
      this.hasVaried ||= isVaried;
      if (isVaried && here < CLEARLY * beside && here <= near) {
        rightTo = begin;
        this.isProven = true;
      }
      isWrong ||= here > DIFFERENT || (here > VARIED && near < CLEARLY * here);
    }
    return { rightTo, isWrong };
  }

  /** Silence tells nothing: it waits for what comes after it. @param to where a frame ends */
  private withoutSilence(to: number): number {
    let end = to;
    while (end > this.judged && this.isQuiet(end - 1)) end -= LEVELS_A_FRAME;
    return Math.max(end, this.judged);
  }

  private hasSound(end: number): boolean {
    for (let at = this.judged; at < end; at++) if (!this.isQuiet(at)) return true;
    return false;
  }

  private blockDifference(begin: number, shift: number): number {
    let sum = 0;
    for (let at = begin; at < begin + BLOCK; at++) sum += this.difference(at, at + shift);
    return sum;
  }

  /** How much the levels of a block that was sent differ from those 20 ms before. */
  private variation(begin: number): number {
    let sum = 0;
    const to = Math.min(begin + BLOCK, this.sent.length);
    for (let at = Math.max(begin, this.sent.oldest + LEVELS_A_FRAME); at < to; at++) {
      sum += Math.abs(this.sent.at(at) - this.sent.at(at - LEVELS_A_FRAME));
    }
    return sum;
  }

  /** Finds anew where each level that waits belongs: the way of least cost through all places. */
  private realign(end: number, isLast: boolean): void {
    const { judged: begin, sent, back } = this;
    const length = end - begin;
    const oldest = this.patience > 1 ? Math.max(sent.oldest, sent.length - RECENT) : sent.oldest;
    const lowest = Math.max(this.expected, oldest) - end;
    // The last place is nowhere: of what is nobody's echo.
    const nowhere = Math.max(1, sent.length - begin - lowest);
    const ways = waysOf(length, nowhere + 1);
    const { costs, steps, best, path } = ways;
    costs.fill(JUMP_COST, 0, nowhere + 1);
    if (this.shift >= lowest && this.shift - lowest < nowhere) costs[this.shift - lowest] = 0;
    let cheapest = 0;
    for (let i = 0; i < length; i++) {
      const jump = cheapest + JUMP_COST;
      const row = i * (nowhere + 1);
      const level = back.at(begin + i);
      const first = begin + i + lowest;
      const sentBy = this.sentBy[Math.floor((begin + i) / LEVELS_A_FRAME) % KEPT_BACK] as number;
      const [from, to] = [sent.oldest - first, sentBy * LEVELS_A_FRAME - first];
      let [least, where] = [Number.POSITIVE_INFINITY, 0];
      // Downwards, for words are shortened from a place to one a little above.
      for (let place = nowhere; place >= 0; place--) {
        let cost = costs[place] as number;
        let step = 0;
        if (place < nowhere) {
          for (let less = 1; less < WORD_LEVELS && less <= place; less++) {
            const shortened = (costs[place - less] as number) + SHORTEN_COST;
            if (shortened >= cost) continue;
            cost = shortened;
            step = less;
          }
        }
        if (cost > jump) {
          cost = jump;
          step = JUMP;
        }
        steps[row + place] = step;
        if (place === nowhere) cost += UNPAIRED_COST;
        else if (place < from || place >= to) cost += MOST_DIFFERENT;
        else cost += Math.min(Math.abs(level - sent.at(first + place)), MOST_DIFFERENT);
        costs[place] = cost;
        if (cost >= least) continue;
        least = cost;
        where = place;
      }
      cheapest = least;
      best[i] = where;
    }
    for (let i = length - 1, place = best[i] as number; i >= 0; i--) {
      path[i] = place === nowhere ? NOWHERE : lowest + place;
      const step = steps[i * (nowhere + 1) + place] as number;
      if (step !== JUMP) place -= step;
      else if (i > 0) place = best[i - 1] as number;
    }
    this.doubt(begin, length, ways);
    const { paired, unpaired } = this;
    this.realigned += 1;
    this.judge(isLast ? end : this.withoutSilence(end - HELD_BACK * LEVELS_A_FRAME), ways);
    const isOften = this.realigned > MOST_REALIGNED;
    if (this.paired > paired && !isOften) this.patience = 1;
    else if (isOften || this.unpaired > unpaired) {
      this.patience = Math.min(2 * this.patience, MOST_PATIENCE);
    }
  }

  /** Takes back what is right by chance. */
  private doubt(begin: number, length: number, ways: Ways): void {
    const { path } = ways;
    let [loud, found, different] = [0, 0, 0];
    for (let from = 0, to = 0; from < length; from = to) {
      const place = path[from] as number;
      let sounds = 0;
      for (; to < length && path[to] === place; to++) {
        if (this.isQuiet(begin + to)) continue;
        sounds += 1;
        if (place !== NOWHERE) different += this.difference(begin + to, begin + to + place);
      }
      loud += sounds;
      if (place !== NOWHERE) found += sounds;
      // Silence that was put in is as good as any silence that was sent.
      if (sounds === 0 && place !== this.shift) path.fill(NOWHERE, from, to);
    }
    if (found * 2 < loud || different > MOST_ALIKE * found) path.fill(NOWHERE, 0, length);
    this.markDoubts(begin, length, ways);
  }

  /** Around a jump from one place to another, all that would be as right in the other. */
  private markDoubts(begin: number, length: number, { path, doubts }: Ways): void {
    doubts.fill(0, 0, length);
    let [last, lastPlace] = [-1, this.shift];
    for (let i = 0; i < length; i++) {
      const place = path[i] as number;
      if (place === NOWHERE) continue;
      if (place !== lastPlace) {
        for (let at = last, sum = 0; at >= 0 && (sum < AMBIGUOUS || this.isQuiet(begin + at)); at--) {
          doubts[at] = 1;
          sum += this.advantage(begin + at, lastPlace, place);
        }
        for (let at = i, sum = 0; at < length && (sum < AMBIGUOUS || this.isQuiet(begin + at)); at++) {
          doubts[at] = 1;
          sum += this.advantage(begin + at, place, lastPlace);
        }
      }
      last = i;
      lastPlace = place;
    }
  }

  private advantage(at: number, shift: number, other: number): number {
    return this.difference(at, at + other) - this.difference(at, at + shift);
  }

  /** Counts what waits up to `to`, and tells of pairs. Without `ways` all of it is where it was expected. */
  private judge(to: number, ways?: Ways): void {
    const begin = this.judged;
    if (ways === undefined && to > begin) {
      this.steady += (to - begin) / LEVELS_A_FRAME;
      this.realigned = 0;
      this.patience = 1;
    }
    for (let frame = begin; frame < to; frame += LEVELS_A_FRAME) {
      let isCertain = true;
      const first = ways === undefined ? this.shift : (ways.path[frame - begin] as number);
      for (let at = frame; at < frame + LEVELS_A_FRAME; at++) {
        const shift = ways === undefined ? this.shift : (ways.path[at - begin] as number);
        isCertain &&= shift === first && shift !== NOWHERE && ways?.doubts[at - begin] !== 1;
        if (shift === NOWHERE) {
          if (this.isQuiet(at)) this.silence += 1;
          else this.unpaired += 1;
          continue;
        }
        if (!this.isQuiet(at)) this.paired += 1;
        if (at + shift < this.expected) isCertain = false;
        this.pair(at, at + shift);
        this.shift = shift;
      }
      isCertain &&= first % LEVELS_A_FRAME === 0;
      if (isCertain && (ways === undefined || this.isBest(frame, first, begin, to))) {
        this.reportPair(frame / LEVELS_A_FRAME, (frame + first) / LEVELS_A_FRAME);
      }
    }
    this.judged = Math.max(begin, to);
  }

  /** A level that came back is the echo of that which was sent. */
  private pair(back: number, sent: number): void {
    if (sent > this.expected) this.countLeftOut(this.expected, sent);
    // Silence in the place of a word.
    if (this.isQuiet(back) && this.difference(back, sent) === MOST_DIFFERENT) this.countWord(sent);
    this.silence = 0;
    this.expected = Math.max(this.expected, sent + 1);
  }

  /** Whether a frame and those around it are in no better place nearby. */
  private isBest(frame: number, shift: number, least: number, most: number): boolean {
    const begin = Math.max(least, Math.min(frame - BLOCK / 2 + LEVELS_A_FRAME / 2, most - BLOCK));
    const here = this.blockDifference(begin, shift);
    for (const by of AROUND) if (this.blockDifference(begin, shift + by) < here) return false;
    return true;
  }

  private reportPair(back: number, sent: number): void {
    if (sent < 0 || sent >= this.sentFrames || sent < this.sentFrames - KEPT_SENT) return;
    const sentAt = this.sentAt[sent % KEPT_SENT] as number;
    const cameAt = this.cameAt[back % KEPT_BACK] as number;
    this.latestMs = cameAt - sentAt;
    this.onPair(sentAt, cameAt);
  }

  private countLeftOut(from: number, to: number): void {
    for (let at = from; at < to; at++) {
      if (!this.isPause(at)) this.countWord(at);
      else if (this.silence > 0) this.silence -= 1;
      else this.pauses += 1;
    }
  }

  /** A level of a word is left out: the word is shortened, unless that is too much of it. */
  private countWord(at: number): void {
    const isOneCut = at - this.cutAt < WORD_LEVELS;
    this.cut = isOneCut ? this.cut + 1 : 1;
    this.allowance += MOST_SHORTENED * (at - this.cutAt);
    this.allowance = Math.min(this.allowance, MOST_SHORTENED * LEVELS_A_SECOND);
    this.cutAt = at;
    if (!isOneCut) this.cutShortened = 0;
    if (this.cut < WORD_LEVELS && this.allowance >= 1) {
      this.allowance -= 1;
      this.cutShortened += 1;
      this.shortened += 1;
      return;
    }
    this.missing += 1;
    if (this.cut !== WORD_LEVELS) return;
    this.missing += this.cutShortened;
    this.shortened -= this.cutShortened;
  }

  private isPause(at: number): boolean {
    return at >= this.sent.oldest && this.sent.at(at) < PAUSE_LEVEL;
  }

  private isQuiet(back: number): boolean {
    return this.back.at(back) < PAUSE_LEVEL;
  }

  /** Between what came back and what was sent, at most {@link MOST_DIFFERENT}. */
  private difference(back: number, sent: number): number {
    const sentBy = this.sentBy[Math.floor(back / LEVELS_A_FRAME) % KEPT_BACK] as number;
    if (sent < this.sent.oldest || sent >= sentBy * LEVELS_A_FRAME) return MOST_DIFFERENT;
    return Math.min(Math.abs(this.back.at(back) - this.sent.at(sent)), MOST_DIFFERENT);
  }
}

/** Room to find a way in, shared by all: it is found at once. */
interface Ways {
  /** By place: the least cost of being there. */
  readonly costs: Int32Array;
  /** By level and place: from how much less it was come to, or by a {@link JUMP}. */
  readonly steps: Uint8Array;
  /** By level: the cheapest place, the shift at last or {@link NOWHERE}, and whether that is in doubt. */
  readonly best: Int32Array;
  readonly path: Int32Array;
  readonly doubts: Uint8Array;
}

let room: Ways | undefined;

function waysOf(levels: number, places: number): Ways {
  const size = levels * places;
  if (
    room !== undefined &&
    room.steps.length >= size &&
    room.costs.length >= places &&
    room.path.length >= levels
  ) {
    return room;
  }
  room = {
    costs: new Int32Array(places),
    steps: new Uint8Array(size),
    best: new Int32Array(levels),
    path: new Int32Array(levels),
    doubts: new Uint8Array(levels),
  };
  return room;
}
