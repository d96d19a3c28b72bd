import { createHash } from 'node:crypto';
import { type Endpoint, familyOf } from './ip-address.js';

export type CandidateType = 'host' | 'srflx' | 'prflx' | 'relay';

/** A transport address that a peer may be reached at (RFC 8445, section 5.1). */
export interface IceCandidate {
  /** 1 to 32 characters; candidates of the same type, base and server share it. */
  readonly foundation: string;
  /** 1 to 256; 1 is RTP, with RTCP on the same port. */
  readonly component: number;
  /** In lower case. */
  readonly transport: string;
  /** Unsigned, 32 bits; the higher the better. */
  readonly priority: number;
  /** An IP address, or a name. */
  readonly address: string;
  readonly port: number;
  readonly type: CandidateType;
  readonly relatedAddress?: string;
  readonly relatedPort?: number;
}

/** A longer text is no candidate. */
const MOST_CHARACTERS = 512;
const TYPES: ReadonlySet<string> = new Set<CandidateType>(['host', 'srflx', 'prflx', 'relay']);
/** As recommended by RFC 8445, section 5.1.2.2. */
const TYPE_PREFERENCE = { host: 126, prflx: 110, srflx: 100, relay: 0 } as const;
const GRAMMAR =
  /^candidate:([\w+/]{1,32}) (\d{1,3}) (\S+) (\d{1,10}) (\S+) (\d{1,5}) typ (\S+)(?: raddr (\S+) rport (\d{1,5}))?(?: .*)?$/;

/**
 * Reads the value of a candidate attribute, "candidate:…" (RFC 8839, section 5.1); extensions are ignored.
 * @returns `undefined` if it is not one, or of an unknown type
 */
export function parseCandidate(text: string): IceCandidate | undefined {
  const fields = text.length > MOST_CHARACTERS ? null : GRAMMAR.exec(text);
  if (fields === null) return undefined;
  const [, foundation, component, transport, priority, address, port, type, relatedAddress, relatedPort] =
    fields as unknown as string[];
  const candidate = {
    foundation: foundation as string,
    component: Number(component),
    transport: (transport as string).toLowerCase(),
    priority: Number(priority),
    address: address as string,
    port: Number(port),
    type: type as CandidateType,
  };
  const isGood =
    candidate.component >= 1 &&
    candidate.component <= 256 &&
    candidate.priority <= 0xffffffff &&
    candidate.port <= 0xffff &&
    Number(relatedPort ?? 0) <= 0xffff &&
    TYPES.has(candidate.type);
  if (!isGood) return undefined;
  if (relatedAddress === undefined) return candidate;
  return { ...candidate, relatedAddress, relatedPort: Number(relatedPort) };
}

/** Writes the value of a candidate attribute, "candidate:…" (RFC 8839, section 5.1). */
export function formatCandidate(candidate: IceCandidate): string {
  const { foundation, component, transport, priority, address, port, type } = candidate;
  const { relatedAddress, relatedPort } = candidate;
  const related = relatedAddress === undefined ? '' : ` raddr ${relatedAddress} rport ${relatedPort ?? 0}`;
  return `candidate:${foundation} ${component} ${transport} ${priority} ${address} ${port} typ ${type}${related}`;
}

/**
 * The priority of a candidate for component 1 (RFC 8445, section 5.1.2.1).
 * @param localPreference 0 to 65535, of this address among those of its type
 */
export function candidatePriority(type: CandidateType, localPreference: number): number {
  return TYPE_PREFERENCE[type] * 2 ** 24 + localPreference * 2 ** 8 + 255;
}

/**
 * Makes a candidate of this side for component 1 over UDP.
 * @param localPreference see {@link candidatePriority}
 * @param server what it was learnt from, if anything
 */
export function makeCandidate(
  type: CandidateType,
  { address, port }: Endpoint,
  localPreference: number,
  related?: Endpoint,
  server = '',
): IceCandidate {
  const kind = `${type} ${related?.address ?? address} ${familyOf(address)} ${server}`;
  return {
    foundation: String(createHash('sha1').update(kind).digest().readUInt32BE(0)),
    component: 1,
    transport: 'udp',
    priority: candidatePriority(type, localPreference),
    address,
    port,
    type,
    ...(related !== undefined && { relatedAddress: related.address, relatedPort: related.port }),
  };
}
