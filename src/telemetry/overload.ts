/** Below this share of its limit a load is over, */
const CALM = 0.8;
/** if it stays there for so many looks: who just turned callers away must not take them all at once. */
const CALM_LOOKS = 3;

/** Whether there is too much to do: said at once, and taken back late. */
export class Overload {
  isOn = false;
  private calm = 0;

  /** Looks at the load, of which 1 is the limit; to be called at even times. */
  sample(load: number): void {
    if (load > 1) {
      this.isOn = true;
      this.calm = 0;
    } else if (this.isOn) {
      this.calm = load < CALM ? this.calm + 1 : 0;
      if (this.calm >= CALM_LOOKS) this.isOn = false;
    }
  }
}
