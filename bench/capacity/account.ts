import { setTimeout as pause } from 'node:timers/promises';
import {
  newSid,
  sendWebhook,
  signatureOf,
  twimlOf,
  type Verb,
  webhookParameters,
} from '../../src/simulator/index.js';
import type { Order } from './generator.js';

/** Webhooks of an account whose signatures are checked. */
const ACCOUNT_SID = `AC${'0'.repeat(32)}`;
const AUTH_TOKEN = 'bench';
const PUBLIC_URL = 'https://gateway.invalid';
const WEBHOOK_URL = `${PUBLIC_URL}/twilio/voice`;

/** What a webhook came to: a stream to dial, or busy. */
export type Answer = Order | 'busy';

export interface Placed {
  readonly admitted: number;
  readonly busy: number;
  /** How long each of those waited for its answer. */
  readonly busyMs: readonly number[];
  readonly errors: readonly Error[];
}

/** Twilio's account in front of one gateway: asks its webhook and signs its streams. */
export class Account {
  static readonly gatewayOptions = {
    publicUrl: PUBLIC_URL,
    twilio: { accountSid: ACCOUNT_SID, authTokens: [AUTH_TOKEN] },
  };

  /** For the simulator's own phones. */
  readonly phoneOptions;

  /**
   * @param gateway where it listens: `http://127.0.0.1:…`, or `https://127.0.0.1:…`
   * @param ca authority of its certificate, in PEM
   */
  constructor(
    private readonly gateway: string,
    ca?: string,
  ) {
    this.phoneOptions = {
      accountSid: ACCOUNT_SID,
      authToken: AUTH_TOKEN,
      webhookUrl: WEBHOOK_URL,
      dial: { publicUrl: PUBLIC_URL, target: gateway, ...(ca === undefined ? {} : { ca }) },
    };
  }

  /** Somebody calls. @param authToken another one is refused at the upgrade */
  async place(authToken = AUTH_TOKEN): Promise<Answer> {
    const call = {
      callSid: newSid('CA'),
      accountSid: ACCOUNT_SID,
      from: '+12065550100',
      to: '+14155550123',
      direction: 'inbound',
    } as const;
    const answer = await sendWebhook(WEBHOOK_URL, webhookParameters(call, 'ringing'), {
      authToken: AUTH_TOKEN,
      dial: this.phoneOptions.dial,
    });
    const [verb] = twimlOf(answer) as [Verb];
    if (verb.verb === 'reject' && verb.reason === 'busy') return 'busy';
    if (verb.verb !== 'stream') throw new Error(`Expected <Stream> or busy but received ${answer.body}`);
    const { protocol, hostname, port } = new URL(this.gateway);
    const url = new URL(verb.url);
    return {
      isSecure: protocol === 'https:',
      host: hostname,
      port: Number(port),
      path: url.pathname,
      publicHost: url.host,
      signature: signatureOf(authToken, verb.url),
      callSid: call.callSid,
      accountSid: call.accountSid,
      streamSid: newSid('MZ'),
    };
  }

  /**
   * Places calls at a steady pace, each by its own deadline.
   * @returns how many were admitted, how many rejected as busy, and why others failed
   */
  async placeMany(calls: number, rate: number, onOrder: (order: Order) => void): Promise<Placed> {
    const begun = performance.now();
    let busy = 0;
    const errors: Error[] = [];
    const busyMs: number[] = [];
    const placeOne = async () => {
      const asked = performance.now();
      try {
        const answer = await this.place();
        if (answer !== 'busy') return onOrder(answer);
        busy += 1;
        busyMs.push(performance.now() - asked);
      } catch (error) {
        errors.push(error as Error);
      }
    };
    const placed: Promise<void>[] = [];
    for (let i = 0; i < calls; i++) {
      const wait = begun + (i * 1_000) / rate - performance.now();
      if (wait > 1) await pause(wait);
      placed.push(placeOne());
    }
    await Promise.all(placed);
    return { admitted: calls - busy - errors.length, busy, busyMs, errors };
  }
}
