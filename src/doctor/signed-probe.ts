import { randomBytes } from 'node:crypto';
import { newSid } from '../simulator/identifiers.js';
import { signatureOf, statusParameters } from '../simulator/webhook.js';
import type { PublicOrigin } from '../twilio/public-url.js';
import { webSocketOrigin } from '../twilio/public-url.js';
import { baseText } from './public-base.js';
import type { ProbeAnswer, Wire } from './wire.js';

/** Used if no account is configured. */
export const NO_ACCOUNT = `AC${'0'.repeat(32)}`;

/** How to sign a request. */
export interface Signing {
  /** The public URL to sign for, wherever the request is sent. */
  readonly for: PublicOrigin;
  readonly token: string;
}

/**
 * Sends harmless requests like Twilio's: the status of an unknown call (204 if the signature is valid), or
 * the media socket of one (404). Without `signing`, the request is unsigned.
 */
export class SignedProbe {
  constructor(
    private readonly wire: Wire,
    private readonly accountSid: string,
  ) {}

  /** `POST /twilio/status` below a base. */
  status(to: string, signing?: Signing): Promise<ProbeAnswer> {
    const call = {
      accountSid: this.accountSid,
      callSid: newSid('CA'),
      from: '+15005550006',
      to: '+15005550006',
      direction: 'inbound',
    } as const;
    const parameters = statusParameters(call, 'completed', 0, 0);
    const path = '/twilio/status';
    return this.wire.ask(to + path, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded; charset=UTF-8',
        ...(signing && {
          'x-twilio-signature': signatureOf(signing.token, baseText(signing.for) + path, parameters),
        }),
      },
      body: new URLSearchParams(parameters).toString(),
    });
  }

  /** `WS /twilio/media/…` below a base. */
  stream(to: string, signing?: Signing): Promise<ProbeAnswer> {
    const path = `/twilio/media/doctor-${randomBytes(8).toString('hex')}/${randomBytes(32).toString('base64url')}`;
    return this.wire.upgrade(
      to + path,
      signing === undefined
        ? {}
        : { 'x-twilio-signature': signatureOf(signing.token, webSocketOrigin(baseText(signing.for)) + path) },
    );
  }
}
