const RATE = 48_000;

/** A raw leg that only listens, played by this browser. */
export class Listener {
  #socket;
  #context;
  #isOver = false;

  /**
   * @param {string} key
   * @param {string} callId
   * @param {{ onProgress(progress: object): void, onEnd(why: string): void }} handlers
   */
  constructor(key, callId, handlers) {
    this.handlers = handlers;
    this.callId = callId;
    this.#context = new AudioContext({ sampleRate: RATE, latencyHint: 'interactive' });
    this.#play(key).catch((error) => this.#end(`This browser cannot play the call: ${error.message}`));
  }

  /** Stops listening; idempotent. */
  stop() {
    this.#end('');
  }

  async #play(key) {
    const context = this.#context;
    await context.audioWorklet.addModule('dashboard/player.js');
    if (this.#isOver) return;
    const player = new AudioWorkletNode(context, 'player', { numberOfInputs: 0, outputChannelCount: [1] });
    player.port.onmessage = ({ data }) => this.handlers.onProgress(data);
    player.connect(context.destination);
    await context.resume();
    if (this.#isOver) return;
    const url = new URL(
      `v1/calls/${encodeURIComponent(this.callId)}/leg?listen=1&rate=${RATE}`,
      document.baseURI,
    );
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = new WebSocket(url, ['trunkline.leg', `key.${base64url(key)}`]);
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }) => {
      if (typeof data !== 'string') {
        player.port.postMessage(data, [data]);
        return;
      }
      // Others may leave the room too, and a call that was transferred leaves it without ending.
      const { type, phone } = JSON.parse(data);
      if (type === 'left' && phone === this.callId) this.#end('The call has left this room.');
    };
    socket.onclose = ({ code, reason }) =>
      this.#end(
        code === 1006
          ? 'The gateway refused to let us listen, or the connection was lost.'
          : reason || 'The gateway closed the connection.',
      );
  }

  #end(why) {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#socket !== undefined) {
      this.#socket.onclose = null;
      this.#socket.close();
    }
    this.#context.close();
    this.handlers.onEnd(why);
  }
}

function base64url(text) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
