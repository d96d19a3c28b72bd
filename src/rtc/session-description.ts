/** Session descriptions of WebRTC (RFC 8866, RFC 8829): read what a stranger sends, and write ours. */

export type Direction = 'sendrecv' | 'sendonly' | 'recvonly' | 'inactive';

/** A codec of an m-section. */
export interface Codec {
  readonly payloadType: number;
  /** In lower case, e.g. `opus`, `red`. */
  readonly name: string;
  readonly clockRate: number;
  readonly channels: number;
  /** Parameters of its `a=fmtp`, without the payload type; empty if there are none. */
  readonly parameters: string;
  /** Its `a=rtcp-fb` values, e.g. `nack`. */
  readonly feedback: readonly string[];
}

export interface Fingerprint {
  /** In lower case, e.g. `sha-256`. */
  readonly algorithm: string;
  /** In upper case, e.g. `AB:CD:…`. */
  readonly value: string;
}

/** What the ICE and DTLS of a bundle need to know of the other side. */
export interface TransportParameters {
  readonly ufrag: string;
  readonly pwd: string;
  readonly isLite: boolean;
  readonly fingerprints: readonly Fingerprint[];
  readonly setup: 'actpass' | 'active' | 'passive';
}

/** An m-section. */
export interface MediaSection {
  readonly kind: string;
  /** The rest of its m-line after the port: protocol and formats. */
  readonly protocol: string;
  readonly isRejected: boolean;
  readonly mid: string;
  readonly direction: Direction;
  readonly codecs: readonly Codec[];
  /** Numbers of RTP header extensions by their URI (RFC 8285). */
  readonly extensions: ReadonlyMap<string, number>;
  readonly ssrcs: readonly number[];
  /** Id of the MediaStream its track belongs to; `undefined` if none is named. */
  readonly streamId: string | undefined;
  /** `candidate:…` values within it. */
  readonly candidates: readonly string[];
}

export interface SessionDescription {
  readonly transport: TransportParameters | undefined;
  /** The mids of the BUNDLE group, the first of which carries the transport. */
  readonly bundle: readonly string[];
  readonly media: readonly MediaSection[];
}

/** RTP header extensions in use. Sources: RFC 6464 (level), RFC 8843 section 15 (mid). */
export const AUDIO_LEVEL = 'urn:ietf:params:rtp-hdrext:ssrc-audio-level';
export const MID = 'urn:ietf:params:rtp-hdrext:sdes:mid';

/** Longest description that is read, in characters. */
const MAX_LENGTH = 512 * 1024;
/** Most m-sections and lines of one kind that are read. */
const MAX_SECTIONS = 256;
const MAX_LINES = 64;
const DIRECTIONS: readonly string[] = ['sendrecv', 'sendonly', 'recvonly', 'inactive'];

/**
 * Reads a description. Lines it does not know are skipped.
 * @throws Error for a text that is no description, or that has more than 256 m-sections
 */
export function readDescription(sdp: string): SessionDescription {
  if (sdp.length > MAX_LENGTH) throw new Error(`The description is longer than ${MAX_LENGTH} characters`);
  if (!sdp.startsWith('v=0')) throw new Error('The description does not begin with v=0');
  const [head = '', ...sections] = sdp.split(/^m=/m);
  if (sections.length > MAX_SECTIONS)
    throw new Error(`The description has more than ${MAX_SECTIONS} m-lines`);
  const session = new Lines(head);
  const parts = sections.map((text) => new Lines(`m=${text}`));
  const group = session.all('group').find((value) => value.startsWith('BUNDLE'));
  const bundle = group === undefined ? [] : group.split(/\s+/).slice(1).filter(Boolean);
  const media = parts.map((lines, index) => readSection(lines, index));
  const bearer = parts.find((lines) => lines.first('mid') === bundle[0]) ?? parts[0];
  return { transport: readTransportParameters(session, bearer), bundle, media };
}

/** The lines of a session or an m-section. */
class Lines {
  private readonly values = new Map<string, string[]>();
  readonly mLine: string;

