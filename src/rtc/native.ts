import { existsSync } from 'node:fs';
import { types } from 'node:util';
import { expected } from '../errors.js';
import { addonPlatform, builtAddon, openAddon, prebuiltAddon } from '../media/addon.js';

/** Sample rates of Opus that are used here. */
export const OPUS_RATES = [8_000, 16_000, 24_000, 48_000] as const;
export type OpusRate = (typeof OPUS_RATES)[number];

/** In the order of `OpusEncoder::Application` in native/rtc/opus.h. */
const APPLICATIONS = ['voip', 'audio', 'restricted-lowdelay'] as const;
export type OpusApplication = (typeof APPLICATIONS)[number];

/** As the library numbers them, from 1101 on (RFC 6716, section 2: 4, 6, 8, 12 and 20 kHz). */
const BANDWIDTHS = ['narrow', 'medium', 'wide', 'superwide', 'full'] as const;
export type OpusBandwidth = (typeof BANDWIDTHS)[number];
const FIRST_BANDWIDTH = 1101;

/** In the order of `OpusEncoder::Setting` in native/rtc/opus.h. */
const SETTINGS = ['bitrate', 'complexity', 'fec', 'lossPercent', 'dtx', 'vbr', 'maxBandwidth'] as const;
type Setting = (typeof SETTINGS)[number];

const DTLS_STATES = ['new', 'handshaking', 'connected', 'closed', 'failed'] as const;
export type DtlsSessionState = (typeof DTLS_STATES)[number];

/** The SRTP protection profiles of DTLS, by number (RFC 5764, section 4.1.2; RFC 7714, section 14.2). */
const SRTP_PROFILES = {
  AES128_CM_HMAC_SHA1_80: 1,
  AEAD_AES_128_GCM: 7,
  AEAD_AES_256_GCM: 8,
} as const;
export type SrtpProfile = keyof typeof SRTP_PROFILES;

/** Bytes of a datagram of DTLS at most; default: {@link DEFAULT_MTU}. See native/rtc/dtls.h. */
const [MIN_MTU, MAX_MTU] = [256, 4_096];
const DEFAULT_MTU = 1_200;

/** What the addon returns instead of a result: see native/rtc/addon.cc. */
const CLOSED = -100;
const REFUSED = -101;
/** A handle of nothing. */
const NONE = -1;

/** A certificate for DTLS. Freed when nothing refers to it. */
export interface Certificate {
  /** Its SHA-256, "AB:CD:…", as `a=fingerprint:sha-256` of SDP has it (RFC 8122, section 5). */
  readonly fingerprint: string;
}

/** One DTLS 1.2 association with `use_srtp` (RFC 6347, RFC 5764). It has no socket and no timer: the owner moves both. */
export interface DtlsSession {
  /**
   * Takes a datagram from the network. One that is no DTLS is ignored, and one of more than 4,096 bytes.
   * @param datagram borrowed for the call
   */
  feed(datagram: Uint8Array): void;
  /** Has the client make its first flight. A server begins by itself when it is fed. */
  start(): void;
  /** The next datagram to send. Call it until `undefined` after `start`, `feed`, `timeout` and `close`. */
  take(): Uint8Array | undefined;
  /** Milliseconds until {@link timeout} is due, by OpenSSL's own clock: 100 at first, then doubled. -1: nothing is due. */
  timeoutMs(): number;
  /** Repeats the last flight, if that is due. The twelfth time the session fails. */
  timeout(): void;
  readonly state: DtlsSessionState;
  /** Why the state is `failed`, in a few words. */
  readonly failure: string | undefined;
  /**
   * The hash of the peer's certificate, "AB:CD:…". Any certificate is accepted: the caller compares this with the SDP's.
   * @param algorithm sha-1, sha-256, sha-384 or sha-512; `undefined` for another, and before the peer has shown one
   */
  peerFingerprint(algorithm: string): string | undefined;
  /** The SRTP session with the keys of this handshake: always the same one. It outlives this. @throws Error unless `connected` */
  srtp(): SrtpSession;
  /** Tells the peer, if connected, by one more datagram to {@link take}, and frees the session. May be called again. */
  close(): void;
}

