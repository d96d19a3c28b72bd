import { createHash } from 'node:crypto';
import { type Clock, systemClock } from '../clock.js';
import { type CallDirection, type CallStatus, rfc2822 } from './webhook.js';

/** A phone number of the account. */
export interface NumberFacts {
  readonly phoneNumber: string;
  /** What is asked when somebody calls it. */
  readonly voiceUrl: string;
  /** Default POST. */
  readonly voiceMethod?: 'GET' | 'POST';
}

const DEFAULT_PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 1000;
const created = systemClock.date();

/** The account in Twilio's JSON. Source: twilio.com/docs/iam/api/account#account-properties. */
export function accountResource(sid: string): Record<string, unknown> {
  const uri = `/2010-04-01/Accounts/${sid}`;
  return {
    // Twilio shows the token to who has it; the simulator need not.
    auth_token: '',
    date_created: rfc2822(created),
    date_updated: rfc2822(created),
    friendly_name: 'Simulated account',
    owner_account_sid: sid,
    sid,
    status: 'active',
    subresource_uris: {
      calls: `${uri}/Calls.json`,
      incoming_phone_numbers: `${uri}/IncomingPhoneNumbers.json`,
    },
    type: 'Full',
    uri: `${uri}.json`,
  };
}

/** One page of the account's numbers. Source: twilio.com/docs/phone-numbers/api/incomingphonenumber-resource. */
export function numbersPage(
  account: string,
  numbers: readonly NumberFacts[],
  query: URLSearchParams,
): Record<string, unknown> {
  const asked = Number(query.get('PageSize') ?? DEFAULT_PAGE_SIZE);
  const size = Math.min(Math.max(1, Math.trunc(asked) || DEFAULT_PAGE_SIZE), MAX_PAGE_SIZE);
  const page = Math.max(0, Math.trunc(Number(query.get('Page') ?? 0)) || 0);
  const from = page * size;
  const shown = numbers.slice(from, from + size);
  const list = `/2010-04-01/Accounts/${account}/IncomingPhoneNumbers`;
  const uriOf = (at: number) => `${list}.json?PageSize=${size}&Page=${at}`;
  return {
    end: from + Math.max(0, shown.length - 1),
    first_page_uri: uriOf(0),
    incoming_phone_numbers: shown.map((number) => numberResource(account, list, number)),
    next_page_uri: from + size < numbers.length ? uriOf(page + 1) : null,
    page,
    page_size: size,
    previous_page_uri: page > 0 ? uriOf(page - 1) : null,
    start: from,
    uri: uriOf(page),
  };
}

function numberResource(account: string, list: string, number: NumberFacts): Record<string, unknown> {
  const sid = `PN${createHash('md5').update(number.phoneNumber).digest('hex')}`;
  return {
    account_sid: account,
    address_requirements: 'none',
    address_sid: null,
    api_version: '2010-04-01',
    beta: false,
    capabilities: { fax: false, mms: true, sms: true, voice: true },
    date_created: rfc2822(created),
    date_updated: rfc2822(created),
    emergency_status: 'Inactive',
    friendly_name: number.phoneNumber,
    origin: 'twilio',
    phone_number: number.phoneNumber,
    sid,
    sms_application_sid: '',
    sms_method: 'POST',
    sms_url: '',
    status: 'in-use',
    status_callback: '',
    status_callback_method: 'POST',
    trunk_sid: null,
    uri: `${list}/${sid}.json`,
    voice_application_sid: null,
    voice_caller_id_lookup: false,
    voice_fallback_method: 'POST',
    voice_fallback_url: null,
    voice_method: number.voiceMethod ?? 'POST',
    voice_receive_mode: 'voice',
    voice_url: number.voiceUrl,
  };
}

/** What the REST API knows of a call. */
export class RestCall {
  readonly createdAt: Date;
  updatedAt: Date;
  startedAt: Date | undefined;
  endedAt: Date | undefined;
  /** Whole seconds, once the call is over. */
  seconds: number | undefined;

  constructor(
    readonly sid: string,
    readonly accountSid: string,
    readonly from: string,
    readonly to: string,
    readonly direction: CallDirection,
    public status: CallStatus,
    private readonly clock: Clock,
  ) {
    this.createdAt = clock.date();
    this.updatedAt = this.createdAt;
  }

  become(status: CallStatus): void {
    this.status = status;
    this.updatedAt = this.clock.date();
    if (status === 'in-progress') this.startedAt = this.updatedAt;
  }

  /** @param seconds that it lasted, 0 where nobody answered */
  end(seconds: number): void {
    this.seconds = seconds;
    this.endedAt = this.clock.date();
  }
}

/** A call in the JSON of Twilio's REST API. Source: twilio.com/docs/voice/api/call-resource#call-properties. */
export function callResource(call: RestCall): Record<string, unknown> {
  const uri = `/2010-04-01/Accounts/${call.accountSid}/Calls/${call.sid}`;
  return {
    account_sid: call.accountSid,
    annotation: null,
    answered_by: null,
    api_version: '2010-04-01',
    caller_name: null,
    date_created: rfc2822(call.createdAt),
    date_updated: rfc2822(call.updatedAt),
    direction: call.direction,
    duration: call.seconds === undefined ? null : String(call.seconds),
    end_time: rfc2822(call.endedAt),
    forwarded_from: null,
    from: call.from,
    from_formatted: call.from,
    group_sid: null,
    parent_call_sid: null,
    phone_number_sid: null,
    price: null,
    price_unit: 'USD',
    queue_time: '0',
    sid: call.sid,
    start_time: rfc2822(call.startedAt),
    status: call.status,
    subresource_uris: {
      notifications: `${uri}/Notifications.json`,
      recordings: `${uri}/Recordings.json`,
      streams: `${uri}/Streams.json`,
    },
    to: call.to,
    to_formatted: call.to,
    trunk_sid: null,
    uri: `${uri}.json`,
  };
}
