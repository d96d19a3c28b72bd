import { StreamVideoClient } from '@stream-io/video-client';

/**
 * What runs in the browser: somebody in a Stream call as an app would put them there, with the client's own build for
 * browsers. The test commands it over a WebSocket; nothing here depends on timers, which browsers throttle.
 */

const RATE = 48_000;
/** What an amplitude of 1 in the browser is in 16 bits. */
const FULL_SCALE = 32_768;
/** Samples an analyser keeps: a power of two, and more than half a second. */
const KEPT = 32_768;

/** Its audio: a sine that bypasses echo and noise processing of microphones. */
class Voice {
  constructor(audio) {
    this.audio = audio;
    this.tone = new OscillatorNode(audio, { frequency: 0 });
    this.loudness = new GainNode(audio, { gain: 0 });
    this.tone.connect(this.loudness);
    this.tone.start();
  }

  play(hz, amplitude) {
    this.tone.frequency.value = hz;
    this.loudness.gain.value = amplitude / FULL_SCALE;
  }

  /** A new one each time the microphone is opened: muting may stop the old one for good. */
  open() {
    const output = new MediaStreamAudioDestinationNode(this.audio, { channelCount: 1 });
    this.loudness.connect(output);
    return { stream: output.stream, stop: () => this.loudness.disconnect(output) };
  }
}

/** One that is heard: played as an app plays it, and measured on the way. */
class Heard {
  constructor(audio, call, { userId, sessionId }) {
    this.audio = audio;
    this.userId = userId;
    // A power spectrum is not asked of it, so there is no window and no smoothing: these are the samples themselves.
    this.analyser = new AnalyserNode(audio, { fftSize: KEPT });
    this.element = document.createElement('audio');
    this.unbind = call.bindAudioElement(this.element, sessionId);
  }

  listen(stream) {
    if (stream === this.stream) return;
    this.stream = stream;
    this.source?.disconnect();
    this.source =
      stream === undefined ? undefined : new MediaStreamAudioSourceNode(this.audio, { mediaStream: stream });
    this.source?.connect(this.analyser);
  }

  close() {
    this.unbind?.();
    this.listen(undefined);
  }

  /** The last half second. */
  samples() {
    const kept = new Float32Array(KEPT);
    this.analyser.getFloatTimeDomainData(kept);
    return kept.subarray(KEPT - RATE / 2);
  }
}

/** Peak of a sine of this frequency; exact for whole periods, which every even frequency has in half a second. */
function amplitudeAt(hz, samples) {
  let re = 0;
  let im = 0;
  for (let n = 0; n < samples.length; n++) {
    const angle = (2 * Math.PI * hz * n) / RATE;
    re += samples[n] * Math.cos(angle);
    im += samples[n] * Math.sin(angle);
  }
  return (2 * Math.hypot(re, im)) / samples.length;
}

let audio;
let voice;
let call;
/** By session id. */
const others = new Map();
const events = [];

function meet(participants) {
  const present = new Set(participants.map(({ sessionId }) => sessionId));
  for (const [sessionId, heard] of others) {
    if (present.has(sessionId)) continue;
    heard.close();
    others.delete(sessionId);
  }
  for (const participant of participants) {
    const { sessionId, audioStream } = participant;
    if (!others.has(sessionId)) others.set(sessionId, new Heard(audio, call, participant));
    others.get(sessionId).listen(audioStream);
  }
}

const commands = {
  open: ({ url }) => void window.open(url, '_blank', 'noopener'),

  async join({ url, apiKey, token, userId, callType, callId, hz, amplitude, profile }) {
    audio = new AudioContext({ sampleRate: RATE });
    voice = new Voice(audio);
    voice.play(hz, amplitude);
    const options = { baseURL: `${url}/video`, locationHintUrl: `${url}/hint`, logLevel: 'error' };
    const client = new StreamVideoClient({ apiKey, user: { id: userId }, token, options });
    call = client.call(callType, callId);
    call.state.remoteParticipants$.subscribe(meet);
    call.on('custom', ({ custom, user }) => events.push({ userId: user.id, custom }));
    await call.get();
    await call.camera.disable();
    if (profile !== undefined) await call.microphone.setAudioBitrateProfile(profile);
    const device = call.microphone.registerVirtualDevice({ label: 'tone', getUserMedia: () => voice.open() });
    await call.microphone.select(device.deviceId);
    await call.microphone.enable();
    await call.join();
  },

  play: ({ hz, amplitude }) => voice.play(hz, amplitude),
  mute: () => call.microphone.disable(),
  unmute: () => call.microphone.enable(),
  heard({ hz }) {
    const amplitudes = [...others.values()].map((heard) => amplitudeAt(hz, heard.samples()) * FULL_SCALE);
    return Math.max(0, ...amplitudes);
  },
  events: () => events,
  sendEvent: ({ custom }) => call.sendCustomEvent(custom).then(() => undefined),
  remoteUserIds: () => [...others.values()].map(({ userId }) => userId),
  close: () => window.close(),
};

const socket = new WebSocket(`ws://${location.host}${location.pathname}`);
socket.onmessage = async ({ data }) => {
  const { id, command, options } = JSON.parse(data);
  try {
    socket.send(JSON.stringify({ id, value: await commands[command](options) }));
  } catch (error) {
    socket.send(JSON.stringify({ id, error: describe(error) }));
  }
};
// Whoever tested is gone; a browser without tabs goes, too.
socket.onclose = () => window.close();
window.onerror = (_event, _source, _line, _column, error) =>
  socket.send(JSON.stringify({ error: describe(error) }));
window.onunhandledrejection = ({ reason }) => socket.send(JSON.stringify({ error: describe(reason) }));

function describe(error) {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
