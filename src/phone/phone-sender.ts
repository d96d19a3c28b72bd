import type { Transcoder } from '../media/core.js';
import { message } from '../media/thread-core.js';
import { type CallLatencies, STAGE } from '../telemetry/call-latencies.js';
import {
  INGRESS_TICKS_PER_MICROSECOND,
  type IngressTime,
  ingressTicksBetween,
  NO_INGRESS_TIME,
} from '../telemetry/ingress-time.js';
import { isSampled } from '../telemetry/latencies.js';
import type { Traffic } from '../telemetry/traffic.js';
import type { ClearMessage, MarkMessage } from '../twilio/messages.js';
import type { AudioTap } from './audio-tap.js';
import type { CallLevels } from './level-meter.js';
import type { MediaSocket } from './media-socket.js';
import type { PlayoutLine } from './playout.js';

/** Unsent bytes above which audio waits: about a quarter of a second. */
const FULL_SOCKET_BYTES = 4 * 1024;

/** Sends frames to the socket: one native call and one send per frame, both timed. */
export class PhoneSender implements PlayoutLine {
  private socket: MediaSocket | undefined;
  /** Twilio accepts audio from `start` on; before that there is no stream id. */
  hasListener = false;
  tap: AudioTap | undefined;
  levels: CallLevels | undefined;
  private text = new Uint8Array(0);

  constructor(
    private readonly transcoder: Transcoder,
    private readonly traffic: Traffic,
    private readonly latencies: CallLatencies,
  ) {}

  get hasSocket(): boolean {
    return this.socket !== undefined;
  }

  open(socket: MediaSocket): void {
    this.socket = socket;
  }

  isWritable(): boolean {
    return this.hasListener && this.socket !== undefined && this.socket.bufferedBytes() < FULL_SOCKET_BYTES;
  }

  write(frame: Int16Array, stamp: IngressTime, waitedUs: number, leadUs: number): void {
    if (this.socket === undefined) return;
    const { latencies } = this;
    // Always record frames that waited: they are rare.
    const sampled = waitedUs > 0 || isSampled(this.traffic.framesOut);
    const begun = sampled ? latencies.now() : 0;
    const length = this.transcoder.transmit(frame);
    const encoded = sampled ? latencies.now() : 0;
    // All frames of a call have the same length, so this view is made once.
    if (this.text.length !== length) this.text = message.subarray(0, length);
    if (!this.socket.send(this.text)) {
      this.traffic.droppedBackpressure += 1;
      return;
    }
    this.traffic.framesOut += 1;
    if (stamp !== NO_INGRESS_TIME || sampled) {
      const sent = latencies.now();
      if (stamp !== NO_INGRESS_TIME) latencies.record(STAGE.gateway, ingressTicksBetween(stamp, sent));
      if (sampled) {
        const encoding = ingressTicksBetween(begun, encoded);
        latencies.record(STAGE.transcodeOut, encoding);
        latencies.record(STAGE.legEncoded, waitedUs * INGRESS_TICKS_PER_MICROSECOND + encoding);
        latencies.record(STAGE.encodedSocket, ingressTicksBetween(encoded, sent));
        latencies.record(STAGE.playoutLead, leadUs * INGRESS_TICKS_PER_MICROSECOND);
      }
    }
    this.levels?.out.sampleLevel(frame);
    this.tap?.phoneAudio(frame, leadUs / 1_000);
  }

  /** Sends a mark or clear. Never dropped: the server closes a socket that is too full for it. */
  sendControl(command: MarkMessage | ClearMessage): void {
    this.socket?.send(JSON.stringify(command));
  }

  /** Detaches and returns the socket. */
  close(): MediaSocket | undefined {
    const { socket } = this;
    this.socket = undefined;
    return socket;
  }
}
