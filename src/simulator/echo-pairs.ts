import { FRAME_BYTES, FRAME_MS } from './audio.js';
import { LEVELS_A_FRAME, Levels, PAUSE_LEVEL } from './levels.js';

const LEVELS_A_SECOND = 50 * LEVELS_A_FRAME;
/** Sent frames kept: about 20 s, far more than any delay of an echo. */
const KEPT_SENT = 1024;
/** Returned frames that may wait to be paired; this many levels are matched together. */
const KEPT_BACK = 256;
const MOST_WAITING = 128;
const FEW_WAITING = 50;
/** Interval of matching, in returned frames, and the factor by which it may grow if nothing is found. */
const LOOK_EVERY = 25;
const MOST_PATIENCE = 64;
/** Frames left for the next matching, because later frames decide about them. */
const HELD_BACK = 10;
/** Pairs are checked in blocks of 100 ms: sums of level differences, in steps of 0.75 dB. */
const BLOCK = 5 * LEVELS_A_FRAME;
/** A block that varies less does not show its position. */
const VARIED = 60;
/** A block that differs less is unchanged. */
const ALIKE = 30;
/** A block is in place if it differs this much less than 20 ms before and after; and is not, if it differs more. */
const CLEARLY = 0.6;
const DIFFERENT = 160;
/** Other positions nearby, in levels. */
const NEAR = [-2, -1, 1, 2];
const AROUND = [...NEAR, -LEVELS_A_FRAME, LEVELS_A_FRAME];
/** The path of least cost through the levels: maximum cost of a difference, … */
const MOST_DIFFERENT = 24;
/** … cost of 5 ms without an echo, … */
const UNPAIRED_COST = 12;
/** … cost of a jump to another position, … */
const JUMP_COST = 100;
/** … and of one that shortens a word. */
const SHORTEN_COST = 30;
/** A path with more difference than this is another sound. */
const MOST_ALIKE = 6;
/** After this many returned frames, at least this share of an echo must be in its expected place, or the match is chance. */
const LEAST_STEADY = 0.1;
const ENOUGH = 100;
/** After this many failed attempts in a row, 10 s, matching is less frequent, and covers only the latest 5 s. */
const MOST_REALIGNED = 20;
const RECENT = 5 * LEVELS_A_SECOND;
/** Uncertainty of the position of a jump. */
const AMBIGUOUS = 40;
/** A word that is shortened by a period of the voice loses less than this in one place: 20 ms. */
const WORD_LEVELS = LEVELS_A_FRAME;
/** Words may be shortened by this share of a second. */
const MOST_SHORTENED = 0.15;
const LEVEL_MS = FRAME_MS / LEVELS_A_FRAME;
/** A position reached by a jump, not from the same or one slightly below. */
const JUMP = WORD_LEVELS;
const NOWHERE = -(2 ** 31);
/** Longer messages are split: characters and bytes. */
const PIECE = 4000;
const PIECE_BYTES = (PIECE / 4) * 3;

/** Audio that did not return, although later audio did or its time has passed. */
export interface LeftOut {
  /** Frames of words. */
  readonly framesMissing: number;
  /** Frames of silence, below -36 dBFS. */
  readonly pausesLeftOut: number;
  /** Milliseconds of words, each time less than 20, at most 15 % of any second. */
  readonly wordsShortenedMs: number;
}

/** Called with each paired frame: when it was sent and when its echo arrived, in monotonic milliseconds. */
type OnPair = (sentAt: number, cameAt: number) => void;

/**
 * Finds the sent frame of each returned frame by comparing loudness over time: servers leave out pauses, shorten words,
 * insert silence or repeat frames, so the n-th returned frame need not be the n-th sent.
 */
export class EchoPairs {
  private readonly sent = new Levels(KEPT_SENT * LEVELS_A_FRAME);
  private readonly back = new Levels(KEPT_BACK * LEVELS_A_FRAME);
  private readonly sentAt = new Float64Array(KEPT_SENT);
  private readonly cameAt = new Float64Array(KEPT_BACK);
  /** For each returned frame: frames sent until then. */
  private readonly sentBy = new Float64Array(KEPT_BACK);
  /** Frames sent, and complete frames returned. */
  private sentFrames = 0;
  private backFrames = 0;
  private backBytes = 0;
  /** Offset in levels between a sent frame and its echo. */
  private shift = 0;
  /** Returned levels that were matched, and the sent level expected next. */
  private judged = 0;
  private expected = 0;
  private nextLook = LOOK_EVERY;
  private patience = 1;
  private hasVaried = false;
  private isProven = false;
  /** Levels of sound with a pair, and without one. */
  private paired = 0;
  private unpaired = 0;
  /** Frames found in their expected place, and consecutive attempts that found none. */
  private steady = 0;
  private realigned = 0;
  /** Levels of omitted pauses, of shortened and of missing words. */
  private pauses = 0;
  private shortened = 0;
  private missing = 0;
  /** Levels by which words may be shortened until now. */
  private allowance = MOST_SHORTENED * LEVELS_A_SECOND;
  /** Levels of words cut at nearly one place: where, how many, and how many of them count as shortened. */
  private cutAt = 0;
  private cut = 0;
  private cutShortened = 0;
  /** Levels of silence returned since without a pair: equivalent to a sent pause. */
  private silence = 0;
  private latestMs = 0;

