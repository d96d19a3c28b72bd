import type { Check, Result } from './check.js';

/** Checks the environment variables as `serve` does. */
export const environment: Check = {
  name: 'environment',
  async run({ config, mistakes, at }) {
    if (mistakes.length > 0) return mistakes.map((says) => ({ mark: 'fail', says, ...remedy(says) }));
    const results: Result[] = [];
    if (!config.twilio.validate) {
      results.push({
        mark: 'warn',
        says: 'Signatures are not checked: anybody who finds the gateway can place calls',
        set: 'TWILIO_VALIDATE=on, with TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN',
      });
    }
    if (config.publicUrl === undefined) {
      results.push({
        mark: 'warn',
        says: 'Without PUBLIC_URL the address comes from the proxy’s headers, and outbound calls fail',
        set: `PUBLIC_URL=${at === undefined ? 'https://… (the URL Twilio uses, without /twilio/voice)' : at.origin + at.prefix}`,
      });
    }
    return results.length > 0 ? results : { mark: 'ok', says: 'Every variable is valid' };
  },
};

/** How to fix a configuration mistake. */
function remedy(line: string): Pick<Result, 'set'> {
  const plain = /PUBLIC_URL but received "http:\/\/([^"?#]+)/.exec(line)?.[1];
  if (plain !== undefined) return { set: `PUBLIC_URL=https://${plain}` };
  const query = /PUBLIC_URL but received "(https:\/\/[^"?#]+)[?#]/.exec(line)?.[1];
  if (query !== undefined) return { set: `PUBLIC_URL=${query}` };
  const host = /PUBLIC_URL but received "([^":/]+\.[^":]+)"/.exec(line)?.[1];
  return host === undefined ? {} : { set: `PUBLIC_URL=https://${host}` };
}
