/** After so long without a round, the connection is considered lost. */
const SILENT_MS = 6_000;
/** Shortest and longest wait between two tries. */
const LEAST_MS = 500;
const MOST_MS = 8_000;

/** A refusal that another try would not change. */
export class Refused extends Error {}

/**
 * `GET v1/live`, reconnected until it is closed. Not an EventSource, which cannot send the key.
 */
export class Feed {
  #closed = new AbortController();

  /**
   * @param {string} key
   * @param {{ onRound(round: object): void, onLink(is: 'on' | 'off', words: string): void, onRefused(error: Refused): void }} handlers
   */
  constructor(key, handlers) {
    this.#run(key, handlers).catch((error) => {
      if (!this.#closed.signal.aborted) handlers.onRefused(error);
    });
  }

  close() {
    this.#closed.abort();
  }

  async #run(key, handlers) {
    let waitMs = LEAST_MS;
    while (!this.#closed.signal.aborted) {
      try {
        await this.#follow(key, (round) => {
          waitMs = LEAST_MS;
          handlers.onRound(round);
        });
      } catch (error) {
        if (error instanceof Refused) throw error;
      }
      if (this.#closed.signal.aborted) return;
      handlers.onLink('off', `not connected; next try in ${Math.ceil(waitMs / 1_000)} s`);
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      waitMs = Math.min(2 * waitMs, MOST_MS);
    }
  }

  /** Reads one answer to its end. */
  async #follow(key, onRound) {
    const line = new AbortController();
    const cut = () => line.abort();
    this.#closed.signal.addEventListener('abort', cut);
    let timeout = setTimeout(cut, SILENT_MS);
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
        clearTimeout(timeout);
        timeout = setTimeout(cut, SILENT_MS);
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
      clearTimeout(timeout);
      this.#closed.signal.removeEventListener('abort', cut);
    }
  }
}

async function* chunksOf(stream) {
  const reader = stream.getReader();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) yield value;
}