/**
 * Both ways of SRTP and SRTCP (RFC 3711, RFC 7714), which work in place and allocate nothing. What is not authentic changes
 * nothing but the packet's own bytes.
 *
 * A way holds 256 sources (SSRCs). Of those that are received, a new one that is authentic takes the place of the one that was
 * silent longest. Of those that are sent, none does: that would encrypt two packets with the same key stream.
 *
 * Errors: -1 not authentic, -2 replayed or too old (64 packets), -3 malformed, -4 too many SSRCs, -5 the key is used up (2^48
 * packets of RTP, 2^31 of RTCP).
 */
export interface SrtpSession {
  readonly profile: SrtpProfile;
  /**
   * @param packet has room for 16 bytes behind `length`
   * @returns the new length, or an error: -2, unless the sequence number is a new one
   */
  protectRtp(packet: Uint8Array, length: number): number;
  /** @returns the new length, or an error */
  unprotectRtp(packet: Uint8Array, length: number): number;
  /** @param packet has room for 20 bytes behind `length` @returns the new length, or an error */
  protectRtcp(packet: Uint8Array, length: number): number;
  /** @returns the new length, or an error */
  unprotectRtcp(packet: Uint8Array, length: number): number;
  /** May be called again. */
  free(): void;
}

export interface OpusEncoderOptions {
  readonly rate: OpusRate;
  /** Default: `voip`. */
  readonly application?: OpusApplication;
  /** Bits a second, 500 to 512,000. Default: the library's choice. */
  readonly bitrate?: number;
  /** 0 to 10. Default: the library's, 9. */
  readonly complexity?: number;
  /** Whether packets carry the frame before them again, where a loss is expected. Default: false. */
  readonly fec?: boolean;
  /** Loss to expect, in percent. Default: 0. */
  readonly lossPercent?: number;
  /** Whether silence is not sent. Default: false. */
  readonly dtx?: boolean;
  /** Whether the bitrate varies with the sound. Default: true. */
  readonly vbr?: boolean;
  /** Default: `full`. */
  readonly maxBandwidth?: OpusBandwidth;
}

/** Mono. */
export interface OpusEncoder {
  /**
   * @param pcm 2.5, 5, 10, 20, 40 or 60 ms
   * @param out room for the packet, best 1,275 bytes: less lowers the quality
   * @returns bytes of the packet; 2 at most mean that nothing need be sent, for it is silent (DTX)
   * @throws TypeError for another number of samples
   */
  encode(pcm: Int16Array, out: Uint8Array): number;
  /** @param bps bits a second, 500 to 512,000 */
  setBitrate(bps: number): void;
  /** @param percent 0 to 100 */
  setLossPercent(percent: number): void;
  setFec(on: boolean): void;
  setDtx(on: boolean): void;
  /** @param complexity 0 to 10 */
  setComplexity(complexity: number): void;
  /** May be called again. */
  free(): void;
}

/** Mono. Lost frames are concealed in the order of time: each call continues where the one before ended. */
export interface OpusDecoder {
  /** @param out room for the packet: 120 ms at most @returns samples, or less than 0 if it is malformed or finds no room */
  decode(packet: Uint8Array, out: Int16Array): number;
  /**
   * The frame before a packet that was lost, by the copy that the packet has of it; concealed if it has none.
   * @param samples of the lost frame, a multiple of 2.5 ms
   * @returns samples, or less than 0
   */
  decodeFec(packet: Uint8Array, out: Int16Array, samples: number): number;
  /** What may have been in a lost frame. @param samples a multiple of 2.5 ms, 120 ms at most @returns samples, or less than 0 */
  conceal(out: Int16Array, samples: number): number;
  /** Samples of a packet at the decoder's rate; 0 if it is malformed. */
  samplesOf(packet: Uint8Array): number;
  /** May be called again. */
  free(): void;
}

