import { timingSafeEqual } from 'node:crypto';
import { GatewayError } from '../errors.js';
import {
  type HeaderReader,
  originFromHeaders,
  type PublicOrigin,
  parsePublicUrl,
  signedUrlCandidates,
  webSocketOrigin,
} from '../twilio/public-url.js';
import { TwilioSignatureVerifier } from '../twilio/signature.js';
import type { FormParameters } from '../twilio/webhook.js';

export interface GatekeeperOptions {
  /** Origin (and path prefix) at which Twilio reaches us; told by proxy headers where absent. */
  readonly publicUrl?: string;
  /** Auth tokens that may have signed; `undefined` lets everything pass (development only). */
  readonly authTokens?: readonly string[];
  /** Bearer key of the control API; the API does not exist where absent. */
  readonly controlApiKey?: string;
  /** Whether this server itself speaks TLS. */
  readonly secure: boolean;
}

/** What is checked of a request. */
export interface Caller {
  readonly path: string;
  readonly query: string;
  readonly header: HeaderReader;
}

/** Decides who may come in: Twilio by signature, operators by key. Fails closed. */
export class Gatekeeper {
  private verifier: TwilioSignatureVerifier | undefined;
  private controlApiKey: string | undefined;
  private readonly configured: PublicOrigin | undefined;

  constructor(private readonly options: GatekeeperOptions) {
    this.rekey(options);
    this.configured = options.publicUrl === undefined ? undefined : parsePublicUrl(options.publicUrl);
  }

  /**
   * Other tokens and another key count from now on.
   * @throws GatewayError `GW_AUTH_TOKEN_MISSING`, and nothing changes
   */
  rekey({ authTokens, controlApiKey }: Pick<GatekeeperOptions, 'authTokens' | 'controlApiKey'>): void {
    this.verifier = authTokens === undefined ? undefined : new TwilioSignatureVerifier(authTokens);
    this.controlApiKey = controlApiKey;
  }

  get checksSignatures(): boolean {
    return this.verifier !== undefined;
  }

  /** Whether there is a control API. */
  get hasControl(): boolean {
    return this.controlApiKey !== undefined;
  }

  /** Path prefix of the public URL; empty text where there is none. */
  get prefix(): string {
    return this.configured?.prefix ?? '';
  }

  /** Public base of our URLs (`https://host/prefix`): as configured, or as the request at hand tells. */
  publicBase(caller?: Caller): string | undefined {
    const at = this.configured ?? (caller && originFromHeaders(caller.header, this.options.secure));
    return at && at.origin + at.prefix;
  }

  /** @throws GatewayError 403 where Twilio did not sign this webhook */
  checkWebhook(caller: Caller, parameters: FormParameters, rawBody: string): void {
    this.verifier?.verify({
      signature: caller.header('x-twilio-signature'),
      urls: this.urlsOf(caller, (origin) => origin),
      parameters,
      rawBody,
    });
  }

  /** @throws GatewayError 403 where Twilio did not sign this WebSocket upgrade (over its `wss://` URL) */
  checkUpgrade(caller: Caller): void {
    this.verifier?.verify({
      signature: caller.header('x-twilio-signature'),
      urls: this.urlsOf(caller, webSocketOrigin),
    });
  }

  /** @throws GatewayError 404 while there is no control API, 401 without its key */
  checkControl(header: HeaderReader): void {
    const { controlApiKey } = this;
    if (controlApiKey === undefined) {
      throw new GatewayError(
        'GW_NOT_FOUND',
        'Expected a known route but received another; CONTROL_API_KEY is not set',
        {
          status: 404,
        },
      );
    }
    const expectedKey = Buffer.from(`Bearer ${controlApiKey}`);
    const received = Buffer.from(header('authorization'));
    if (received.length !== expectedKey.length || !timingSafeEqual(received, expectedKey)) {
      throw new GatewayError(
        'GW_UNAUTHORIZED',
        'Expected the control key as bearer but received none or another',
        {
          status: 401,
        },
      );
    }
  }

  private urlsOf(caller: Caller, scheme: (origin: string) => string): string[] {
    const at = this.configured ?? originFromHeaders(caller.header, this.options.secure);
    return signedUrlCandidates({ origin: scheme(at.origin), prefix: at.prefix }, caller.path, caller.query);
  }
}
