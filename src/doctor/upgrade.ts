import { type Check, failed, type Result } from './check.js';
import { baseText } from './public-base.js';
import { NO_ACCOUNT, SignedProbe } from './signed-probe.js';
import type { ProbeAnswer } from './wire.js';

/** Whether a WebSocket, signed for its wss URL, reaches the gateway. */
export const upgrade: Check = {
  name: 'media socket',
  async run({ at, config, wire }, earlier) {
    const { authTokens, accountSid = NO_ACCOUNT } = config.twilio;
    const [token] = authTokens;
    if (at === undefined || failed(earlier, 'proxy'))
      return { mark: 'skip', says: 'No gateway answers at a public URL' };
    const probe = new SignedProbe(wire, accountSid);
    const answer = await probe.stream(baseText(at), token === undefined ? undefined : { for: at, token });
    return verdict(answer, failed(earlier, 'webhook'));
  },
};

function verdict({ status, code, message }: ProbeAnswer, webhookFailed: boolean): Result {
  const mark = 'fail';
  switch (code) {
    case 'GW_CALL_UNKNOWN':
      return { mark: 'ok', says: 'WebSocket upgrades reach the gateway, signed as it expects' };
    case 'GW_DRAINING':
    case 'GW_REGISTRY_DOWN':
      return {
        mark: 'warn',
        says: `WebSocket upgrades reach the gateway, which is rejecting calls: ${message}`,
      };
    case 'GW_NOT_FOUND':
    case 'GW_UPGRADE_MISSING':
      if (code === 'GW_NOT_FOUND' && webhookFailed)
        return { mark: 'skip', says: 'Cannot be checked before webhooks pass' };
      return {
        mark,
        says: 'The proxy drops the WebSocket upgrade: a plain GET reaches the gateway (Twilio’s error 31920)',
        set: 'nginx: proxy_set_header Upgrade $http_upgrade and Connection "upgrade", for all of /twilio/media/',
      };
    case 'GW_ORIGIN_REFUSED':
      return {
        mark,
        says: 'The proxy adds an Origin header, so the gateway treats it as a browser’s',
        set: 'no Origin header at the proxy',
      };
    case 'GW_SIGNATURE_MISSING':
      return {
        mark,
        says: 'The proxy drops the X-Twilio-Signature header of an upgrade',
        set: 'the proxy to forward all headers',
      };
    case 'GW_SIGNATURE_INVALID':
      if (webhookFailed)
        return {
          mark: 'skip',
          says: 'WebSocket upgrades reach the gateway; their signature fails like a webhook’s',
        };
      return {
        mark,
        says: 'Webhooks pass and upgrades do not: the proxy changes Host, scheme, path or query string of an upgrade',
        set: 'the same headers for /twilio/media/ as for /twilio/voice at the proxy, no query string added, and PUBLIC_URL',
      };
    default:
      return {
        mark,
        says:
          status === 101
            ? 'Something other than the gateway accepts the WebSocket'
            : `The proxy itself answers ${status} to a WebSocket upgrade${message === undefined ? '' : `: ${message}`}`,
        set: 'the proxy to forward upgrades on /twilio/media/ to the gateway, over HTTP/1.1',
      };
  }
}