/** DTLS and SRTP by the OpenSSL of this Node, and Opus by the machine's library. */
export interface RtcNative {
  /** As "libopus 1.3.1"; empty if it is not installed. */
  readonly opusVersion: string;
  /** Makes a key and a certificate for it, valid for a month: ECDSA with P-256, signed by itself. */
  makeCertificate(): Certificate;
  /**
   * @param mtu bytes of a datagram at most, 256 to 4,096; default: 1,200
   * @throws TypeError for another argument
   */
  openDtls(certificate: Certificate, role: 'client' | 'server', mtu?: number): DtlsSession;
  /**
   * An SRTP session of known keys.
   * @param keys the client's key, the server's, the client's salt, the server's (RFC 5764, section 4.2): 60 bytes for
   * AES128_CM_HMAC_SHA1_80, 56 for AEAD_AES_128_GCM, 88 for AEAD_AES_256_GCM
   */
  openSrtp(profile: SrtpProfile, keys: Uint8Array, role: 'client' | 'server'): SrtpSession;
  /** @throws Error if libopus is not installed, TypeError for another argument */
  openEncoder(options: OpusEncoderOptions): OpusEncoder;
  /** @throws Error if libopus is not installed, TypeError for another argument */
  openDecoder(rate: OpusRate): OpusDecoder;
  /** Certificates, sessions, encoders and decoders that were not freed. */
  liveObjects(): number;
}

/** What the addon exports. It believes no argument: it returns {@link CLOSED}, {@link REFUSED} or less, or `undefined`. */
interface Addon {
  makeCertificate(): number;
  certificateFingerprint(certificate: number): string;
  freeCertificate(certificate: number): void;
  openDtls(certificate: number, isClient: boolean, mtu: number): number;
  startDtls(session: number): number;
  feedDtls(session: number, datagram: Uint8Array): number;
  takeDtls(session: number): Buffer | undefined;
  dtlsTimeoutMs(session: number): number;
  dtlsTimeout(session: number): number;
  dtlsFailure(session: number): string | undefined;
  peerFingerprint(session: number, algorithm: string): string | undefined;
  takeSrtp(session: number): number;
  closeDtls(session: number): Buffer | undefined;
  openSrtp(profile: number, keys: Uint8Array, isClient: boolean): number;
  srtpProfile(session: number): number;
  protectRtp(session: number, packet: Uint8Array, length: number): number;
  unprotectRtp(session: number, packet: Uint8Array, length: number): number;
  protectRtcp(session: number, packet: Uint8Array, length: number): number;
  unprotectRtcp(session: number, packet: Uint8Array, length: number): number;
  freeSrtp(session: number): void;
  opusVersion(): string | undefined;
  openEncoder(rate: number, application: number): number;
  setEncoder(encoder: number, setting: number, value: number): number;
  encode(encoder: number, pcm: Int16Array, out: Uint8Array): number;
  freeEncoder(encoder: number): void;
  openDecoder(rate: number): number;
  decode(decoder: number, packet: Uint8Array, out: Int16Array): number;
  decodeFec(decoder: number, packet: Uint8Array, out: Int16Array, samples: number): number;
  conceal(decoder: number, out: Int16Array, samples: number): number;
  samplesOf(decoder: number, packet: Uint8Array): number;
  freeDecoder(decoder: number): void;
  liveObjects(): number;
}

let loaded: RtcNative | undefined;

/**
 * The addon of this thread: compiled by `npm run prepare` in a checkout, or shipped with the package.
 * @throws Error that says why there is none: what was tried, and what to do
 */
export function loadRtcNative(): RtcNative {
  loaded ??= new LoadedAddon(firstAddon());
  return loaded;
}

