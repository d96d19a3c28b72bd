import type { Clock } from '../clock.js';
import { describe, GatewayError } from '../errors.js';
import { legConverters } from '../legs/leg-converter.js';
import type { LegRate } from '../legs/leg-rate.js';
import { FrameClock } from '../media/frame-clock.js';
import { loadResampler } from '../media/rate-converter.js';
import type { AgentLine } from './agent-line.js';
import { NotApplicable } from './check.js';
import { type Answer, type Exchange, SimulatedCall, type Utterance } from './simulated-call.js';
import { type Speech, speechBy } from './speech.js';

export interface ExaminationOptions {
  /** `ws:` or `wss:` URL of the agent. */
  readonly url: string;
  /** Samples a second, in both directions. */
  readonly rate: LegRate;
  /** The agent has no other rate. */
  readonly hasOneRate?: boolean | undefined;
  /** Signs the calls; without it they are unsigned. */
  readonly secret?: string | undefined;
  /** Most milliseconds to wait for an answer to a question. */
  readonly timeoutMs: number;
  /** Most milliseconds for everything. */
  readonly limitMs: number;
  /** Keys to which the agent reacts. */
  readonly keys?: string | undefined;
  readonly clock: Clock;
}

/** Most calls in an examination, for an agent that ends every call. */
const MOST_CALLS = 8;

/** Calls to one agent, and everything that was seen in them. */
export class Examination {
  /** Every connection so far. */
  get lines(): AgentLine[] {
    return this.calls.flatMap(({ lines }) => lines);
  }
  readonly calls: SimulatedCall[] = [];
  /** What the agent said in answer to the question. */
  readonly utterances: Utterance[] = [];
  private refusal: unknown;
  private readonly scenes = new Map<unknown, Promise<unknown>>();
  private current: Promise<SimulatedCall> | undefined;
  private firstAnswer: Promise<Answer | undefined> | undefined;

  private constructor(
    readonly options: ExaminationOptions,
    readonly exchange: Exchange,
    readonly speech: Speech,
  ) {}

  static async of(options: ExaminationOptions): Promise<Examination> {
    const { url, rate, secret, clock, limitMs } = options;
    const resample = await loadResampler();
    const convert = legConverters(resample);
    const frameClock = new FrameClock(clock);
    const endsAt = clock.runningMs() + limitMs;
    const exchange = { url, rate, secret, clock, frameClock, convert, endsAt };
    return new Examination(options, exchange, speechBy(resample));
  }

  /** The call that is going on, or a new one. @throws DialRefused, NotApplicable */
  async call(): Promise<SimulatedCall> {
    const call = await this.current?.catch(() => undefined);
    if (call?.isOpen !== true) this.current = this.place();
    return this.current as Promise<SimulatedCall>;
  }

  /** One more call. @throws DialRefused, NotApplicable */
  async place(from = '+15550001111', rate = this.options.rate): Promise<SimulatedCall> {
    if (this.calls.length >= MOST_CALLS) throw new NotApplicable('The agent ended every call');
    // Who refuses a call is not asked again for every check.
    if (this.refusal !== undefined) throw this.refusal;
    const call = new SimulatedCall({ ...this.exchange, rate }, from);
    try {
      await call.place();
      this.calls.push(call);
      return call;
    } catch (error) {
      await call.end(0);
      this.refusal = error;
      throw error;
    }
  }

  /** The answer to the first question; `undefined` if there was none. @throws DialRefused, NotApplicable */
  answered(): Promise<Answer | undefined> {
    this.firstAnswer ??= this.askFirst();
    return this.firstAnswer;
  }

  /** Asks the question in the current call. @returns the call, and the piece at which the answer begins */
  async ask(): Promise<{ readonly call: SimulatedCall; readonly from: number }> {
    const call = await this.call();
    await call.calm();
    const answer = await call.answerTo(this.speech.question, this.options.timeoutMs);
    if (answer === undefined) {
      throw new NotApplicable(call.isHungUp ? 'The agent hung up' : 'The agent did not answer the question');
    }
    return { call, from: answer.from };
  }

  private async askFirst(): Promise<Answer | undefined> {
    const call = await this.call();
    await call.calm();
    const answer = await call.answerTo(this.speech.question, this.options.timeoutMs);
    if (answer !== undefined) this.utterances.push(await call.listen(answer));
    return answer;
  }

  /** Plays a scene once in an examination, for all checks that need it. */
  once<T>(scene: (examination: Examination) => Promise<T>): Promise<T> {
    const played = (this.scenes.get(scene) as Promise<T> | undefined) ?? scene(this);
    this.scenes.set(scene, played);
    return played;
  }

  async close(): Promise<void> {
    await Promise.all(this.calls.map((call) => call.end(0)));
  }
}

/** @throws GatewayError `GW_BAD_REQUEST` for anything but a `ws:` or `wss:` URL */
export function checkAgentUrl(url: string | undefined): asserts url is string {
  if (url !== undefined && URL.canParse(url) && /^wss?:$/.test(new URL(url).protocol)) return;
  const message = `Expected a ws: or wss: URL for the agent but received ${describe(url)}`;
  throw new GatewayError('GW_BAD_REQUEST', message);
}
