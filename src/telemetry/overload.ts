/** An overload ends below this share of the limit, */
const CALM = 0.8;
/** after this many samples in a row: rejected callers must not all be accepted at once. */
const CALM_LOOKS = 3;

/** Detects overload: at once when it begins, late when it ends. */
export class Overload {
  isOn = false;
  private calm = 0;

  /** @param load as a share of its limit; sampled at regular intervals */
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
