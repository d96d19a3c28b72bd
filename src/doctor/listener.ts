import type { Config } from '../config.js';
import { parsePublicUrl } from '../twilio/public-url.js';
import type { Check, Result } from './check.js';
import { NO_ACCOUNT, SignedProbe } from './signed-probe.js';
import type { ProbeAnswer } from './wire.js';

/** Checks the gateway on this machine without the proxy: a fault found here is not the proxy's. */
export const listener: Check = {
  name: 'gateway',
  async run({ config, wire: { direct: wire } }) {
    const url = listenUrl(config);
    if (url === undefined) return { mark: 'skip', says: 'PORT is 0: the gateway’s address is unknown' };
    let health: ProbeAnswer;
    try {
      health = await wire.ask(`${operationsUrl(config) ?? url}/health`);
    } catch {
      return { mark: 'skip', says: `No gateway listens on this machine, at ${url}` };
    }
    if (!health.isHealth || health.status !== 200) {
      return {
        mark: 'warn',
        says: `Something other than a gateway listens at ${url} (status ${health.status})`,
        set: 'PORT to a free one, and the proxy to the same',
      };
    }
    const { publicUrl, twilio } = config;
    const [token] = twilio.authTokens;
    const running: Result = { mark: 'ok', says: `A gateway listens at ${url}` };
    if (publicUrl === undefined || token === undefined || !twilio.validate) return running;
    const probe = new SignedProbe(wire, twilio.accountSid ?? NO_ACCOUNT);
    const { code } = await probe.status(url, { for: parsePublicUrl(publicUrl), token });
    if (code !== 'GW_SIGNATURE_INVALID') return running;
    return {
      mark: 'fail',
      says: `The gateway at ${url} runs with a different PUBLIC_URL or TWILIO_AUTH_TOKEN`,
      set: 'both there as they are here, and restart it',
    };
  },
};

/** The local address of a gateway with this environment. */
export function listenUrl(config: Config): string | undefined {
  return config.port === 0 ? undefined : urlOf(config, config.port);
}

/** Its operations address, if it has a separate port. */
function operationsUrl(config: Config): string | undefined {
  return config.operationsPort ? urlOf(config, config.operationsPort) : undefined;
}

function urlOf({ host, tls }: Config, port: number): string {
  const reached =
    { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[host] ?? (host.includes(':') ? `[${host}]` : host);
  return `${tls === undefined ? 'http' : 'https'}://${reached}:${port}`;
}
