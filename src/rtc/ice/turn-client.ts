import type { Clock, Timer } from '../../clock.js';
import type { IceCandidate } from './ice-candidate.js';
import type { IcePath, IceRoute } from './ice-path.js';
import type { ServerAddress } from './ice-server.js';
import { type Endpoint, familyOf, type IpFamily } from './ip-address.js';
import type { Network } from './network.js';
import {
  longTermKey,
  StunAttribute,
  StunBuilder,
  StunClass,
  StunMessage,
  StunMethod,
} from './stun-message.js';
import { StunTransactions } from './stun-transactions.js';
import { openTurnTransport, type TurnTransport } from './turn-transport.js';

/** UDP, as the protocol number of REQUESTED-TRANSPORT (RFC 8656, section 18.7). */
const UDP = 17 * 2 ** 24;
const FIRST_CHANNEL = 0x4000;
/** Addresses that one allocation sends to. */
const MOST_CHANNELS = 256;
/** Datagrams that wait until their channel is bound. */
const MOST_WAITING = 4;
/** A channel is bound again before its permission, of 300 s, is over (RFC 8656, sections 9 and 12). */
const REBIND_MS = 240_000;
const HEADER_BYTES = 4;
/** Longer datagrams are lost. */
const MOST_DATAGRAM_BYTES = 2_048;
const DEFAULT_LIFETIME_S = 600;
const LONGEST_LIFETIME_S = 3_600;
/** How often a request is repeated with what the server told: its realm, and a fresh nonce. */
const MOST_RETRIES = 2;
/** Bytes of a realm or a nonce (RFC 8489, sections 14.9 and 14.10): a request has room for them. */
const MOST_LEARNT_BYTES = 763;
/** How long the server may take to confirm that an allocation is freed. */
const FAREWELL_MS = 1_000;

/** Hears of a {@link TurnClient}. */
export interface TurnListener {
  /** @param mapped the address that the server sees */
  allocated(client: TurnClient, relayed: Endpoint, mapped: Endpoint | undefined): void;
  /** There is no allocation, or no longer. Told once, unless it was closed. */
  ended(client: TurnClient): void;
  /** From a peer; borrowed memory. */
  received(client: TurnClient, datagram: Buffer, address: string, port: number): void;
}

/** An allocation on a TURN server (RFC 8656), with long-term credentials, all its data in channels. */
export class TurnClient implements IcePath {
  readonly isRelay = true;
  family: IpFamily = 4;
  readonly candidates: IceCandidate[] = [];
  state: 'opening' | 'allocated' | 'ended' = 'opening';
  private readonly transport: TurnTransport;
  private readonly transactions: StunTransactions;
  private readonly channels: Channel[] = [];
  private readonly frame = Buffer.alloc(HEADER_BYTES + MOST_DATAGRAM_BYTES);
  private realm = '';
  private nonce: Buffer = Buffer.alloc(0);
  private key: Buffer | undefined;
  private refreshing: Timer | undefined;
  private rebinding: Timer | undefined;

  constructor(
    private readonly server: ServerAddress,
    network: Network,
    private readonly clock: Clock,
    certificates: readonly string[] | undefined,
    private readonly listener: TurnListener,
  ) {
    this.transport = openTurnTransport(server, network, clock, certificates, {
      opened: () => this.allocate(),
      received: (message) => this.take(message),
      lost: () => this.end(),
    });
    this.transactions = new StunTransactions(clock, this.transport.isReliable);
  }

  /** See {@link IcePath.route}: a channel, bound when it is first used. */
  route(address: string, port: number): IceRoute | undefined {
    const known = this.channels.find((channel) => channel.port === port && channel.address === address);
    if (known !== undefined || this.channels.length >= MOST_CHANNELS) return known;
    const channel = new Channel(this, FIRST_CHANNEL + this.channels.length, address, port);
    this.channels.push(channel);
    return channel;
  }

