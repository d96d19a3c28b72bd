import type { AudioReceiver } from './audio-receiver.js';
import type { AudioSender } from './audio-sender.js';
import type { MediaTransport } from './media-transport.js';
import {
  AUDIO_LEVEL,
  type Codec,
  codecsOf,
  type Direction,
  type MediaSection,
  MID,
  type OwnSection,
  sends,
} from './session-description.js';

const PROTOCOL = 'UDP/TLS/RTP/SAVPF';
/** What we send and take; RED (RFC 2198) may carry it. Payload types are those of libwebrtc, which some expect. */
const OPUS: Codec = {
  payloadType: 111,
  name: 'opus',
  clockRate: 48_000,
  channels: 2,
  parameters: 'minptime=10;useinbandfec=1',
  feedback: ['nack'],
};
const RED: Codec = { ...OPUS, payloadType: 63, name: 'red', parameters: '111/111', feedback: [] };
/** Named where a description must show an m-line of video: none is ever sent or decoded. */
const VP8: Codec = {
  payloadType: 96,
  name: 'vp8',
  clockRate: 90_000,
  channels: 1,
  parameters: '',
  feedback: [],
};

/** An m-line of ours: the browser's `RTCRtpTransceiver` for audio. One of another kind neither sends nor hears. */
export class Transceiver {
  mid: string | null = null;
  currentDirection: Direction | null = null;
  stopped = false;
  /** Id of the stream that its track is sent in. */
  streamId = '-';
  /** The other side's m-section as of its latest description. */
  remote: MediaSection | undefined;

  constructor(
    readonly kind: string,
    readonly sender: AudioSender,
    readonly receiver: AudioReceiver,
    public direction: Direction,
  ) {}

  stop(): void {
    this.stopped = true;
    this.direction = 'inactive';
  }

  /** There is only one codec. */
  setCodecPreferences(): void {}

  /** How it is offered. */
  offer(mid: string): OwnSection {
    const { kind, sender, direction } = this;
    const isAudio = kind === 'audio';
    const isSent = isAudio && sends({ direction });
    return {
      kind,
      protocol: PROTOCOL,
      mid,
      direction,
      codecs: isAudio ? [OPUS, RED] : [VP8],
      extensions: new Map(
        isAudio
          ? [
              [AUDIO_LEVEL, 1],
              [MID, 2],
            ]
          : [],
      ),
      ssrcs: isSent ? [sender.ssrc] : [],
      streamId: isSent ? this.streamId : undefined,
      trackId: sender.track?.id ?? mid,
    };
  }

  /**
   * Takes what the other side offers to send.
   * @returns whether another stream is heard from now on, on a new track
   */
  hear(section: MediaSection): boolean {
    const { receiver, remote: before } = this;
    const { opus, red } = codecsOf(section);
    this.remote = section;
    const isHeard = this.kind === 'audio' && opus !== undefined && sends(section);
    this.currentDirection = isHeard ? 'recvonly' : 'inactive';
    if (!isHeard) return false;
    receiver.opusType = opus.payloadType;
    receiver.redType = red?.payloadType ?? -1;
    receiver.asks = opus.feedback.includes('nack');
    if (before !== undefined && sends(before) && before.streamId === section.streamId) return false;
    if (before !== undefined) receiver.renew();
    return true;
  }

  /** Takes the answer to its offer. */
  send(section: MediaSection, transport: MediaTransport): void {
    this.remote = section;
    const { opus, red } = codecsOf(section);
    const takes = section.direction === 'recvonly' || section.direction === 'sendrecv';
    const isSent = this.kind === 'audio' && sends({ direction: this.direction });
    if (isSent && takes && !section.isRejected && opus !== undefined) {
      this.currentDirection = 'sendonly';
      this.sender.start(transport, section, opus, section.codecs[0] === red ? red : undefined);
    } else {
      this.currentDirection = 'inactive';
      this.sender.pause();
    }
  }

  close(): void {
    this.sender.close();
    this.receiver.close();
  }
}

/** How an m-section is answered: audio in Opus is taken, all else is inactive, or rejected where it is neither audio nor video. */
export function answerTo(section: MediaSection): OwnSection {
  const { opus, red } = codecsOf(section);
  const isHeard = section.kind === 'audio' && opus !== undefined && sends(section);
  const known = section.codecs.filter((codec) => codec === opus || codec === red);
  const codecs = known.length === 0 ? section.codecs.slice(0, 1) : known;
  return {
    kind: section.kind,
    protocol: section.protocol,
    isRejected: section.isRejected || (section.kind !== 'video' && opus === undefined),
    mid: section.mid,
    direction: isHeard ? 'recvonly' : 'inactive',
    codecs: codecs.map((codec) => ({ ...codec, feedback: codec.feedback.filter((each) => each === 'nack') })),
    extensions: new Map([...section.extensions].filter(([uri]) => uri === MID)),
    ssrcs: [],
    streamId: undefined,
  };
}
