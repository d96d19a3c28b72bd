import { GatewayError } from '../errors.js';
import { TwilioRest } from '../twilio/rest.js';
import type { Check, Result } from './check.js';
import type { Context, Region } from './context.js';

/** Where a token is valid. */
type Home = 'here' | 'nowhere' | Region;

/** Whether Twilio accepts the account and its tokens, especially the first, which REST uses. */
export const account: Check = {
  name: 'Twilio account',
  async run(context) {
    const { accountSid, authTokens } = context.config.twilio;
    const [first] = authTokens;
    if (accountSid === undefined || first === undefined)
      return { mark: 'skip', says: 'No account is configured' };
    try {
      const homes: Home[] = [];
      for (const token of authTokens) homes.push(await homeOf(context, accountSid, token));
      const results = verdict(homes);
      if (homes[0] !== 'here') return results;
      const status = await restOf(context, accountSid, first).accountStatus();
      return status === 'active' ? results : [...results, inactive(status)];
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      return {
        mark: 'warn',
        says: `Twilio’s API cannot be reached: ${error.message}`,
        set: 'network access to https://api.twilio.com: outbound calls need it',
      };
    }
  },
};

function verdict(homes: readonly Home[]): Result[] {
  const [first] = homes;
  const here = homes.indexOf('here');
  const results = homes.flatMap((home, i) => (i === 0 ? [] : laterToken(home, i + 1)));
  if (first === 'here') {
    return [{ mark: 'ok', says: 'Twilio accepts the account and its auth token' }, ...results];
  }
  if (here > 0) {
    return [
      {
        mark: 'fail',
        says: `Twilio’s API rejects the first token of TWILIO_AUTH_TOKEN, which REST uses, and accepts token ${here + 1}`,
        set: `TWILIO_AUTH_TOKEN with token ${here + 1} in front`,
      },
    ];
  }
  if (typeof first === 'object') {
    return [
      {
        mark: 'fail',
        says: `The auth token belongs to Region ${first.name}: Twilio’s API elsewhere rejects it`,
        set: `TWILIO_API_URL=${first.apiUrl}, or the token of US1 in front where calls are processed there`,
      },
      ...results,
    ];
  }
  return [
    {
      mark: 'fail',
      says: 'Twilio rejects TWILIO_ACCOUNT_SID with TWILIO_AUTH_TOKEN: the token was rotated, or belongs to another account',
      set: 'TWILIO_AUTH_TOKEN to the primary token in Twilio’s console (only that one signs)',
    },
    ...results,
  ];
}

/** Tokens after the first only verify signatures. */
function laterToken(home: Home, place: number): Result[] {
  if (home === 'here') return [];
  if (home === 'nowhere') {
    return [
      {
        mark: 'warn',
        says: `Twilio rejects token ${place} of TWILIO_AUTH_TOKEN: it was rotated, or is mistyped`,
        set: 'TWILIO_AUTH_TOKEN without it',
      },
    ];
  }
  return [{ mark: 'ok', says: `Token ${place} belongs to Region ${home.name}` }];
}

function inactive(status: string): Result {
  return {
    mark: 'fail',
    says: `Twilio reports that the account is ${status}`,
    set: 'the account right in Twilio’s console',
  };
}

async function homeOf(context: Context, accountSid: string, token: string): Promise<Home> {
  if (await isKnown(restOf(context, accountSid, token))) return 'here';
  for (const region of context.regions) {
    // A Region that cannot be reached counts as not knowing the token.
    const known = await isKnown(
      new TwilioRest({ accountSid, authToken: token, apiUrl: region.apiUrl }),
    ).catch(() => false);
    if (known) return region;
  }
  return 'nowhere';
}

async function isKnown(rest: TwilioRest): Promise<boolean> {
  try {
    await rest.accountStatus();
    return true;
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'GW_TWILIO_CREDENTIALS') return false;
    throw error;
  }
}

function restOf({ config }: Context, accountSid: string, authToken: string): TwilioRest {
  const { apiUrl } = config.twilio;
  return new TwilioRest({ accountSid, authToken, ...(apiUrl === undefined ? {} : { apiUrl }) });
}
