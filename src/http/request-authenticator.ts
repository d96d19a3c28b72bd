import { timingSafeEqual } from 'node:crypto';
import { GatewayError } from '../errors.js';
import type { FormParameters } from '../twilio/form.js';
import {
  type HeaderReader,
  isWebhookQuery,
  originFromHeaders,
  type PublicOrigin,
  parsePublicUrl,
  type RequestHead,
  signedUrlsOf,
  type ToldOrigin,
  webSocketOrigin,
} from '../twilio/public-url.js';
import { TwilioSignatureVerifier } from '../twilio/signature.js';

export interface RequestAuthenticatorOptions {
  /** Origin (and path prefix) at which Twilio reaches us; told by proxy headers where absent. */
  readonly publicUrl?: string;
  /** Auth tokens that may have signed; `undefined` lets everything pass (development only). */
  readonly authTokens?: readonly string[];
  /** Bearer key of the control API; the API does not exist where absent. */
  readonly controlApiKey?: string;
  /** Bearer key of `/metrics`, which anybody may read where it is absent. */
  readonly metricsApiKey?: string;
  /** Whether this server itself speaks TLS. */
  readonly secure: boolean;
}

/** `/twilio/media/`, a call's id and its token are of 123 characters at most; a proxy may have added something. */
const MAX_MEDIA_PATH = 256;

/** What is checked of a request. */
export type Caller = RequestHead;

type Keys = Pick<RequestAuthenticatorOptions, 'authTokens' | 'controlApiKey' | 'metricsApiKey'>;

/** Decides who may come in: Twilio by signature, operators by key. Fails closed. */
export class RequestAuthenticator {
  private verifier: TwilioSignatureVerifier | undefined;
  private controlApiKey: string | undefined;
  private metricsApiKey: string | undefined;
  private readonly configured: PublicOrigin | undefined;
  private told: ToldOrigin;

  constructor(options: RequestAuthenticatorOptions) {
    this.rekey(options);
    this.told = { secure: options.secure };
    this.configured = options.publicUrl === undefined ? undefined : parsePublicUrl(options.publicUrl);
  }

  /**
   * Other tokens and another key count from now on.
   * @throws GatewayError `GW_AUTH_TOKEN_MISSING`, and nothing changes
   */
  rekey({ authTokens, controlApiKey, metricsApiKey }: Keys): void {
    this.verifier = authTokens === undefined ? undefined : new TwilioSignatureVerifier(authTokens);
    this.controlApiKey = controlApiKey;
    this.metricsApiKey = metricsApiKey;
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
    const at = this.configured ?? (caller && originFromHeaders(caller.header, this.told));
    return at && at.origin + at.prefix;
  }

  /**
   * Refuses a webhook that no body could make valid, before its body is read.
   * @throws GatewayError 403 without a signature, 404 for a query that no route knows
   */
  checkWebhookHead({ header, query }: Caller): void {
    this.verifier?.checkHeader(header('x-twilio-signature'));
    if (!isWebhookQuery(query)) {
      throw new GatewayError(
        'GW_NOT_FOUND',
        'Expected no query for a webhook, or one of our own, but received another',
      );
    }
  }

  /** @throws GatewayError 403 where Twilio did not sign this webhook */
  checkWebhook(caller: Caller, parameters: FormParameters): void {
    this.verifier?.verify({
      signature: caller.header('x-twilio-signature'),
      urls: signedUrlsOf(caller, this.configured ?? this.told),
      parameters,
    });
  }

  /**
   * @throws GatewayError 403 where Twilio did not sign this WebSocket upgrade (over its `wss://` URL); 404 for a URL that we
   * would not give it
   */
  checkUpgrade(caller: Caller): void {
    if (caller.path.length + caller.query.length > this.prefix.length + MAX_MEDIA_PATH) {
      throw new GatewayError('GW_NOT_FOUND', 'Expected the URL of a media stream but received another');
    }
    this.verifier?.verify({
      signature: caller.header('x-twilio-signature'),
      urls: signedUrlsOf(caller, this.configured ?? this.told, webSocketOrigin),
    });
  }

  /** @throws GatewayError 404 while there is no control API, 401 without its key */
  checkControl(header: HeaderReader): void {
    const { controlApiKey } = this;
    if (controlApiKey === undefined) {
      throw new GatewayError(
        'GW_NOT_FOUND',
        'Expected a known route but received another; CONTROL_API_KEY is not set',
      );
    }
    checkBearer(header, controlApiKey, 'the control key');
  }

  /**
   * Answers whether whoever asks has shown the key of `/metrics`; where there is none nobody has, and everybody may read them.
   * @throws GatewayError `GW_UNAUTHORIZED` (401)
   */
  checkMetrics(header: HeaderReader): boolean {
    const { metricsApiKey } = this;
    if (metricsApiKey !== undefined) checkBearer(header, metricsApiKey, 'the key of /metrics');
    return metricsApiKey !== undefined;
  }

  /** Answers as a part of another server, below a prefix. @param secure whether that speaks TLS */
  mount(prefix: string, secure: boolean): void {
    this.told = { secure, prefix };
  }
}

/** @throws GatewayError `GW_UNAUTHORIZED` (401) */
function checkBearer(header: HeaderReader, key: string, what: string): void {
  // The scheme is in any case (RFC 7235 section 2.1).
  const received = Buffer.from(header('authorization').replace(/^bearer +/i, 'Bearer '));
  const wanted = Buffer.from(`Bearer ${key}`);
  if (received.length === wanted.length && timingSafeEqual(received, wanted)) return;
  const message = `Expected ${what} as bearer but received none or another`;
  throw new GatewayError('GW_UNAUTHORIZED', message);
}
