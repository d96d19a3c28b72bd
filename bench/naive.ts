import { mulawToPcm, pcmToMulaw } from '../src/index.js';
import { NPM_RESAMPLERS, type Resample } from './npm-resamplers.js';

/**
 * What a Node developer would write: JSON, Buffer, a table, and a resampler from npm.
 * Every allocation in here is one that such code makes.
 */
export class NaivePipeline {
  private static readonly decodeTable = mulawToPcm(Uint8Array.from({ length: 256 }, (_, i) => i));
  private static readonly encodeTable = pcmToMulaw(Int16Array.from({ length: 65_536 }, (_, i) => i - 32_768));

  private constructor(
    private readonly up: Resample,
    private readonly down: Resample,
  ) {}

  /** @param name a resampler of npm and its quality, like `naive-q7` */
  static async start(name: string): Promise<NaivePipeline> {
    const [resampler = '', quality] = name.split('-q');
    const make = NPM_RESAMPLERS[resampler];
    if (make === undefined) throw new Error(`Expected a resampler of npm but received "${name}"`);
    return new NaivePipeline(
      await make(8_000, 48_000, Number(quality)),
      await make(48_000, 8_000, Number(quality)),
    );
  }

  /** A media message in, 48 kHz samples out. */
  receive(message: ArrayBuffer): Int16Array {
    const { media } = JSON.parse(Buffer.from(message).toString()) as { media: { payload: string } };
    const mulaw = Buffer.from(media.payload, 'base64');
    const pcm = new Int16Array(mulaw.length);
    for (let i = 0; i < mulaw.length; i++) pcm[i] = NaivePipeline.decodeTable[mulaw[i] as number] as number;
    return this.up(pcm);
  }

  /** 48 kHz samples in, a media message out. */
  transmit(pcm: Int16Array, streamSid: string): string {
    const samples = this.down(pcm);
    const mulaw = Buffer.alloc(samples.length);
    for (let i = 0; i < samples.length; i++) {
      mulaw[i] = NaivePipeline.encodeTable[(samples[i] as number) + 32_768] as number;
    }
    return JSON.stringify({ event: 'media', streamSid, media: { payload: mulaw.toString('base64') } });
  }
}