  constructor(text: string) {
    const lines = text.split(/\r?\n/);
    this.mLine = lines[0]?.startsWith('m=') ? lines[0].slice(2).trim() : '';
    for (const line of lines) {
      // All the rest, even behind a lone CR: what did not fit would be tried again from each character.
      const [, name, value = ''] = /^a=([^:\s]+):?(.*)$/s.exec(line.trimEnd()) ?? [];
      if (name === undefined) continue;
      const known = this.values.get(name);
      if (known === undefined) this.values.set(name, [value.trim()]);
      else if (known.length < MAX_LINES) known.push(value.trim());
    }
  }

  first(name: string): string | undefined {
    return this.values.get(name)?.[0];
  }

  all(name: string): readonly string[] {
    return this.values.get(name) ?? [];
  }

  has(name: string): boolean {
    return this.values.has(name);
  }
}

function readTransportParameters(
  session: Lines,
  section: Lines | undefined,
): TransportParameters | undefined {
  const find = (name: string) => section?.first(name) ?? session.first(name);
  const ufrag = find('ice-ufrag');
  const pwd = find('ice-pwd');
  if (ufrag === undefined || pwd === undefined) return undefined;
  const prints = [...(section?.all('fingerprint') ?? []), ...session.all('fingerprint')];
  const setup = find('setup');
  return {
    ufrag,
    pwd,
    isLite: session.has('ice-lite'),
    fingerprints: prints.flatMap((line) => {
      const [algorithm = '', value] = line.split(/\s+/);
      return value === undefined ? [] : [{ algorithm: algorithm.toLowerCase(), value: value.toUpperCase() }];
    }),
    setup: setup === 'active' || setup === 'passive' ? setup : 'actpass',
  };
}

function readSection(lines: Lines, index: number): MediaSection {
  const [kind = '', port = '0', protocol = '', ...formats] = lines.mLine.split(/\s+/);
  const direction = DIRECTIONS.find((each) => lines.has(each)) ?? 'sendrecv';
  const msid =
    lines.first('msid') ??
    lines
      .all('ssrc')
      .find((line) => / msid:/.test(line))
      ?.split(' msid:')[1];
  const streamId = msid?.split(/\s+/)[0];
  return {
    kind,
    protocol,
    isRejected: port === '0' && !lines.has('bundle-only'),
    mid: lines.first('mid') ?? String(index),
    direction: direction as Direction,
    codecs: formats.slice(0, MAX_LINES).flatMap((format) => readCodec(lines, format)),
    extensions: readExtensions(lines),
    ssrcs: [...new Set(lines.all('ssrc').map((line) => Number.parseInt(line, 10)))].filter(isSsrc),
    streamId: streamId === undefined || streamId === '-' ? undefined : streamId,
    candidates: lines.all('candidate').map((value) => `candidate:${value}`),
  };
}

const isSsrc = (ssrc: number) => ssrc >= 0 && ssrc <= 0xffff_ffff;

function readCodec(lines: Lines, format: string): Codec[] {
  const payloadType = Number(format);
  if (!(payloadType >= 0 && payloadType <= 127)) return [];
  const after = (name: string) =>
    lines
      .all(name)
      .filter((line) => line.startsWith(`${format} `) || (name === 'rtcp-fb' && line.startsWith('* ')))
      .map((line) => line.slice(line.indexOf(' ') + 1).trim());
  const [, name, clockRate, channels = '1'] =
    /^([^/]+)\/(\d+)(?:\/(\d+))?$/.exec(after('rtpmap')[0] ?? '') ?? [];
  if (name === undefined) return [];
  return [
    {
      payloadType,
      name: name.toLowerCase(),
      clockRate: Number(clockRate),
      channels: Number(channels),
      parameters: after('fmtp')[0] ?? '',
      feedback: after('rtcp-fb'),
    },
  ];
}

function readExtensions(lines: Lines): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of lines.all('extmap')) {
    const [, id, uri] = /^(\d+)(?:\/\w+)?\s+(\S+)/.exec(line) ?? [];
    // One-byte headers have room for 14 (RFC 8285 section 4.2).
    if (uri !== undefined && Number(id) >= 1 && Number(id) <= 14) found.set(uri, Number(id));
  }
  return found;
}

