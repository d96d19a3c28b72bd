import { GatewayError } from '../errors.js';
import type { Endpoint } from './redis-address.js';

/** What is wrong with a Redis, in words for its operator. */
export interface RedisFault {
  /**
   * `refused`: waiting does not help; `passing`: temporarily unavailable; `foreign`: it works, but a key
   * holds data that is not ours.
   */
  readonly kind: 'refused' | 'passing' | 'foreign';
  readonly reason: string;
  /** What to set to fix it, if known. */
  readonly remedy?: string;
}

const LOGIN = 'REDIS_URL=redis://user:password@host:port';
const RIGHTS = 'its ACL to what docs/fleet.md lists';

type Rule = readonly [pattern: RegExp, kind: RedisFault['kind'], says: string, set?: string];

/** Error replies of Redis. */
const REPLIES: readonly Rule[] = [
  [/^NOAUTH\b/, 'refused', 'it asks for a password, and REDIS_URL has none', LOGIN],
  [
    /^WRONGPASS\b|invalid password|without any password/i,
    'refused',
    'it rejects this user and password',
    LOGIN,
  ],
  [/^READONLY\b/, 'passing', 'it is a read-only replica', 'REDIS_URL to the primary, or to its sentinels'],
  [/^MASTERDOWN\b/, 'passing', 'it is a replica without its primary', 'REDIS_URL to the primary'],
  [/^OOM\b/, 'passing', 'its memory is full (maxmemory): nothing can be written', 'maxmemory higher'],
  [/^LOADING\b/, 'passing', 'it is still loading its data'],
  [/^BUSY\b/, 'passing', 'it is busy with a long-running script'],
  [/^MISCONF\b/, 'passing', 'it cannot write its snapshots and therefore rejects writes', 'its disk right'],
  [/^NOREPLICAS\b/, 'passing', 'it has too few replicas to accept writes (min-replicas-to-write)'],
  [/^CLUSTERDOWN\b/, 'passing', 'its cluster is down'],
  [/^(MOVED|ASK|TRYAGAIN)\b/, 'passing', 'its cluster is moving our keys'],
  [/^UNBLOCKED\b/, 'passing', 'it has become a replica'],
  [/max number of clients/, 'passing', 'it has reached its maximum of connections (maxclients)'],
  [
    /^CROSSSLOT\b/,
    'refused',
    "it spreads one call's keys over several servers (a cluster behind one address)",
    'REDIS_URL to a Redis, or to a node of the cluster',
  ],
  [
    /DB index|SELECT is not allowed/i,
    'refused',
    'it has no database with that number',
    'REDIS_URL without /db',
  ],
  [/No such master/i, 'refused', 'the sentinels know no primary with that name', 'the name in REDIS_URL'],
  [/^NOPROTO\b|unknown command/i, 'refused', 'it is older than Redis 6, or not Redis'],
];

/** Errors of the system and of TLS. */
const SYSTEM: Readonly<Record<string, RedisFault>> = {
  ENOTFOUND: passing('its name is not in DNS'),
  EAI_AGAIN: passing('its name is not in DNS'),
  ECONNREFUSED: passing('nothing listens there'),
  ECONNRESET: passing('the connection was closed'),
  EPIPE: passing('the connection was closed'),
  EHOSTUNREACH: passing('there is no route to it'),
  ENETUNREACH: passing('there is no route to it'),
  ETIMEDOUT: passing('no answer'),
  ERR_TLS_CERT_ALTNAME_INVALID: {
    kind: 'refused',
    reason: 'its certificate is for another name',
    remedy: 'REDIS_URL to a name in the certificate',
  },
  CERT_HAS_EXPIRED: {
    kind: 'passing',
    reason: 'its certificate has expired',
    remedy: 'a new certificate there',
  },
  CERT_NOT_YET_VALID: { kind: 'passing', reason: 'its certificate is not valid yet' },
  DEPTH_ZERO_SELF_SIGNED_CERT: unknownIssuer(),
  SELF_SIGNED_CERT_IN_CHAIN: unknownIssuer(),
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownIssuer(),
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownIssuer(),
};

/** Translates an error of the client or of the system. */
export function faultOf(error: unknown): RedisFault {
  if (error instanceof GatewayError && error.cause !== undefined) return faultOf(error.cause);
  // An error with one cause per address has no message.
  if (error instanceof AggregateError && error.errors.length > 0) return faultOf(error.errors[0]);
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (/wrong version number|packet length too long/.test(message)) return plain();
  const known = SYSTEM[code];
  if (known !== undefined) {
    const { cert } = error as { cert?: { subjectaltname?: string } };
    const names = cert?.subjectaltname?.replaceAll(/DNS:|IP Address:/g, '');
    return names === undefined ? known : { ...known, reason: `${known.reason} (${names})` };
  }
  if (/Socket closed unexpectedly/.test(message)) {
    return passing('the connection was closed', 'rediss:// in REDIS_URL, if it speaks TLS');
  }
  if (!isReply(error)) return passing(/timeout/i.test(message) ? 'no answer' : message);
  // Older versions prefix a script's error with a sentence.
  const reply = message.replace(/^.*?: -(?=[A-Z]+ )/, '').replace(/ script: [0-9a-f]{40}.*$/, '');
  if (/^NOPERM\b|user executing the script/.test(reply)) return denied(reply);
  const [, kind, reason, remedy] = REPLIES.find(([pattern]) => pattern.test(reply)) ?? [
    /^/,
    'foreign',
    `an error: ${reply}`,
  ];
  return { kind, reason, ...(remedy && { remedy }) };
}

function denied(reply: string): RedisFault {
  const command = /'([^']+)' command/.exec(reply)?.[1]?.toUpperCase() ?? /\(([A-Z or]+)\)/.exec(reply)?.[1];
  let what = `run ${command ?? 'a command of our scripts'}`;
  if (command === undefined && /channel/i.test(reply)) what = 'use channels named trunkline:*';
  else if (command === undefined && /\bkeys?\b/i.test(reply)) what = 'use keys named trunkline:*';
  return { kind: 'refused', reason: `its ACL does not let this user ${what}`, remedy: RIGHTS };
}

/** Where a cluster says our keys are. */
export function movedTo(reply: string, from: Endpoint): Endpoint | undefined {
  const [, host, port] = /^MOVED \d+ (.*):(\d+)$/.exec(reply) ?? [];
  return host === undefined ? undefined : { host: host || from.host, port: Number(port) };
}

/** The client's classes are only loaded with the first link. */
function isReply(error: unknown): boolean {
  return /ErrorReply|SimpleError|BlobError/.test((error as Error).constructor.name);
}

function passing(reason: string, remedy = 'REDIS_URL, and check firewall and server'): RedisFault {
  return { kind: 'passing', reason, remedy };
}

function plain(): RedisFault {
  return { kind: 'refused', reason: 'it does not speak TLS', remedy: 'redis:// in REDIS_URL, not rediss://' };
}

function unknownIssuer(): RedisFault {
  const remedy = 'NODE_EXTRA_CA_CERTS to the certificate of your own authority';
  return { kind: 'refused', reason: 'its certificate is from an unknown authority', remedy };
}