/** A compiled addon comes first: somebody wanted it. */
function firstAddon(): Addon {
  const platform = addonPlatform();
  const failures: string[] = [];
  for (const file of [builtAddon('trunkline_rtc'), prebuiltAddon(platform, 'trunkline_rtc')]) {
    if (!existsSync(file)) continue;
    try {
      return openAddon(file) as Addon;
    } catch (error) {
      failures.push(`${file}: ${error instanceof Error ? error.message : error}`);
    }
  }
  const tried = failures.length > 0 ? failures.join('; ') : `there is none for ${platform}`;
  throw new Error(
    `The native WebRTC leg cannot be had: ${tried}. In a checkout, "npm run prepare" compiles it for Linux and macOS; a C++17 ` +
      'compiler, make, Python 3 and the headers of Node with OpenSSL are needed.',
  );
}

/** Frees what was forgotten. */
const forgotten = new FinalizationRegistry<() => void>((free) => free());

/** An object of the addon, by its handle. */
abstract class Handle {
  protected handle: number;

  /** @param remove frees a handle; it must not refer to this object */
  constructor(
    handle: number,
    private readonly remove: (handle: number) => void,
  ) {
    this.handle = handle;
    forgotten.register(this, () => remove(handle), this);
  }

  free(): void {
    if (this.handle === NONE) return;
    forgotten.unregister(this);
    this.remove(this.handle);
    this.handle = NONE;
  }
}

class LoadedCertificate extends Handle implements Certificate {
  readonly fingerprint: string;

  constructor(addon: Addon) {
    const handle = opened(addon.makeCertificate(), 'OpenSSL could not make a certificate');
    super(handle, addon.freeCertificate);
    this.fingerprint = addon.certificateFingerprint(handle);
  }

  /** @internal */
  get number(): number {
    return this.handle;
  }
}

class LoadedDtlsSession extends Handle implements DtlsSession {
  state: DtlsSessionState = 'new';
  failure: string | undefined;
  private keys: SrtpSession | undefined;
  private last: Uint8Array | undefined;

  constructor(
    private readonly addon: Addon,
    handle: number,
  ) {
    super(handle, addon.closeDtls);
  }

  start(): void {
    this.moved(this.addon.startDtls(this.handle));
  }

  feed(datagram: Uint8Array): void {
    const state = this.addon.feedDtls(this.handle, datagram);
    // What was on its way when it was closed is nobody's fault.
    if (state === REFUSED) throw expected('a Uint8Array', 'the datagram', datagram);
    this.moved(state);
  }

  take(): Uint8Array | undefined {
    if (this.handle !== NONE) return this.addon.takeDtls(this.handle);
    const last = this.last;
    this.last = undefined;
    return last;
  }

  timeoutMs(): number {
    return this.addon.dtlsTimeoutMs(this.handle);
  }

  timeout(): void {
    this.moved(this.addon.dtlsTimeout(this.handle));
  }

  peerFingerprint(algorithm: string): string | undefined {
    return this.addon.peerFingerprint(this.handle, algorithm);
  }

  srtp(): SrtpSession {
    if (this.keys !== undefined) return this.keys;
    if (this.state !== 'connected') throw new Error(`DTLS is ${this.state}: it has no keys for SRTP`);
    const handle = opened(this.addon.takeSrtp(this.handle), 'OpenSSL could not open an SRTP session');
    this.keys = new LoadedSrtpSession(this.addon, handle);
    return this.keys;
  }

  close(): void {
    if (this.handle === NONE) return;
    forgotten.unregister(this);
    this.last = this.addon.closeDtls(this.handle);
    this.handle = NONE;
    this.state = 'closed';
  }

  private moved(state: number): void {
    if (state < 0) return;
    this.state = DTLS_STATES[state] as DtlsSessionState;
    if (this.state === 'failed') this.failure ??= this.addon.dtlsFailure(this.handle);
  }
}

class LoadedSrtpSession extends Handle implements SrtpSession {
  readonly profile: SrtpProfile;

  constructor(
    private readonly addon: Addon,
    handle: number,
  ) {
    super(handle, addon.freeSrtp);
    const number = addon.srtpProfile(handle);
    const names = Object.keys(SRTP_PROFILES) as SrtpProfile[];
    this.profile = names.find((name) => SRTP_PROFILES[name] === number) as SrtpProfile;
  }

