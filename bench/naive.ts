import speex from 'speex-resampler';
import { mulawToPcm, pcmToMulaw } from '../src/index.js';

/** A CommonJS module: its default export is a property of what an ES module gets. */
const SpeexResampler = speex.default;

/**
 * What a Node developer would write: JSON, Buffer, a table, and the resampler from npm at a usual quality.
 * Every allocation in here is one that such code makes.
 */
export class NaivePipeline {
  private static readonly decodeTable = mulawToPcm(Uint8Array.from({ length: 256 }, (_, i) => i));
  private static readonly encodeTable = pcmToMulaw(Int16Array.from({ length: 65_536 }, (_, i) => i - 32_768));
  private readonly up: InstanceType<typeof SpeexResampler>;
  private readonly down: InstanceType<typeof SpeexResampler>;

  /** @param quality of speex, 0 to 10; 7 is what it takes by itself */
  constructor(quality: number) {
    this.up = new SpeexResampler(1, 8_000, 48_000, quality);
    this.down = new SpeexResampler(1, 48_000, 8_000, quality);
  }

  static ready(): Promise<void> {
    return SpeexResampler.initPromise;
  }

  /** A media message in, 48 kHz samples out. */
  receive(message: ArrayBuffer): Int16Array {
    const { media } = JSON.parse(Buffer.from(message).toString()) as { media: { payload: string } };
    const mulaw = Buffer.from(media.payload, 'base64');
    const pcm = new Int16Array(mulaw.length);
    for (let i = 0; i < mulaw.length; i++) pcm[i] = NaivePipeline.decodeTable[mulaw[i] as number] as number;
    const wide = this.up.processChunk(Buffer.from(pcm.buffer));
    return new Int16Array(wide.buffer, wide.byteOffset, wide.length / 2);
  }

  /** 48 kHz samples in, a media message out. */
  transmit(pcm: Int16Array, streamSid: string): string {
    const narrow = this.down.processChunk(Buffer.from(pcm.buffer, pcm.byteOffset, pcm.byteLength));
    const samples = new Int16Array(narrow.buffer, narrow.byteOffset, narrow.length / 2);
    const mulaw = Buffer.alloc(samples.length);
    for (let i = 0; i < samples.length; i++) {
      mulaw[i] = NaivePipeline.encodeTable[(samples[i] as number) + 32_768] as number;
    }
    return JSON.stringify({ event: 'media', streamSid, media: { payload: mulaw.toString('base64') } });
  }
}
