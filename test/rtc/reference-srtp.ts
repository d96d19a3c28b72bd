import { createCipheriv, createHmac } from 'node:crypto';
import type { SrtpProfile } from '../../src/rtc/native.js';

/** Bytes of a profile's master key, master salt and tag (RFC 5764, section 4.1.2; RFC 7714, section 12). */
export const SIZES: Record<SrtpProfile, { key: number; salt: number; tag: number }> = {
  AES128_CM_HMAC_SHA1_80: { key: 16, salt: 14, tag: 10 },
  AEAD_AES_128_GCM: { key: 16, salt: 12, tag: 16 },
  AEAD_AES_256_GCM: { key: 32, salt: 12, tag: 16 },
};
export const PROFILES = Object.keys(SIZES) as SrtpProfile[];

export interface SessionKeys {
  readonly key: Buffer;
  readonly authentication: Buffer;
  readonly salt: Buffer;
}

/** The key stream of AES in counter mode (RFC 3711, section 4.1.1). */
export function keyStream(key: Buffer, counter: Buffer, length: number): Buffer {
  return createCipheriv(`aes-${8 * key.length}-ctr`, key, counter).update(Buffer.alloc(length));
}

/** @param label of the first of three keys: 0 for RTP, 3 for RTCP (RFC 3711, section 4.3) */
export function derive(masterKey: Buffer, masterSalt: Buffer, label: number): SessionKeys {
  const [key, authentication, salt] = [masterKey.length, 20, masterSalt.length].map((length, i) => {
    const counter = Buffer.concat([masterSalt, Buffer.alloc(16 - masterSalt.length)]);
    counter.writeUInt8(counter.readUInt8(7) ^ (label + i), 7);
    return keyStream(masterKey, counter, length);
  }) as [Buffer, Buffer, Buffer];
  return { key, authentication, salt };
}

function xor(salt: Buffer, length: number, at: number, number: Buffer): Buffer {
  const result = Buffer.concat([salt, Buffer.alloc(length - salt.length)]);
  for (const [i, byte] of number.entries()) result[at + i] = (result[at + i] as number) ^ byte;
  return result;
}

/** SSRC, and an index of 48 bits. */
function numbered(ssrc: number, index: number): Buffer {
  const number = Buffer.alloc(10);
  number.writeUInt32BE(ssrc);
  number.writeUIntBE(index, 4, 6);
  return number;
}

function counterMode({ key, salt }: SessionKeys, ssrc: number, index: number, plain: Buffer): Buffer {
  const counter = xor(salt, 16, 4, numbered(ssrc, index));
  return createCipheriv('aes-128-ctr', key, counter).update(plain);
}

function aead({ key, salt }: SessionKeys, ssrc: number, index: number, clear: Buffer, plain: Buffer): Buffer {
  const cipher = createCipheriv(
    key.length === 32 ? 'aes-256-gcm' : 'aes-128-gcm',
    key,
    xor(salt, 12, 2, numbered(ssrc, index)),
  );
  cipher.setAAD(clear);
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

function headerOf(packet: Buffer): number {
  const header = 12 + 4 * (packet.readUInt8(0) & 15);
  return (packet.readUInt8(0) & 16) === 0 ? header : header + 4 + 4 * packet.readUInt16BE(header + 2);
}

/** @param keys its session keys for RTP @param rollover the ROC of the packet */
export function sealRtp(profile: SrtpProfile, keys: SessionKeys, packet: Buffer, rollover: number): Buffer {
  const header = headerOf(packet);
  const index = rollover * 65_536 + packet.readUInt16BE(2);
  const [clear, plain] = [packet.subarray(0, header), packet.subarray(header)];
  const ssrc = packet.readUInt32BE(8);
  if (profile !== 'AES128_CM_HMAC_SHA1_80')
    return Buffer.concat([clear, aead(keys, ssrc, index, clear, plain)]);
  const sealed = Buffer.concat([clear, counterMode(keys, ssrc, index, plain)]);
  const roc = Buffer.alloc(4);
  roc.writeUInt32BE(rollover);
  const tag = createHmac('sha1', keys.authentication).update(sealed).update(roc).digest();
  return Buffer.concat([sealed, tag.subarray(0, 10)]);
}

/** @param keys its session keys for RTCP */
export function sealRtcp(
  profile: SrtpProfile,
  keys: SessionKeys,
  packet: Buffer,
  index: number,
  isEncrypted = true,
): Buffer {
  const trailer = Buffer.alloc(4);
  trailer.writeUInt32BE((isEncrypted ? 2 ** 31 : 0) + index);
  const header = isEncrypted ? 8 : packet.length;
  const [clear, plain] = [packet.subarray(0, header), packet.subarray(header)];
  const ssrc = packet.readUInt32BE(4);
  if (profile !== 'AES128_CM_HMAC_SHA1_80') {
    const sealed = aead(keys, ssrc, index, Buffer.concat([clear, trailer]), plain);
    return Buffer.concat([clear, sealed, trailer]);
  }
  const sealed = Buffer.concat([clear, counterMode(keys, ssrc, index, plain), trailer]);
  const tag = createHmac('sha1', keys.authentication).update(sealed).digest();
  return Buffer.concat([sealed, tag.subarray(0, 10)]);
}