  /** Frees the allocation and everything else. Idempotent. */
  close(): void {
    if (this.state === 'ended') return;
    const wasAllocated = this.state === 'allocated';
    this.stop();
    if (!wasAllocated || this.transport.isReliable) {
      // The end of a connection is the end of its allocation.
      this.transport.close();
      return;
    }
    const done = () => {
      farewell.cancel();
      this.transactions.close();
      this.transport.close();
    };
    const farewell = this.clock.timeout(FAREWELL_MS, done);
    this.request(StunMethod.refresh, (request) => request.addUint32(StunAttribute.lifetime, 0), done);
  }

  /** @internal */
  bind(channel: Channel): void {
    const attributes = (request: StunBuilder) =>
      request
        .addUint32(StunAttribute.channelNumber, channel.number * 2 ** 16)
        .addXorAddress(StunAttribute.xorPeerAddress, channel);
    this.request(StunMethod.channelBind, attributes, (response) => {
      if (this.state !== 'allocated') return;
      if (response === undefined) channel.unbound();
      else if (response.class_ === StunClass.success) channel.bound();
      else if (response.errorCode === 437) this.end();
      else channel.refused();
    });
  }

  /** Sends in a channel (RFC 8656, section 12.4). Hot path. @internal */
  sendInChannel(number: number, datagram: Uint8Array): void {
    const { length } = datagram;
    if (length > MOST_DATAGRAM_BYTES || this.state !== 'allocated') return;
    const { frame, transport } = this;
    frame.writeUInt16BE(number, 0);
    frame.writeUInt16BE(length, 2);
    frame.set(datagram, HEADER_BYTES);
    const padding = transport.isReliable ? -length & 3 : 0;
    transport.send(frame.subarray(0, HEADER_BYTES + length + padding));
  }

  private allocate(): void {
    const attributes = (request: StunBuilder) => request.addUint32(StunAttribute.requestedTransport, UDP);
    this.request(StunMethod.allocate, attributes, (response) => {
      if (this.state !== 'opening') return;
      const isGood = response?.class_ === StunClass.success;
      const relayed = isGood ? response.xorAddressOf(StunAttribute.xorRelayedAddress) : undefined;
      if (response === undefined || relayed === undefined) {
        this.end();
        return;
      }
      this.state = 'allocated';
      this.family = familyOf(relayed.address);
      this.refreshIn(response);
      this.rebinding = this.clock.every(REBIND_MS, () => {
        for (const channel of this.channels) channel.rebind();
      });
      this.listener.allocated(this, relayed, response.xorAddressOf(StunAttribute.xorMappedAddress));
    });
  }

  /** @param response tells how long the allocation lives */
  private refreshIn(response: StunMessage): void {
    const told = response.uint32Of(StunAttribute.lifetime) ?? DEFAULT_LIFETIME_S;
    const lifetime = Math.min(Math.max(told, 1), LONGEST_LIFETIME_S);
    const seconds = lifetime > 120 ? lifetime - 60 : lifetime / 2;
    this.refreshing = this.clock.after(seconds * 1_000, () => {
      this.request(
        StunMethod.refresh,
        (request) => request.addUint32(StunAttribute.lifetime, DEFAULT_LIFETIME_S),
        (answer) => {
          if (this.state !== 'allocated') return;
          if (answer?.class_ === StunClass.success) this.refreshIn(answer);
          else this.end();
        },
      );
    });
  }

  /** Asks, with credentials once the server has told its realm (RFC 8489, section 9.2). */
  private request(
    method: number,
    attributes: (request: StunBuilder) => unknown,
    done: (response: StunMessage | undefined) => void,
    retries = MOST_RETRIES,
  ): void {
    const request = new StunBuilder(StunClass.request, method);
    const { key, server } = this;
    attributes(request);
    if (key !== undefined) {
      request
        .add(StunAttribute.username, server.username)
        .add(StunAttribute.realm, this.realm)
        .add(StunAttribute.nonce, this.nonce);
    }
    const message = request.finish(key);
    this.transactions.start(
      request.transaction,
      () => this.transport.send(message),
      (response) => {
        const code = response?.class_ === StunClass.error ? response.errorCode : undefined;
        const isNew = (code === 401 && key === undefined) || code === 438;
        if (response !== undefined && isNew && retries > 0 && this.learn(response)) {
          this.request(method, attributes, done, retries - 1);
        } else done(response);
      },
    );
  }

