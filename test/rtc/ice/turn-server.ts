import {
  longTermKey,
  StunAttribute,
  StunBuilder,
  StunClass,
  StunMessage,
  StunMethod,
} from '../../../src/rtc/ice/stun-message.js';
import type { VirtualNetwork } from './virtual-network.js';

const REALM = 'test';
export const TURN_ADDRESS = '203.0.113.1';
export const RELAYED = { address: '203.0.113.2', port: 5_000 };

/** A TURN server in virtual time, for one client, that can be told to refuse. It relays nothing by itself. */
export class TurnServer {
  readonly port: number;
  /** Method and error code, if any, of each authenticated request. */
  readonly log: (readonly [method: number, code: number | undefined])[] = [];
  /** What is refused next, by method. */
  readonly refusals = new Map<number, number>();
  /** Data of channels that it got. */
  readonly data: string[] = [];
  nonce = 'first';
  lifetime = 600;
  isSilent = false;
  /** Signs with another key from now on. */
  isForged = false;
  lastLifetime: number | undefined;
  private client = { address: '', port: 0 };
  private readonly send: (datagram: Uint8Array) => void;

  constructor(network: VirtualNetwork) {
    const socket = network.socket([TURN_ADDRESS], (datagram, address, port) => {
      this.client = { address, port };
      if (!this.isSilent) this.take(datagram);
    });
    this.port = socket.port;
    this.send = (datagram) => socket.send(datagram, this.client.address, this.client.port);
  }

  get server() {
    return { urls: `turn:${TURN_ADDRESS}:${this.port}`, username: 'user', credential: 'secret' };
  }

  /** Sends anything to the client. */
  tell(datagram: Uint8Array): void {
    this.send(datagram);
  }

  /** Sends data of a channel. */
  relay(channel: number, text: string): void {
    const frame = Buffer.alloc(4 + text.length);
    frame.writeUInt16BE(channel, 0);
    frame.writeUInt16BE(text.length, 2);
    frame.write(text, 4, 'latin1');
    this.send(frame);
  }

  private take(datagram: Buffer): void {
    const request = StunMessage.parse(datagram);
    if (request === undefined) {
      this.data.push(`${datagram.readUInt16BE(0).toString(16)} ${datagram.subarray(4).toString('latin1')}`);
      return;
    }
    const key = longTermKey('user', REALM, 'secret');
    const reply = (class_: StunClass) => new StunBuilder(class_, request.method, request.transaction);
    const challenge = (code: number) =>
      this.send(
        reply(StunClass.error)
          .addErrorCode(code, '')
          .add(StunAttribute.realm, REALM)
          .add(StunAttribute.nonce, this.nonce)
          .finish(),
      );
    if (!request.isAuthentic(key)) challenge(401);
    else if (request.textOf(StunAttribute.nonce) !== this.nonce) challenge(438);
    else {
      const { method } = request;
      const refusal = this.refusals.get(method);
      this.refusals.delete(method);
      this.log.push([method, refusal]);
      if (refusal !== undefined) {
        this.send(reply(StunClass.error).addErrorCode(refusal, '').finish(key));
        return;
      }
      const success = reply(StunClass.success);
      if (method === StunMethod.allocate || method === StunMethod.refresh) {
        this.lastLifetime = request.uint32Of(StunAttribute.lifetime);
        success.addUint32(StunAttribute.lifetime, this.lifetime);
      }
      if (method === StunMethod.allocate) {
        success.addXorAddress(StunAttribute.xorRelayedAddress, RELAYED);
        success.addXorAddress(StunAttribute.xorMappedAddress, this.client);
      }
      this.send(success.finish(this.isForged ? 'other' : key));
    }
  }
}
