/** Nothing for so long: the line is dead, whatever it says. */
const SILENT_MS = 6_000;
/** Waits between tries. */
const LEAST_MS = 500;
const MOST_MS = 8_000;

/** What the gateway refused for good: another try would hear the same. */
export class Refused extends Error {}

/**
 * `GET v1/live`, again and again until it is closed. Not an EventSource: that one can send no key.
 */
export class Feed {
  #closed = new AbortController();

  /**
   * @param {string} key
   * @param {{ onRound(round: object): void, onLink(is: 'on' | 'off', words: string): void, onRefused(error: Refused): void }} told
   */
  constructor(key, told) {
    this.#run(key, told).catch((error) => {
      if (!this.#closed.signal.aborted) told.onRefused(error);
    });
  }

  close() {
    this.#closed.abort();
  }

  async #run(key, told) {
    let waitMs = LEAST_MS;
    while (!this.#closed.signal.aborted) {
      try {
        await this.#follow(key, (round) => {
          waitMs = LEAST_MS;
          told.onRound(round);
        });
      } catch (error) {
        if (error instanceof Refused) throw error;
      }
      if (this.#closed.signal.aborted) return;
      told.onLink('off', `not connected; next try in ${Math.ceil(waitMs / 1_000)} s`);
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      waitMs = Math.min(2 * waitMs, MOST_MS);
    }
  }

  /** One answer, to its end. */
  async #follow(key, onRound) {
    const line = new AbortController();
    const cut = () => line.abort();
    this.#closed.signal.addEventListener('abort', cut);
    let watch = setTimeout(cut, SILENT_MS);
    try {
      const answer = await fetch('v1/live', {
        headers: { authorization: `Bearer ${key}` },
        signal: line.signal,
        cache: 'no-store',
      });
      if (answer.status === 401) throw new Refused('That is not the key of this gateway.');
      if (answer.status === 404)
        throw new Refused('This gateway has no control API: CONTROL_API_KEY is not set.');
      if (!answer.ok) return;
      let text = '';
      for await (const piece of chunksOf(answer.body.pipeThrough(new TextDecoderStream()))) {
        clearTimeout(watch);
        watch = setTimeout(cut, SILENT_MS);
        text += piece;
        const end = text.lastIndexOf('\n\n');
        if (end < 0) continue;
        const events = text.slice(0, end).split('\n\n');
        text = text.slice(end + 2);
        for (const event of events) {
          const data = event.split('\n').find((field) => field.startsWith('data: '));
          if (data !== undefined) onRound(JSON.parse(data.slice(6)));
        }
      }
    } finally {
      clearTimeout(watch);
      this.#closed.signal.removeEventListener('abort', cut);
    }
  }
}

async function* chunksOf(stream) {
  const reader = stream.getReader();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) yield value;
}