  /** Takes realm and nonce of a refusal. */
  private learn(response: StunMessage): boolean {
    const nonce = response.bytesOf(StunAttribute.nonce);
    const realm = response.textOf(StunAttribute.realm) ?? this.realm;
    if (nonce === undefined || nonce.length > MOST_LEARNT_BYTES || realm.length > MOST_LEARNT_BYTES)
      return false;
    this.nonce = Buffer.from(nonce);
    this.realm = realm;
    this.key = longTermKey(this.server.username, realm, this.server.credential);
    return true;
  }

  private take(message: Buffer): void {
    const first = message[0] ?? 255;
    if (first >= 64 && first < 80) this.takeChannelData(message);
    else if (first < 4) this.takeStun(message);
  }

  private takeChannelData(message: Buffer): void {
    if (message.length < HEADER_BYTES) return;
    const channel = this.channels[message.readUInt16BE(0) - FIRST_CHANNEL];
    const end = HEADER_BYTES + message.readUInt16BE(2);
    if (channel === undefined || end > message.length || this.state !== 'allocated') return;
    this.listener.received(this, message.subarray(HEADER_BYTES, end), channel.address, channel.port);
  }

  private takeStun(bytes: Buffer): void {
    const message = StunMessage.parse(bytes);
    if (message === undefined || message.class_ === StunClass.request) return;
    if (message.class_ === StunClass.indication) {
      const from = message.xorAddressOf(StunAttribute.xorPeerAddress);
      const data = message.bytesOf(StunAttribute.data);
      const isData = message.method === StunMethod.data && from !== undefined && data !== undefined;
      if (isData && this.state === 'allocated') {
        this.listener.received(this, data, from.address, from.port);
      }
      return;
    }
    // A refusal need not be authentic: it may be what tells the realm.
    const isForged =
      message.class_ === StunClass.success && this.key !== undefined && !message.isAuthentic(this.key);
    if (!isForged) this.transactions.take(message);
  }

  private stop(): void {
    this.state = 'ended';
    this.clock.cancel(this.refreshing);
    this.clock.cancel(this.rebinding);
    this.transactions.close();
  }

  private end(): void {
    if (this.state === 'ended') return;
    this.stop();
    this.transport.close();
    this.listener.ended(this);
  }
}

/** A channel to one address of a peer (RFC 8656, section 12). */
class Channel implements IceRoute {
  private state: 'new' | 'binding' | 'bound' | 'refused' = 'new';
  private isUsed = false;
  private readonly waiting: Buffer[] = [];

  constructor(
    private readonly client: TurnClient,
    readonly number: number,
    readonly address: string,
    readonly port: number,
  ) {}

  send(datagram: Uint8Array): void {
    this.isUsed = true;
    if (this.state === 'bound') this.client.sendInChannel(this.number, datagram);
    else if (this.state !== 'refused') this.wait(datagram);
  }

  bound(): void {
    this.state = 'bound';
    for (const datagram of this.waiting.splice(0)) this.client.sendInChannel(this.number, datagram);
  }

  /** The server has not answered: the next datagram asks again. */
  unbound(): void {
    this.state = 'new';
    this.waiting.length = 0;
  }

  refused(): void {
    this.state = 'refused';
    this.waiting.length = 0;
  }

  /** Keeps the channel if it was used since the last time. */
  rebind(): void {
    if (this.state !== 'bound') return;
    if (this.isUsed) this.client.bind(this);
    else this.state = 'new';
    this.isUsed = false;
  }

  private wait(datagram: Uint8Array): void {
    if (this.waiting.length < MOST_WAITING) this.waiting.push(Buffer.from(datagram));
    if (this.state === 'binding') return;
    this.state = 'binding';
    this.client.bind(this);
  }
}
