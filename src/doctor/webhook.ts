import type { PublicOrigin } from '../twilio/public-url.js';
import { parsePublicUrl } from '../twilio/public-url.js';
import { type Check, failed, type Result } from './check.js';
import type { Context } from './context.js';
import { listenUrl } from './listener.js';
import { basesOf, baseText, beginningsOf, differences } from './public-base.js';
import { NO_ACCOUNT, SignedProbe } from './signed-probe.js';
import type { ProbeAnswer } from './wire.js';

/** Maximum signed requests to find out what the gateway believes its URL is. */
const MAX_TRIES = 100;

/** Whether a webhook signed by Twilio passes, and an unsigned one does not. */
export const webhook: Check = {
  name: 'webhook',
  async run(context, earlier) {
    const { at, config, wire } = context;
    const { authTokens, accountSid = NO_ACCOUNT } = config.twilio;
    const [token] = authTokens;
    if (at === undefined || failed(earlier, 'proxy'))
      return { mark: 'skip', says: 'No gateway answers at a public URL' };
    const probe = new SignedProbe(wire, accountSid);
    const base = baseText(at);
    const unsigned = await probe.status(base);
    if (unsigned.status === 204) return open(config.twilio.validate);
    if (token === undefined) return { mark: 'skip', says: 'There is no auth token to sign with' };
    const answer = await probe.status(base, { for: at, token });
    if (answer.status === 204)
      return { mark: 'ok', says: `The gateway accepts Twilio’s signature for ${base}` };
    if (answer.code !== 'GW_SIGNATURE_INVALID') return refused(at, answer);
    return believed(context, at, probe);
  },
};

function open(validate: boolean): Result {
  return validate
    ? {
        mark: 'fail',
        says: 'The gateway does not check signatures: it runs with TWILIO_VALIDATE=off, or is a different one',
        set: 'TWILIO_VALIDATE=on where it runs, and restart it',
      }
    : { mark: 'ok', says: 'Webhooks pass; signatures are not checked' };
}

function refused({ origin, prefix }: PublicOrigin, { status, code, message }: ProbeAnswer): Result {
  const mark = 'fail';
  switch (code) {
    case 'GW_NOT_FOUND':
      return {
        mark,
        says: `The gateway does not know the path prefix ${prefix}, which the proxy forwards`,
        set: `PUBLIC_URL=${origin}${prefix} where it runs, and restart it`,
      };
    case 'GW_SIGNATURE_MISSING':
      return {
        mark,
        says: 'The proxy drops the X-Twilio-Signature header',
        set: 'the proxy to forward all headers',
      };
    case 'GW_NOT_A_FORM':
      return {
        mark,
        says: 'The proxy changes the Content-Type of a webhook',
        set: 'the proxy to forward all headers',
      };
    default:
      return {
        mark,
        says: `A signed webhook is answered with ${status}${message === undefined ? ', and not by the gateway' : `: ${message}`}`,
        set: 'the proxy to forward POST requests to /twilio/ with their bodies',
      };
  }
}

/** Finds the URL for which the gateway accepts a signature. */
async function believed(context: Context, at: PublicOrigin, probe: SignedProbe): Promise<Result> {
  const { config } = context;
  const base = baseText(at);
  const { authTokens } = config.twilio;
  const bases = [at, ...variants(context, at)];
  let tries = 0;
  for (const [place, token] of authTokens.entries()) {
    for (const candidate of bases) {
      if (++tries > MAX_TRIES) break;
      const { status } = await probe.status(base, { for: candidate, token });
      if (status !== 204) continue;
      return candidate === at ? olderToken(place) : mistaken(base, baseText(candidate), config.publicUrl);
    }
  }
  return {
    mark: 'fail',
    says: `The gateway rejects signatures of every token here, for ${bases.length} variants of the URL`,
    set: 'TWILIO_AUTH_TOKEN and PUBLIC_URL there as they are here, and restart it',
  };
}

function olderToken(place: number): Result {
  return {
    mark: 'fail',
    says: `The running gateway knows token ${place + 1} of TWILIO_AUTH_TOKEN but not the first one`,
    set: 'the same list where it runs, and restart it',
  };
}

function mistaken(base: string, candidate: string, configured: string | undefined): Result {
  const parts = differences(base, candidate);
  const why =
    configured !== undefined && baseText(parsePublicUrl(configured)) === candidate
      ? 'its PUBLIC_URL says so'
      : parts.includes('host') || parts.includes('port')
        ? 'it has none, and the proxy changes Host'
        : parts.includes('scheme')
          ? 'it has none, and the proxy does not send X-Forwarded-Proto'
          : 'its PUBLIC_URL is another';
  return {
    mark: 'fail',
    says: `Wrong ${parts.join(' and ')}: the gateway believes its URL is ${candidate} (${why}), but Twilio signs for ${base}`,
    set: `PUBLIC_URL=${base} where the gateway runs, and restart it`,
  };
}

/** URLs that a gateway behind a proxy may believe it has. */
function variants({ config }: Context, at: PublicOrigin): PublicOrigin[] {
  const { host, hostname } = new URL(at.origin);
  const configured = config.publicUrl === undefined ? undefined : parsePublicUrl(config.publicUrl);
  const local = listenUrl(config);
  const hosts = [
    host,
    hostname,
    ...(configured === undefined ? [] : [new URL(configured.origin).host]),
    ...(local === undefined ? [] : [new URL(local).host]),
    `localhost:${config.port}`,
    `127.0.0.1:${config.port}`,
    'localhost',
    '127.0.0.1',
  ];
  const prefixes = [...beginningsOf(at.prefix), ...(configured === undefined ? [] : [configured.prefix])];
  return basesOf(hosts, prefixes).filter((candidate) => baseText(candidate) !== baseText(at));
}