  /** @param isEcho whether an echo is expected; if not, frames are paired one to one */
  constructor(
    private readonly onPair: OnPair,
    private readonly isEcho = true,
  ) {}

  get framesSent(): number {
    return this.sentFrames;
  }

  /** Of the last paired echo. */
  get latestRoundTripMs(): number {
    return this.latestMs;
  }

  get framesBack(): number {
    return this.backFrames;
  }

  /** Whether the sound confirms the pairs; `undefined` if it does not vary, or without sound. */
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

  /** Matches all returned frames, even those that later frames could clarify. */
  conclude(): void {
    if (this.isEcho) this.matchPairs(true);
  }

  /** Omitted audio, in frames. @param due frames sent long enough ago to have returned */
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
    // For messages of another size than a frame: every frame completed by this one arrives now.
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
    // If little is found, less is searched.
    this.settleUpTo(end - (this.patience > 1 ? FEW_WAITING : MOST_WAITING) * LEVELS_A_FRAME);
    if (this.judged === end) return;
    const { rightTo, isWrong } = this.compare(end);
    if (!this.hasVaried) this.judge(end);
    else if (isWrong && this.hasSound(end)) this.realign(end, isLast);
    else this.judge(isLast ? end : this.withoutSilence(rightTo));
  }

  /** Handles frames that returned too long ago to be matched. */
  private settleUpTo(to: number): void {
    // Without any match so far, they are paired one to one.
    if (!this.isProven) this.judge(to);
    // Frames that are no longer kept cannot be matched.
    const unknown = Math.min(to, this.back.oldest) - this.judged;
    if (unknown > 0) {
      this.judged += unknown;
      this.expected = Math.max(this.expected, this.judged + this.shift);
    }
    for (; this.judged < to; this.judged++) this.pair(this.judged, this.judged + this.shift);
  }

  /** Checks whether waiting levels are in place. @returns up to where blocks prove it, and whether one disproves it */
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
      // With almost no difference there is no better position.
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

  /** Silence shows no position, so it waits for the audio after it. @param to where a frame ends */
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

  /** Difference between the levels of a sent block and those 20 ms before. */
  private variation(begin: number): number {
    let sum = 0;
    const to = Math.min(begin + BLOCK, this.sent.length);
    for (let at = Math.max(begin, this.sent.oldest + LEVELS_A_FRAME); at < to; at++) {
      sum += Math.abs(this.sent.at(at) - this.sent.at(at - LEVELS_A_FRAME));
    }
    return sum;
  }

  /** Finds the position of each waiting level again: the path of least cost through all positions. */
  private realign(end: number, isLast: boolean): void {
    const { judged: begin, sent, back } = this;
    const length = end - begin;
    const oldest = this.patience > 1 ? Math.max(sent.oldest, sent.length - RECENT) : sent.oldest;
    const lowest = Math.max(this.expected, oldest) - end;
    // The last position means no echo.
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
      // Downwards, because a shortened word moves to a position slightly above.
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

  /** Undoes matches by chance. */
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
      // Inserted silence is indistinguishable from sent silence.
      if (sounds === 0 && place !== this.shift) path.fill(NOWHERE, from, to);
    }
    if (found * 2 < loud || different > MOST_ALIKE * found) path.fill(NOWHERE, 0, length);
    this.markDoubts(begin, length, ways);
  }

  /** Marks the levels around a jump that would match equally well on its other side. */
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

  /** Counts the waiting levels up to `to`, and reports pairs. Without `ways` all of them are in their expected place. */
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

  /** Pairs a returned level with a sent one. */
  private pair(back: number, sent: number): void {
    if (sent > this.expected) this.countLeftOut(this.expected, sent);
    // Silence in place of a word.
    if (this.isQuiet(back) && this.difference(back, sent) === MOST_DIFFERENT) this.countWord(sent);
    this.silence = 0;
    this.expected = Math.max(this.expected, sent + 1);
  }

  /** Whether a frame and its neighbours match no better position nearby. */
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

  /** A level of a word was cut: the word counts as shortened, unless too much of it was. */
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

  /** Difference between a returned and a sent level, at most {@link MOST_DIFFERENT}. */
  private difference(back: number, sent: number): number {
    const sentBy = this.sentBy[Math.floor(back / LEVELS_A_FRAME) % KEPT_BACK] as number;
    if (sent < this.sent.oldest || sent >= sentBy * LEVELS_A_FRAME) return MOST_DIFFERENT;
    return Math.min(Math.abs(this.back.at(back) - this.sent.at(sent)), MOST_DIFFERENT);
  }
}

/** Memory of the path search, shared by all, because a search is synchronous. */
interface Ways {
  /** By position: the least cost to reach it. */
  readonly costs: Int32Array;
  /** By level and position: the step from the previous position, or a {@link JUMP}. */
  readonly steps: Uint8Array;
  /** By level: the cheapest position, the final shift or {@link NOWHERE}, and whether it is in doubt. */
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