  protectRtp(packet: Uint8Array, length: number): number {
    const result = this.addon.protectRtp(this.handle, packet, length);
    return result > CLOSED ? result : refusedPacket(result, packet, length, 16);
  }

  unprotectRtp(packet: Uint8Array, length: number): number {
    const result = this.addon.unprotectRtp(this.handle, packet, length);
    return result > CLOSED ? result : refusedPacket(result, packet, length, 0);
  }

  protectRtcp(packet: Uint8Array, length: number): number {
    const result = this.addon.protectRtcp(this.handle, packet, length);
    return result > CLOSED ? result : refusedPacket(result, packet, length, 20);
  }

  unprotectRtcp(packet: Uint8Array, length: number): number {
    const result = this.addon.unprotectRtcp(this.handle, packet, length);
    return result > CLOSED ? result : refusedPacket(result, packet, length, 0);
  }
}

function refusedPacket(result: number, packet: Uint8Array, length: number, room: number): never {
  if (result === CLOSED) throw new Error('The SRTP session has been freed');
  if (!types.isUint8Array(packet)) throw expected('a Uint8Array', 'the packet', packet);
  const most = Math.max(0, packet.length - room);
  throw expected(`at most ${most}, with ${room} bytes behind it,`, 'the length of the packet', length);
}

class LoadedOpusEncoder extends Handle implements OpusEncoder {
  constructor(
    private readonly addon: Addon,
    { rate, application = 'voip', ...options }: OpusEncoderOptions,
  ) {
    const at = APPLICATIONS.indexOf(application);
    if (at < 0) throw expected(listed(APPLICATIONS), 'the application of Opus', application);
    super(opened(addon.openEncoder(checkedRate(rate), at), OPUS_MISSING), addon.freeEncoder);
    const { bitrate, complexity, fec, lossPercent, dtx, vbr, maxBandwidth } = options;
    if (bitrate !== undefined) this.setBitrate(bitrate);
    if (complexity !== undefined) this.setComplexity(complexity);
    if (fec !== undefined) this.setFec(fec);
    if (lossPercent !== undefined) this.setLossPercent(lossPercent);
    if (dtx !== undefined) this.setDtx(dtx);
    if (vbr !== undefined) this.set('vbr', Number(vbr));
    if (maxBandwidth === undefined) return;
    const bandwidth = BANDWIDTHS.indexOf(maxBandwidth);
    if (bandwidth < 0) throw expected(listed(BANDWIDTHS), 'the bandwidth of Opus', maxBandwidth);
    this.set('maxBandwidth', FIRST_BANDWIDTH + bandwidth);
  }

  encode(pcm: Int16Array, out: Uint8Array): number {
    const bytes = this.addon.encode(this.handle, pcm, out);
    return bytes >= 0 ? bytes : refusedFrame(bytes, pcm, out);
  }

  setBitrate(bps: number): void {
    this.set('bitrate', whole(bps, 500, 512_000, 'the bitrate'));
  }

  setLossPercent(percent: number): void {
    this.set('lossPercent', whole(percent, 0, 100, 'the expected loss'));
  }

  setFec(on: boolean): void {
    this.set('fec', Number(on));
  }

  setDtx(on: boolean): void {
    this.set('dtx', Number(on));
  }

  setComplexity(complexity: number): void {
    this.set('complexity', whole(complexity, 0, 10, 'the complexity'));
  }

  private set(setting: Setting, value: number): void {
    const result = this.addon.setEncoder(this.handle, SETTINGS.indexOf(setting), value);
    if (result === CLOSED) throw new Error(ENCODER_FREED);
    if (result < 0) throw new Error(`libopus refuses ${value} for ${setting}`);
  }
}

const ENCODER_FREED = 'The Opus encoder has been freed';

