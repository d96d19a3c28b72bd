/** Samples a second, as the gateway sends them. */
const RATE = 48_000;
/** Audio that waits at most, what is left of it where it is more, and what is waited for before it is played. */
const MOST = RATE / 2;
const USUAL = RATE / 10;
/** How often it is told how it goes. */
const TOLD = RATE / 5;

/** Plays what comes in pieces over a network, at the pace of the sound card. */
class Player extends AudioWorkletProcessor {
  ring = new Float32Array(MOST);
  read = 0;
  waiting = 0;
  isFilling = true;
  played = 0;
  dry = 0;
  dropped = 0;
  sum = 0;
  since = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => this.take(new Int16Array(data));
  }

  take(samples) {
    const room = MOST - this.waiting;
    if (samples.length > room) {
      // The line was held back: the oldest goes, so that what is heard is the present.
      const excess = Math.min(this.waiting, this.waiting + samples.length - USUAL);
      this.read = (this.read + excess) % MOST;
      this.waiting -= excess;
      this.dropped += excess;
    }
    for (let i = Math.max(0, samples.length - MOST); i < samples.length; i++) {
      this.ring[(this.read + this.waiting) % MOST] = samples[i] / 32_768;
      this.waiting += 1;
    }
    if (this.waiting >= USUAL) this.isFilling = false;
  }

  process(_inputs, [[output]]) {
    const count = this.isFilling ? 0 : Math.min(output.length, this.waiting);
    for (let i = 0; i < count; i++) {
      const sample = this.ring[this.read];
      output[i] = sample;
      this.sum += sample * sample;
      this.read = (this.read + 1) % MOST;
    }
    this.waiting -= count;
    this.played += count;
    if (count < output.length && !this.isFilling) {
      this.isFilling = true;
      this.dry += 1;
    }
    this.since += output.length;
    if (this.since >= TOLD) this.tell();
    return true;
  }

  tell() {
    const { played, waiting, dry, dropped } = this;
    const rms = Math.sqrt(this.sum / this.since);
    this.port.postMessage({ seconds: played / RATE, waitingMs: (waiting * 1_000) / RATE, dry, dropped, rms });
    this.sum = 0;
    this.since = 0;
  }
}

registerProcessor('player', Player);
