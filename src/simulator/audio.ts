import { expected } from '../errors.js';
import { fixturePath } from './fixture.js';
import { decodeMulaw, encodeMulaw, MULAW_SILENCE } from './mulaw.js';
import { sweepPcm } from './sweep.js';
import { PHONE_RATE, readWav } from './wav.js';

/** Milliseconds of a frame. */
export const FRAME_MS = 20;
/** µ-law bytes of a frame. */
export const FRAME_BYTES = 160;

const SWEEP = 'sweep';

/**
 * What a phone says, in a loop. Its base64 payloads are built once and shared by every phone that says it,
 * so a frame costs a string concatenation.
 */
export class AudioSource {
  /** One base64 text for every 20 ms. */
  readonly payloads: readonly string[];
  /** The samples that those payloads decode to: what is really said, after µ-law. */
  readonly pcm: Int16Array;

  /**
   * @param pcm 8 kHz mono, at least one sample; the last frame is filled up with silence
   * @throws TypeError without a sample
   */
  constructor(
    readonly name: string,
    pcm: Int16Array,
  ) {
    if (pcm.length === 0) throw expected('at least one sample', `audio ${name}`, pcm);
    const mulaw = new Uint8Array(Math.ceil(pcm.length / FRAME_BYTES) * FRAME_BYTES).fill(MULAW_SILENCE);
    mulaw.set(encodeMulaw(pcm));
    const bytes = Buffer.from(mulaw.buffer);
    this.payloads = Array.from({ length: mulaw.length / FRAME_BYTES }, (_, i) =>
      bytes.toString('base64', i * FRAME_BYTES, (i + 1) * FRAME_BYTES),
    );
    this.pcm = decodeMulaw(mulaw);
  }

  /**
   * A sine without a seam.
   * @param hz whole hertz, 1 to 3999
   * @param dbfs level of its peak in dB of full scale, at most 0; default -12
   * @throws TypeError out of these ranges
   */
  static tone(hz: number, dbfs = -12): AudioSource {
    if (!(Number.isInteger(hz) && hz >= 1 && hz < PHONE_RATE / 2)) throw expected('1 to 3999', 'hz', hz);
    if (!(dbfs <= 0)) throw expected('at most 0', 'dbfs', dbfs);
    const peak = 32_767 * 10 ** (dbfs / 20);
    const pcm = new Int16Array(PHONE_RATE).map((_, i) =>
      Math.round(peak * Math.sin((2 * Math.PI * hz * i) / PHONE_RATE)),
    );
    return new AudioSource(`${hz} Hz`, pcm);
  }

  /**
   * Two tones that climb together, so that any 20 ms of it tell which instant of it they are: see {@link MouthToEar}. It lasts
   * 19.2 s and has no seam.
   * @param pauses seed of pauses as a talker makes, 200 to 700 ms, two fifths of the time; without there are none, as in music
   */
  static sweep({ pauses }: { readonly pauses?: number } = {}): AudioSource {
    return new AudioSource(pauses === undefined ? SWEEP : `${SWEEP} with pauses ${pauses}`, sweepPcm(pauses));
  }

  /** Whether each instant of it can be told by its sound. */
  get isSweep(): boolean {
    return this.name.startsWith(SWEEP);
  }

  /** One frame of silence. */
  static silence(): AudioSource {
    return new AudioSource('silence', new Int16Array(FRAME_BYTES));
  }

  /** A WAV file; see {@link readWav} for what it may hold. @throws GatewayError `GW_SIM_WAV` */
  static file(path: string): AudioSource {
    return new AudioSource(path, readWav(path));
  }

  private static cachedSpeech: AudioSource | undefined;

  /**
   * The recording that ships with Trunkline: 7.7 s of a synthetic voice. Read once a process.
   * @throws GatewayError `GW_SIM_FIXTURE` if its file is missing
   */
  static speech(): AudioSource {
    AudioSource.cachedSpeech ??= new AudioSource('speech', readWav(fixturePath('speech.wav')));
    return AudioSource.cachedSpeech;
  }
}
