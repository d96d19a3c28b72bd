import { message, type Transcoder } from '../media/native.js';
import type { PlayoutLine } from '../media/playout.js';
import { NO_STAMP, type Stamp, stampNow, stampsBetween } from '../telemetry/stamp.js';
import type { Latencies, Traffic } from '../telemetry/traffic.js';
import type { ClearMessage, MarkMessage } from '../twilio/messages.js';

/** Unsent bytes above which audio waits instead of being sent: about a quarter second of it. */
const FULL_SOCKET_BYTES = 4 * 1024;

/** A WebSocket as a media stream needs it; any server's can be fitted. */
export interface MediaSocket {
  /** Sends a text message. Bytes are only lent. False where the message was dropped. */
  send(text: string | Uint8Array): boolean;
  /** Bytes accepted by `send` that the network has not taken yet. */
  bufferedBytes(): number;
  /** Closes with a WebSocket close code; the stream hears no more of it. */
  close(code: number, reason: string): void;
}

/** The way from a frame to the socket: one native call, one send, both timed. */
export class Outlet implements PlayoutLine {
  private socket: MediaSocket | undefined;
  /** Twilio takes audio from `start` on: before it there is no stream to name. */
  hasListener = false;
  private text = new Uint8Array(0);

  constructor(
    private readonly transcoder: Transcoder,
    private readonly traffic: Traffic,
    private readonly latencies: Latencies,
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

  write(frame: Int16Array, stamp: Stamp): void {
    if (this.socket === undefined) return;
    const begun = stampNow();
    const length = this.transcoder.transmit(frame);
    const encoded = stampNow();
    // The text of a frame is equally long for the whole call, so this view is made once.
    if (this.text.length !== length) this.text = message.subarray(0, length);
    if (!this.socket.send(this.text)) {
      this.traffic.droppedBackpressure += 1;
      return;
    }
    this.traffic.framesOut += 1;
    this.latencies.transcodeOut.record(stampsBetween(begun, encoded));
    if (stamp !== NO_STAMP) this.latencies.gateway.record(stampsBetween(stamp, stampNow()));
  }

  /** Sends a mark or a clear. Never dropped: a socket that is too full for it is cut by the server. */
  control(command: MarkMessage | ClearMessage): void {
    this.socket?.send(JSON.stringify(command));
  }

  /** Forgets the socket and answers it. */
  close(): MediaSocket | undefined {
    const { socket } = this;
    this.socket = undefined;
    return socket;
  }
}
