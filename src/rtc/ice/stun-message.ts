import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { type Endpoint, formatIp, parseIp } from './ip-address.js';

const MAGIC_COOKIE = 0x2112a442;
const HEADER_BYTES = 20;
const TRANSACTION_BYTES = 12;
const INTEGRITY_BYTES = 20;
const FINGERPRINT_XOR = 0x5354554e;
/** A message with more is refused. */
const MOST_ATTRIBUTES = 32;

/** Methods of RFC 8489, section 18.2, and RFC 8656, section 17. */
export const StunMethod = {
  binding: 1,
  allocate: 3,
  refresh: 4,
  send: 6,
  data: 7,
  createPermission: 8,
  channelBind: 9,
} as const;

/** Classes of RFC 8489, section 5. */
export const StunClass = { request: 0, indication: 1, success: 2, error: 3 } as const;
export type StunClass = (typeof StunClass)[keyof typeof StunClass];

/** Attributes of RFC 8489, section 18.3, RFC 8445, section 16.1, and RFC 8656, section 18. */
export const StunAttribute = {
  mappedAddress: 0x0001,
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  unknownAttributes: 0x000a,
  channelNumber: 0x000c,
  lifetime: 0x000d,
  xorPeerAddress: 0x0012,
  data: 0x0013,
  realm: 0x0014,
  nonce: 0x0015,
  xorRelayedAddress: 0x0016,
  requestedTransport: 0x0019,
  messageIntegritySha256: 0x001c,
  xorMappedAddress: 0x0020,
  priority: 0x0024,
  useCandidate: 0x0025,
  fingerprint: 0x8028,
  iceControlled: 0x8029,
  iceControlling: 0x802a,
} as const;

const KNOWN: ReadonlySet<number> = new Set(Object.values(StunAttribute));

/**
 * Whether a datagram is a STUN message by its looks: first byte 0 to 3, and the magic cookie (RFC 8489, section 5; RFC 7983).
 * Cheap, and says nothing of what follows.
 */
export function looksLikeStun(datagram: Uint8Array): boolean {
  return (
    datagram.length >= HEADER_BYTES &&
    (datagram[0] as number) < 4 &&
    datagram[4] === 0x21 &&
    datagram[5] === 0x12 &&
    datagram[6] === 0xa4 &&
    datagram[7] === 0x42
  );
}

/** A STUN message that was received (RFC 8489). It uses the datagram's memory. */
export class StunMessage {
  private readonly types: number[] = [];
  private readonly values: Buffer[] = [];
  private integrityAt = 0;

  private constructor(
    private readonly bytes: Buffer,
    readonly method: number,
    readonly class_: StunClass,
  ) {}