/** The codecs of an m-section that are understood, if it has them: Opus, and RED for it. */
export function codecsOf({ codecs }: MediaSection) {
  const opus = codecs.find(({ name }) => name === 'opus');
  const red = codecs.find(({ name, clockRate }) => name === 'red' && clockRate === 48_000);
  return { opus, red };
}

/** Whether an m-section's author sends. */
export function sends({ direction, isRejected }: Pick<OwnSection, 'direction' | 'isRejected'>): boolean {
  return !isRejected && (direction === 'sendonly' || direction === 'sendrecv');
}

/** Value of a parameter of an `a=fmtp`, e.g. of `usedtx`. */
export function parameterOf({ parameters }: Codec, name: string): string | undefined {
  for (const each of parameters.split(';')) {
    const [key, value = ''] = each.trim().split('=');
    if (key === name) return value;
  }
  return undefined;
}

/** An m-section of ours. */
export interface OwnSection extends Omit<MediaSection, 'isRejected' | 'candidates'> {
  readonly isRejected?: boolean;
  /** Id of the track that is sent. */
  readonly trackId?: string | undefined;
}

/** Our side of a bundle. */
export interface OwnTransport extends Omit<TransportParameters, 'isLite' | 'fingerprints'> {
  readonly fingerprint: Fingerprint;
  readonly candidates: readonly string[];
}

/** Writes a description. @param session our number for it and how often it has changed */
export function writeDescription(
  session: { readonly id: string; readonly version: number; readonly cname: string },
  transport: OwnTransport,
  media: readonly OwnSection[],
): string {
  const mids = media.filter(({ isRejected }) => !isRejected).map(({ mid }) => mid);
  const lines = [
    'v=0',
    `o=- ${session.id} ${session.version} IN IP4 127.0.0.1`,
    's=-',
    't=0 0',
    ...(mids.length === 0 ? [] : [`a=group:BUNDLE ${mids.join(' ')}`]),
    'a=extmap-allow-mixed',
    'a=msid-semantic: WMS *',
    ...media.flatMap((section) => sectionLines(section, session.cname, transport, section.mid === mids[0])),
  ];
  return `${lines.join('\r\n')}\r\n`;
}

function sectionLines(
  { kind, protocol, isRejected, mid, direction, codecs, extensions, ssrcs, streamId, trackId }: OwnSection,
  cname: string,
  { ufrag, pwd, fingerprint, setup, candidates }: OwnTransport,
  isFirst: boolean,
): string[] {
  const formats = codecs.map(({ payloadType }) => payloadType).join(' ') || '0';
  return [
    `m=${kind} ${isRejected ? 0 : 9} ${protocol} ${formats}`,
    'c=IN IP4 0.0.0.0',
    `a=mid:${mid}`,
    ...(isRejected
      ? ['a=inactive']
      : [
          'a=rtcp:9 IN IP4 0.0.0.0',
          `a=ice-ufrag:${ufrag}`,
          `a=ice-pwd:${pwd}`,
          'a=ice-options:trickle',
          `a=fingerprint:${fingerprint.algorithm} ${fingerprint.value}`,
          `a=setup:${setup}`,
          ...[...extensions].map(([uri, id]) => `a=extmap:${id} ${uri}`),
          `a=${direction}`,
          ...(sends({ direction }) && streamId !== undefined ? [`a=msid:${streamId} ${trackId}`] : []),
          'a=rtcp-mux',
          ...codecs.flatMap(codecLines),
          ...ssrcs.flatMap((ssrc) => [
            `a=ssrc:${ssrc} cname:${cname}`,
            `a=ssrc:${ssrc} msid:${streamId} ${trackId}`,
          ]),
          ...(isFirst ? candidates.map((candidate) => `a=${candidate}`) : []),
        ]),
  ];
}

function codecLines({ payloadType, name, clockRate, channels, parameters, feedback }: Codec): string[] {
  return [
    `a=rtpmap:${payloadType} ${name}/${clockRate}${channels > 1 ? `/${channels}` : ''}`,
    ...feedback.map((each) => `a=rtcp-fb:${payloadType} ${each}`),
    ...(parameters === '' ? [] : [`a=fmtp:${payloadType} ${parameters}`]),
  ];
}