function refusedFrame(result: number, pcm: Int16Array, out: Uint8Array): never {
  if (result === CLOSED) throw new Error(ENCODER_FREED);
  if (!types.isInt16Array(pcm)) throw expected('an Int16Array', 'the samples', pcm);
  if (!types.isUint8Array(out) || out.length === 0) throw expected('a Uint8Array', 'the packet', out);
  throw expected('2.5, 5, 10, 20, 40 or 60 ms', 'the number of samples', pcm.length);
}

class LoadedOpusDecoder extends Handle implements OpusDecoder {
  constructor(
    private readonly addon: Addon,
    rate: OpusRate,
  ) {
    super(opened(addon.openDecoder(checkedRate(rate)), OPUS_MISSING), addon.freeDecoder);
  }

  decode(packet: Uint8Array, out: Int16Array): number {
    const samples = this.addon.decode(this.handle, packet, out);
    return samples > CLOSED ? samples : refusedDecoding(samples);
  }

  decodeFec(packet: Uint8Array, out: Int16Array, samples: number): number {
    const made = this.addon.decodeFec(this.handle, packet, out, samples);
    return made > CLOSED ? made : refusedDecoding(made);
  }

  conceal(out: Int16Array, samples: number): number {
    const made = this.addon.conceal(this.handle, out, samples);
    return made > CLOSED ? made : refusedDecoding(made);
  }

  samplesOf(packet: Uint8Array): number {
    const samples = this.addon.samplesOf(this.handle, packet);
    return samples > CLOSED ? samples : refusedDecoding(samples);
  }
}

function refusedDecoding(result: number): never {
  if (result === CLOSED) throw new Error('The Opus decoder has been freed');
  throw new TypeError('Expected a Uint8Array for the packet, and an Int16Array with room for the samples');
}

const OPUS_MISSING = 'libopus is not installed: apt-get install libopus0';

class LoadedAddon implements RtcNative {
  constructor(private readonly addon: Addon) {}

  get opusVersion(): string {
    return this.addon.opusVersion() ?? '';
  }

  makeCertificate(): Certificate {
    return new LoadedCertificate(this.addon);
  }

  openDtls(certificate: Certificate, role: 'client' | 'server', mtu = DEFAULT_MTU): DtlsSession {
    if (!(certificate instanceof LoadedCertificate)) {
      throw expected('one of makeCertificate', 'the certificate', certificate);
    }
    const size = whole(mtu, MIN_MTU, MAX_MTU, 'the MTU');
    const handle = this.addon.openDtls(certificate.number, isClient(role), size);
    return new LoadedDtlsSession(this.addon, opened(handle, 'OpenSSL could not open a DTLS session'));
  }

  openSrtp(profile: SrtpProfile, keys: Uint8Array, role: 'client' | 'server'): SrtpSession {
    const handle = this.addon.openSrtp(SRTP_PROFILES[profile], keys, isClient(role));
    if (handle === REFUSED) throw expected('the keys of a known profile', `the keys of ${profile}`, keys);
    return new LoadedSrtpSession(this.addon, opened(handle, 'OpenSSL could not open an SRTP session'));
  }

  openEncoder(options: OpusEncoderOptions): OpusEncoder {
    return new LoadedOpusEncoder(this.addon, options);
  }

  openDecoder(rate: OpusRate): OpusDecoder {
    return new LoadedOpusDecoder(this.addon, rate);
  }

  liveObjects(): number {
    return this.addon.liveObjects();
  }
}

function opened(handle: number, trouble: string): number {
  if (handle < 0) throw new Error(trouble);
  return handle;
}

function isClient(role: 'client' | 'server'): boolean {
  if (role !== 'client' && role !== 'server') throw expected('client or server', 'the role', role);
  return role === 'client';
}

function checkedRate(rate: OpusRate): OpusRate {
  if (!OPUS_RATES.includes(rate)) throw expected(listed(OPUS_RATES), 'the rate of Opus', rate);
  return rate;
}

function whole(value: number, least: number, most: number, subject: string): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw expected(`a whole number from ${least} to ${most}`, subject, value);
}

function listed(choices: readonly (string | number)[]): string {
  return `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;
}