  /**
   * Reads a datagram. Attributes behind MESSAGE-INTEGRITY are ignored (RFC 8489, section 14.5).
   * @returns `undefined` if it is not exactly one well-formed message, or its FINGERPRINT is wrong; never throws
   */
  static parse(datagram: Uint8Array): StunMessage | undefined {
    if (!looksLikeStun(datagram)) return undefined;
    const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.length);
    if (bytes.readUInt16BE(2) !== bytes.length - HEADER_BYTES || bytes.length % 4 !== 0) return undefined;
    const type = bytes.readUInt16BE(0);
    const method = (type & 0xf) | ((type >> 1) & 0x70) | ((type >> 2) & 0xf80);
    const message = new StunMessage(bytes, method, (((type >> 4) & 1) | ((type >> 7) & 2)) as StunClass);
    return message.readAttributes() ? message : undefined;
  }

  /** The 12 bytes that tie a response to its request, as text of one character a byte. */
  get transaction(): string {
    return this.bytes.toString('latin1', 8, HEADER_BYTES);
  }

  /** The value of the first such attribute. */
  bytesOf(attribute: number): Buffer | undefined {
    const at = this.types.indexOf(attribute);
    return at < 0 ? undefined : this.values[at];
  }

  has(attribute: number): boolean {
    return this.types.includes(attribute);
  }

  textOf(attribute: number): string | undefined {
    return this.bytesOf(attribute)?.toString();
  }

  /** The first 32 bits of an attribute, unsigned; `undefined` if it is missing or shorter. */
  uint32Of(attribute: number): number | undefined {
    const value = this.bytesOf(attribute);
    return value === undefined || value.length < 4 ? undefined : value.readUInt32BE(0);
  }

  /** 64 bits of an attribute, unsigned; `undefined` if it is missing or of another size. */
  uint64Of(attribute: number): bigint | undefined {
    const value = this.bytesOf(attribute);
    return value?.length === 8 ? value.readBigUInt64BE(0) : undefined;
  }

  /** An address that is XORed with cookie and transaction (RFC 8489, section 14.2); `undefined` if missing or malformed. */
  xorAddressOf(attribute: number): Endpoint | undefined {
    const value = this.bytesOf(attribute);
    if (value === undefined || value.length < 8) return undefined;
    const bytes = Buffer.from(value.subarray(4));
    if (bytes.length !== (value[1] === 1 ? 4 : value[1] === 2 ? 16 : -1)) return undefined;
    for (let i = 0; i < bytes.length; i++) bytes[i] = (bytes[i] as number) ^ (this.bytes[4 + i] as number);
    return { address: formatIp(bytes), port: value.readUInt16BE(2) ^ (MAGIC_COOKIE >>> 16) };
  }

  /** The code of an ERROR-CODE, 300 to 699 (RFC 8489, section 14.8); `undefined` if missing or malformed. */
  get errorCode(): number | undefined {
    const value = this.bytesOf(StunAttribute.errorCode);
    if (value === undefined || value.length < 4) return undefined;
    const code = ((value[2] as number) & 7) * 100 + (value[3] as number);
    return code >= 300 && code <= 699 && (value[3] as number) < 100 ? code : undefined;
  }

  /** Attributes that must be understood (RFC 8489, section 14) and are not. */
  get unknownAttributes(): readonly number[] {
    return this.types.filter((type) => type < 0x8000 && !KNOWN.has(type));
  }

  /** Whether it carries a MESSAGE-INTEGRITY that this key made (RFC 8489, section 14.5). */
  isAuthentic(key: string | Uint8Array): boolean {
    if (this.integrityAt === 0) return false;
    const { bytes, integrityAt } = this;
    const claimed = bytes.subarray(integrityAt + 4, integrityAt + 4 + INTEGRITY_BYTES);
    return timingSafeEqual(claimed, integrityOf(bytes.subarray(0, integrityAt), key));
  }

  private readAttributes(): boolean {
    const { bytes } = this;
    for (let at = HEADER_BYTES; at < bytes.length; ) {
      const type = bytes.readUInt16BE(at);
      const length = bytes.readUInt16BE(at + 2);
      const end = at + 4 + length;
      if (end > bytes.length || this.types.length === MOST_ATTRIBUTES) return false;
      if (type === StunAttribute.fingerprint) {
        if (length !== 4 || end !== bytes.length) return false;
        if (bytes.readUInt32BE(at + 4) !== fingerprintOf(bytes.subarray(0, at))) return false;
      }
      if (this.integrityAt === 0 || type === StunAttribute.fingerprint) {
        this.types.push(type);
        this.values.push(bytes.subarray(at + 4, end));
      }
      if (type === StunAttribute.messageIntegrity && this.integrityAt === 0) {
        if (length !== INTEGRITY_BYTES) return false;
        this.integrityAt = at;
      }
      at = end + padding(length);
    }
    return true;
  }
}

/** Builds a STUN message (RFC 8489). */
export class StunBuilder {
  private readonly pieces: Buffer[] = [];
  private readonly header = Buffer.alloc(HEADER_BYTES);

