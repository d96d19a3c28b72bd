import { type Clock, systemClock } from '../clock.js';
import type { SimulatedPhone } from './phone.js';
import type { Script, ScriptStep } from './script.js';

/** Pause between keys, in milliseconds: people press no faster. */
const KEY_MS = 200;
const PAUSE_MS = 500;
/** Interval of checks for sound, in milliseconds. */
const LISTEN_MS = 50;

/** The result of a script. */
export interface ScriptOutcome {
  readonly completed: boolean;
  /** The step that could not be done, with its place in the script and the reason. */
  readonly failure: string | undefined;
}

/** Runs a {@link Script} on one phone. */
export class ScriptedCaller {
  private readonly gone = new AbortController();

  /** @param onLeave the caller is about to hang up, or content that the server does */
  constructor(
    private readonly phone: SimulatedPhone,
    private readonly script: Script,
    private readonly clock: Clock = systemClock,
    private readonly onLeave: () => void = () => {},
  ) {
    void phone.ended.then(() => this.gone.abort());
  }

  /** Begins when the call streams; never rejects. A caller whose script ends without `hang up` stays, and is silent. */
  async run(): Promise<ScriptOutcome> {
    try {
      await this.phone.started;
    } catch (error) {
      return { completed: false, failure: (error as Error).message };
    }
    for (const step of this.script.steps) {
      const problem = await this.perform(step);
      if (problem !== undefined) {
        const failure = `${this.script.name}:${step.line}: Expected "${step.text}" but received ${problem}`;
        return { completed: false, failure };
      }
    }
    return { completed: true, failure: undefined };
  }

  /** @returns what was wrong */
  private async perform(step: ScriptStep): Promise<string | undefined> {
    if (step.does === 'wait for end') return this.untilGone(step.withinMs);
    if (this.isGone) return 'the end of the call';
    switch (step.does) {
      case 'say':
        await this.orGone(this.phone.say(step.audio));
        break;
      case 'repeat':
        this.phone.speak(step.audio);
        break;
      case 'be quiet':
        this.phone.beQuiet();
        break;
      case 'press':
        await this.press(step.keys);
        break;
      case 'wait':
        await this.sleep(step.ms);
        break;
      case 'wait for sound':
        return this.untilSound(step.withinMs);
      case 'wait for silence':
        return this.untilSilence(step.ms, step.withinMs);
      case 'hang up':
        this.onLeave();
        await this.phone.hangUp();
        return undefined;
    }
    return this.isGone ? 'the end of the call' : undefined;
  }

  private async press(keys: string): Promise<void> {
    for (const key of keys) {
      if (this.isGone) return;
      if (key !== 'w') this.phone.dtmf(key);
      await this.sleep(key === 'w' ? PAUSE_MS : KEY_MS);
    }
  }

  private async untilSound(withinMs: number): Promise<string | undefined> {
    const begun = this.clock.now();
    while (!this.isGone) {
      if (this.phone.ear.soundUntil > begun) return undefined;
      const left = begun + withinMs - this.clock.now();
      if (left <= 0) return `silence for ${withinMs / 1000} s`;
      await this.sleep(Math.min(LISTEN_MS, left));
    }
    return 'the end of the call';
  }

  private async untilSilence(ms: number, withinMs: number): Promise<string | undefined> {
    const begun = this.clock.now();
    while (!this.isGone) {
      const now = this.clock.now();
      const silentAt = Math.max(begun, this.phone.ear.soundUntil) + ms;
      if (silentAt <= now) return undefined;
      const left = begun + withinMs - now;
      if (left <= 0) return `no such silence for ${withinMs / 1000} s`;
      await this.sleep(Math.min(silentAt - now, left));
    }
    return 'the end of the call';
  }

  private async untilGone(withinMs: number): Promise<string | undefined> {
    await this.sleep(withinMs);
    return this.isGone ? undefined : `a call that continues after ${withinMs / 1000} s`;
  }

  private get isGone(): boolean {
    return this.gone.signal.aborted;
  }

  private async orGone(done: Promise<void>): Promise<void> {
    await Promise.race([done, this.phone.ended]);
  }

  /** Returns early when the call is over. */
  private sleep(ms: number): Promise<void> {
    return this.clock.sleep(ms, this.gone.signal);
  }
}
