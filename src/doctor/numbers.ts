import { GatewayError } from '../errors.js';
import { maskNumber } from '../telemetry/log.js';
import { type IncomingNumber, TwilioRest } from '../twilio/rest.js';
import { type Check, failed, type Result } from './check.js';
import { baseText, differences } from './public-base.js';

/** Maximum numbers reported; a mistake usually affects all of them. */
const MAX_TOLD = 5;

/** Compares the webhooks of the account's phone numbers with the gateway's address. */
export const numbers: Check = {
  name: 'phone numbers',
  async run({ at, config }, earlier) {
    const { accountSid, authTokens, apiUrl } = config.twilio;
    const [authToken] = authTokens;
    if (
      at === undefined ||
      accountSid === undefined ||
      authToken === undefined ||
      failed(earlier, 'Twilio account')
    ) {
      return { mark: 'skip', says: 'Cannot be checked without an account and a public URL' };
    }
    const webhook = `${baseText(at)}/twilio/voice`;
    try {
      const rest = new TwilioRest({ accountSid, authToken, ...(apiUrl === undefined ? {} : { apiUrl }) });
      return verdict(await rest.incomingNumbers(), webhook);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      return { mark: 'skip', says: 'Twilio’s API did not list them' };
    }
  },
};

function verdict(all: readonly IncomingNumber[], webhook: string): Result | Result[] {
  const right = all.filter(({ voiceUrl }) => partsWrong(voiceUrl, webhook)?.length === 0);
  const byGet = right.filter(({ voiceMethod }) => voiceMethod.toUpperCase() !== 'POST');
  const near = all.filter(({ voiceUrl }) => {
    const parts = partsWrong(voiceUrl, webhook);
    if (parts === undefined || parts.length === 0) return false;
    // Numbers of other hosts belong to other gateways, unless none calls this one.
    return (
      !parts.includes('host') ||
      (right.length === 0 && /\/twilio\/voice\/?$/.test(new URL(voiceUrl).pathname))
    );
  });
  const wrong: Result[] = [
    ...byGet.map(
      (number): Result => ({
        mark: 'fail',
        says: `${maskNumber(number.phoneNumber)} uses ${number.voiceMethod}, which the gateway does not answer`,
        set: `HTTP POST for ${webhook} at the number in Twilio’s console`,
      }),
    ),
    ...near.map(
      (number): Result => ({
        mark: 'fail',
        says: `${maskNumber(number.phoneNumber)} calls ${number.voiceUrl}: another ${partsWrong(number.voiceUrl, webhook)?.join(' and ')}`,
        set: `${webhook} at the number in Twilio’s console, or PUBLIC_URL to the number’s address`,
      }),
    ),
  ];
  if (wrong.length > 0) return wrong.slice(0, MAX_TOLD);
  if (right.length > 0)
    return {
      mark: 'ok',
      says: `${right.length === 1 ? 'One number calls' : `${right.length} numbers call`} ${webhook}`,
    };
  return {
    mark: 'warn',
    says: `None of the account’s ${all.length} numbers calls the gateway`,
    set: `A call comes in: ${webhook}, HTTP POST, at a number in Twilio’s console`,
  };
}

/** Which parts of a number's URL differ; `undefined` if it has no URL. A query string is allowed. */
function partsWrong(voiceUrl: string, webhook: string): string[] | undefined {
  if (!URL.canParse(voiceUrl)) return undefined;
  return differences(voiceUrl, webhook).filter((part) => part !== 'query string');
}