  /**
   * @param transaction 12 characters of one byte each: a request's, for its response; random if left out
   */
  constructor(class_: StunClass, method: number, transaction?: string) {
    const type =
      (method & 0xf) |
      ((method & 0x70) << 1) |
      ((method & 0xf80) << 2) |
      ((class_ & 1) << 4) |
      ((class_ & 2) << 7);
    this.header.writeUInt16BE(type, 0);
    this.header.writeUInt32BE(MAGIC_COOKIE, 4);
    if (transaction === undefined) randomBytes(TRANSACTION_BYTES).copy(this.header, 8);
    else this.header.write(transaction, 8, TRANSACTION_BYTES, 'latin1');
    this.pieces.push(this.header);
  }

  /** See {@link StunMessage.transaction}. */
  get transaction(): string {
    return this.header.toString('latin1', 8, HEADER_BYTES);
  }

  add(attribute: number, value: string | Uint8Array = ''): this {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    const piece = Buffer.alloc(4 + bytes.length + padding(bytes.length));
    piece.writeUInt16BE(attribute, 0);
    piece.writeUInt16BE(bytes.length, 2);
    piece.set(bytes, 4);
    this.pieces.push(piece);
    return this;
  }

  addUint32(attribute: number, value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return this.add(attribute, bytes);
  }

  addUint64(attribute: number, value: bigint): this {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(value);
    return this.add(attribute, bytes);
  }

  /** @throws Error if the address is not an IP address */
  addXorAddress(attribute: number, { address, port }: Endpoint): this {
    const ip = parseIp(address);
    if (ip === undefined) throw new Error(`Expected an IP address but received ${address}`);
    const value = Buffer.alloc(4 + ip.length);
    value[1] = ip.length === 4 ? 1 : 2;
    value.writeUInt16BE(port ^ (MAGIC_COOKIE >>> 16), 2);
    for (let i = 0; i < ip.length; i++) value[4 + i] = (ip[i] as number) ^ (this.header[4 + i] as number);
    return this.add(attribute, value);
  }

  /** @param code 300 to 699 */
  addErrorCode(code: number, reason: string): this {
    const value = Buffer.concat([
      Buffer.from([0, 0, Math.floor(code / 100), code % 100]),
      Buffer.from(reason),
    ]);
    return this.add(StunAttribute.errorCode, value);
  }

  /** @param key makes a MESSAGE-INTEGRITY, if given (RFC 8489, section 14.5) */
  finish(key?: string | Uint8Array, hasFingerprint = true): Buffer {
    if (key !== undefined)
      this.add(StunAttribute.messageIntegrity, integrityOf(Buffer.concat(this.pieces), key));
    let length = this.pieces.reduce((sum, piece) => sum + piece.length, 0) - HEADER_BYTES;
    if (hasFingerprint) length += 8;
    this.header.writeUInt16BE(length, 2);
    if (hasFingerprint) this.addUint32(StunAttribute.fingerprint, fingerprintOf(Buffer.concat(this.pieces)));
    return Buffer.concat(this.pieces);
  }
}

/** The key of long-term credentials (RFC 8489, section 9.2.2). */
export function longTermKey(username: string, realm: string, password: string): Buffer {
  return createHash('md5')
    .update(`${username}:${realm}:${password.normalize('NFC')}`)
    .digest();
}

/** @param message everything before the attribute; its length field does not matter */
function integrityOf(message: Buffer, key: string | Uint8Array): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length - HEADER_BYTES + 4 + INTEGRITY_BYTES);
  return createHmac('sha1', key)
    .update(message.subarray(0, 2))
    .update(length)
    .update(message.subarray(4))
    .digest();
}

/** @param message everything before the attribute, with the final length */
function fingerprintOf(message: Buffer): number {
  return (crc32(message) ^ FINGERPRINT_XOR) >>> 0;
}

function padding(length: number): number {
  return -length & 3;
}
