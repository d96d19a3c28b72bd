import type { Check, Result } from './check.js';

/** The variables, as `serve` would complain of them. */
export const environment: Check = {
  name: 'environment',
  async run({ config, mistakes, at }) {
    if (mistakes.length > 0) return mistakes.map((says) => ({ mark: 'fail', says, ...remedy(says) }));
    const results: Result[] = [];
    if (!config.twilio.validate) {
      results.push({
        mark: 'warn',
        says: 'Signatures are not checked: whoever finds the gateway can place calls',
        set: 'TWILIO_VALIDATE=on, with TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN',
      });
    }
    if (config.publicUrl === undefined) {
      results.push({
        mark: 'warn',
        says: 'Without PUBLIC_URL the address is taken from what the proxy says of each request, and outbound calls fail',
        set: `PUBLIC_URL=${at === undefined ? 'https://… (what Twilio is told, without /twilio/voice)' : at.origin + at.prefix}`,
      });
    }
    return results.length > 0 ? results : { mark: 'ok', says: 'Every variable is as it should be' };
  },
};

/** What a line of the configuration does not say: how it is done right. */
function remedy(line: string): Pick<Result, 'set'> {
  const plain = /PUBLIC_URL but received "http:\/\/([^"?#]+)/.exec(line)?.[1];
  if (plain !== undefined) return { set: `PUBLIC_URL=https://${plain}` };
  const query = /PUBLIC_URL but received "(https:\/\/[^"?#]+)[?#]/.exec(line)?.[1];
  if (query !== undefined) return { set: `PUBLIC_URL=${query}` };
  const host = /PUBLIC_URL but received "([^":/]+\.[^":]+)"/.exec(line)?.[1];
  return host === undefined ? {} : { set: `PUBLIC_URL=https://${host}` };
}
