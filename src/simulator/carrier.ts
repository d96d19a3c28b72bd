import { EventEmitter, once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../clock.js';
import { PhoneClock } from './clock.js';
import type { DialMapping } from './dial.js';
import { newSid } from './identifiers.js';
import { type Callee, OutboundCall, type OutboundRequest } from './outbound-call.js';
import { type PhoneOptions, SimulatedPhone } from './phone.js';
import { type NumberFacts, RestCall } from './resources.js';
import { CallsApi, type ManagedCall } from './rest.js';

/** Ended calls that the REST API still knows. */
const REMEMBERED_CALLS = 1000;

/** The account and callees of a {@link SimulatedTwilio}. */
export interface SimulatedTwilioOptions {
  /** The account; default a new one. */
  readonly accountSid?: string;
  /** Authenticates REST requests and signs everything. */
  readonly authToken: string;
  /** Where the server under test actually listens. */
  readonly dial?: DialMapping;
  /** Behaviour of callees, by number. */
  readonly callees?: Readonly<Record<string, Callee>>;
  /** Behaviour of all other callees; default: answers after 50 ms and is silent. */
  readonly callee?: Callee;
  /** The account's phone numbers, for lookups; default none. */
  readonly numbers?: readonly NumberFacts[];
  /** Its time and that of its phones; default {@link systemClock}. */
  readonly clock?: Clock;
}

/** A call to the server under test: {@link PhoneOptions} without the account. */
export type InboundCallOptions = Omit<PhoneOptions, 'accountSid' | 'authToken' | 'direction' | 'clock'> & {
  readonly webhookUrl: string;
};

interface CarrierEvents {
  /** A callee has answered; the phone is about to execute its TwiML. */
  answered: [phone: SimulatedPhone];
  /** The REST API has accepted a call with this request. */
  placed: [request: OutboundRequest];
}

/**
 * Twilio in one object: places inbound calls to a server's webhook, and serves the REST API that places
 * outbound ones. The Twilio SDK works with it after setting
 * `client.api.baseUrl = twilio.url` (documented as a setter of `Domain`, plain http is fine).
 */
export class SimulatedTwilio extends EventEmitter<CarrierEvents> {
  readonly accountSid: string;
  readonly authToken: string;
  /** One clock for all phones of this carrier. */
  readonly clock: PhoneClock;
  private readonly options: SimulatedTwilioOptions;
  private readonly api: CallsApi;
  private readonly live = new Map<string, LiveCall>();
  private readonly past = new Map<string, RestCall>();
  private server: http.Server | undefined;

  constructor(options: SimulatedTwilioOptions) {
    super();
    this.options = options;
    this.accountSid = options.accountSid ?? newSid('AC');
    this.authToken = options.authToken;
    this.clock = new PhoneClock(options.clock);
    const calls = {
      place: (request: OutboundRequest) => this.placeOutbound(request),
      find: (sid: string) => this.find(sid),
    };
    this.api = new CallsApi(this.accountSid, this.authToken, calls, options.numbers);
  }

  /** Opens the REST API on loopback. @param port default any free one @returns its origin */
  async listen(port = 0): Promise<string> {
    const server = http.createServer((request, response) => {
      response.setHeader('date', this.clock.time.date().toUTCString());
      void this.api.handle(request, response);
    });
    this.server = server;
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return this.url;
  }

  /** Origin of the REST API, once it listens. */
  get url(): string {
    return `http://127.0.0.1:${(this.server?.address() as AddressInfo | null)?.port ?? 0}`;
  }

  /** Calls that are not over. */
  get liveCalls(): number {
    return this.live.size;
  }

  /** A call to one of the account's numbers: requests the webhook and executes its TwiML. */
  placeCall(options: InboundCallOptions): SimulatedPhone {
    const { accountSid, authToken, clock } = this;
    const phone = new SimulatedPhone({ dial: this.options.dial, ...options, accountSid, authToken, clock });
    this.track(phone.callSid, new InboundCall(phone, accountSid, clock.time), phone.ended);
    return phone.dial();
  }

  /** The callee's phone of an outbound call, once answered, or the caller's of an inbound one. */
  phone(callSid: string): SimulatedPhone | undefined {
    return this.live.get(callSid)?.phone;
  }

  /** Ends all calls at once and closes the API; resolves when every socket is gone. */
  async close(): Promise<void> {
    const calls = [...this.live.values()];
    for (const call of calls) call.close();
    await Promise.all(calls.map((call) => call.ended));
    const { server } = this;
    this.server = undefined;
    if (server === undefined) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  }

  private placeOutbound(request: OutboundRequest): ManagedCall {
    const { accountSid, authToken, clock } = this;
    const { dial, callees = {}, callee = { does: 'answer' } } = this.options;
    this.emit('placed', request);
    const call = new OutboundCall(request, {
      accountSid,
      authToken,
      clock,
      dial,
      callee: callees[request.to] ?? callee,
      onAnswer: (phone) => this.emit('answered', phone),
    });
    this.track(call.sid, call, call.ended);
    return call;
  }

  private track(sid: string, call: LiveCall, ended: Promise<unknown>): void {
    this.live.set(sid, call);
    void ended.then(() => {
      this.live.delete(sid);
      this.past.set(sid, call.facts);
      const [oldest] = this.past.keys();
      if (this.past.size > REMEMBERED_CALLS && oldest !== undefined) this.past.delete(oldest);
    });
  }

  private find(sid: string): ManagedCall | undefined {
    const facts = this.past.get(sid);
    return this.live.get(sid) ?? (facts && { facts, hangUp: () => {}, redirect: () => {} });
  }
}

interface LiveCall extends ManagedCall {
  readonly phone: SimulatedPhone | undefined;
  readonly ended: Promise<unknown>;
  close(): void;
}

/** An inbound call as the REST API sees it. */
class InboundCall implements LiveCall {
  readonly facts: RestCall;

  constructor(
    readonly phone: SimulatedPhone,
    accountSid: string,
    clock: Clock,
  ) {
    const { callSid, from, to, status } = phone;
    this.facts = new RestCall(callSid, accountSid, from, to, 'inbound', status, clock);
    phone.on('status', (now) => this.facts.become(now));
    void phone.ended.then(({ seconds }) => this.facts.end(seconds));
  }

  get ended(): Promise<unknown> {
    return this.phone.ended;
  }

  hangUp(): void {
    void this.phone.hangUp();
  }

  redirect(twiml: string): void {
    this.phone.redirect(twiml);
  }

  close(): void {
    this.phone.close();
  }
}
