import { SfuModels } from '@stream-io/video-client';
import type { RtpPacket } from 'werift';
import type { Forwarding } from './forwarding.js';
import type { Impairment } from './impairment.js';

/** One track that a participant publishes, and its subscribers. */
export class PublishedTrack {
  /** Whether it was announced to the others. */
  isAnnounced = false;
  isMuted = false;
  private readonly forwardings = new Set<Forwarding>();

  constructor(
    readonly type: SfuModels.TrackType,
    /** By it clients find the participant a stream belongs to. */
    private readonly lookupPrefix: string,
    private readonly impairment: Impairment,
    /** What the publisher said about it last. */
    public info: SfuModels.TrackInfo,
  ) {}

  get name(): string {
    return SfuModels.TrackType[this.type];
  }

  get streamId(): string {
    return `${this.lookupPrefix}:TRACK_TYPE_${this.name}`;
  }

  add(forwarding: Forwarding): void {
    this.forwardings.add(forwarding);
  }

  remove(forwarding: Forwarding): void {
    this.forwardings.delete(forwarding);
  }

  /** A packet from the publisher, on its way to everybody. `isRed`: it carries redundancy, not bare Opus. */
  forward(packet: RtpPacket, isRed: boolean): void {
    for (const forwarding of this.forwardings) {
      if (this.impairment.isActive) this.impairment.pass(packet, (copy) => forwarding.send(copy, isRed));
      else forwarding.send(packet, isRed);
    }
  }
}
