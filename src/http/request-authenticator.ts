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
  /** Origin and path prefix at which Twilio reaches the gateway; taken from proxy headers if absent. */
  readonly publicUrl?: string;
  /** Auth tokens whose signatures are accepted; `undefined` accepts every request (development only). */
  readonly authTokens?: readonly string[];
  /** Bearer key of the control API; without it the API is off. */
  readonly controlApiKey?: string;
  /** Bearer key of `/metrics`; without it anybody may read them. */
  readonly metricsApiKey?: string;
  /** Whether this server speaks TLS itself. */
  readonly secure: boolean;
}

/** `/twilio/media/`, call id and token have at most 123 characters; a proxy may add some. */
const MAX_MEDIA_PATH = 256;

/** The checked part of a request. */
export type Caller = RequestHead;

type Keys = Pick<RequestAuthenticatorOptions, 'authTokens' | 'controlApiKey' | 'metricsApiKey'>;

/** Authenticates Twilio by signature and operators by key. Fails closed. */
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
   * Replaces tokens and keys.
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

  /** Whether the control API is on. */
  get hasControl(): boolean {
    return this.controlApiKey !== undefined;
  }

  /** Path prefix of the public URL; empty if there is none. */
  get prefix(): string {
    return this.configured?.prefix ?? '';
  }

  /** Public base of the gateway's URLs (`https://host/prefix`): as configured, or taken from the request. */
  publicBase(caller?: Caller): string | undefined {
    const at = this.configured ?? (caller && originFromHeaders(caller.header, this.told));
    return at && at.origin + at.prefix;
  }

  /**
   * Rejects a webhook that no body could make valid, before its body is read.
   * @throws GatewayError 403 without a signature, 404 for a query that no route knows
   */
  checkWebhookHead({ header, query }: Caller): void {
    this.verifier?.checkHeader(header('x-twilio-signature'));
    if (!isWebhookQuery(query)) {
      throw new GatewayError(
        'GW_NOT_FOUND',
        'Expected no query, or one of the gateway, for a webhook but received another',
      );
    }
  }

  /** @throws GatewayError 403 if Twilio did not sign this webhook */
  checkWebhook(caller: Caller, parameters: FormParameters): void {
    this.verifier?.verify({
      signature: caller.header('x-twilio-signature'),
      urls: signedUrlsOf(caller, this.configured ?? this.told),
      parameters,
    });
  }

  /**
   * @throws GatewayError 403 if Twilio did not sign this WebSocket upgrade (its `wss://` URL); 404 for a URL that the
   * gateway would not give to Twilio
   */
  checkUpgrade(caller: Caller): void {
    if (caller.path.length + caller.query.length > this.prefix.length + MAX_MEDIA_PATH) {
      throw new GatewayError('GW_NOT_FOUND', 'This is not the URL of a media stream');
    }
    this.verifier?.verify({
      signature: caller.header('x-twilio-signature'),
      urls: signedUrlsOf(caller, this.configured ?? this.told, webSocketOrigin),
    });
  }

  /** @throws GatewayError 404 while the control API is off, 401 without its key */
  checkControl(header: HeaderReader): void {
    const { controlApiKey } = this;
    if (controlApiKey === undefined) {
      throw new GatewayError('GW_NOT_FOUND', 'No such route: CONTROL_API_KEY is not set');
    }
    checkBearer(header, controlApiKey, 'the control key');
  }

  /**
   * @returns whether the client has shown the key of `/metrics`; false if there is none and anybody may read them
   * @throws GatewayError `GW_UNAUTHORIZED` (401)
   */
  checkMetrics(header: HeaderReader): boolean {
    const { metricsApiKey } = this;
    if (metricsApiKey !== undefined) checkBearer(header, metricsApiKey, 'the key of /metrics');
    return metricsApiKey !== undefined;
  }

  /** Mounts the gateway below a prefix of another server. @param secure whether that speaks TLS */
  mount(prefix: string, secure: boolean): void {
    this.told = { secure, prefix };
  }
}

/** @throws GatewayError `GW_UNAUTHORIZED` (401) */
function checkBearer(header: HeaderReader, key: string, what: string): void {
  // The scheme is case-insensitive (RFC 7235 section 2.1).
  const received = Buffer.from(header('authorization').replace(/^bearer +/i, 'Bearer '));
  const wanted = Buffer.from(`Bearer ${key}`);
  if (received.length === wanted.length && timingSafeEqual(received, wanted)) return;
  const message = `Expected ${what} as bearer token but received none or another`;
  throw new GatewayError('GW_UNAUTHORIZED', message);
}
