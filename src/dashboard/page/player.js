/** Samples a second, as the gateway sends them. */
const RATE = 48_000;
/** Samples that may wait, and how many wait before playing starts, or are left where more came. */
const MOST = RATE / 2;
const USUAL = RATE / 10;
/** Samples between two reports. */
const REPORTED = RATE / 5;

/** Plays audio that arrives in pieces, at the pace of the sound card. */
class Player extends AudioWorkletProcessor {
  ring = new Float32Array(MOST);
  read = 0;
  waiting = 0;
  isFilling = true;
  played = 0;
  underruns = 0;
  dropped = 0;
  sum = 0;
  since = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => this.push(new Int16Array(data));
  }

  push(samples) {
    const room = MOST - this.waiting;
    if (samples.length > room) {
      // The network stalled: drop the oldest, so that the present is heard.
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
      this.underruns += 1;
    }
    this.since += output.length;
    if (this.since >= REPORTED) this.report();
    return true;
  }

  report() {
    const { played, waiting, underruns, dropped } = this;
    const rms = Math.sqrt(this.sum / this.since);
    this.port.postMessage({
      seconds: played / RATE,
      waitingMs: (waiting * 1_000) / RATE,
      underruns,
      dropped,
      rms,
    });
    this.sum = 0;
    this.since = 0;
  }
}

registerProcessor('player', Player);
