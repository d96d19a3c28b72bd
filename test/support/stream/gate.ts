import { ApiError, ErrorCode } from './api-error.js';
import type { StreamApp } from './app.js';
import { expired, verifyToken } from './token.js';

/** Whoever asks: a user, or a server with all rights. */
export interface Caller {
  readonly userId: string | undefined;
}

/** Most tokens remembered; the oldest are forgotten. */
const MAX_TOKENS = 10_000;

/** Checks keys and tokens. */
export class Gate {
  private readonly seen = new Set<string>();
  private readonly expired = new Set<string>();

  constructor(private readonly app: StreamApp) {}

  /** Admits requests with a valid token. */
  caller(apiKey: string | null, token: string): Caller {
    if (apiKey !== this.app.apiKey) {
      throw ApiError.unauthenticated('api_key not valid', ErrorCode.accessKey);
    }
    if (token === '') throw ApiError.unauthenticated('Authorization header is missing');
    const claims = verifyToken(token, this.app.apiSecret);
    if (claims.user_id === undefined) return { userId: undefined };
    // By the token itself, for the times in it are whole seconds and set back by the libraries that issue them.
    if (this.expired.has(token)) throw expired();
    remember(this.seen, token);
    return { userId: claims.user_id };
  }

  /** Lets in users only. */
  user(apiKey: string | null, token: string): { readonly userId: string } {
    const { userId } = this.caller(apiKey, token);
    if (userId === undefined) throw ApiError.unauthenticated('the token has no user_id');
    return { userId };
  }

  /** All users' tokens that have been shown until now count as expired. */
  expireTokens(): void {
    for (const token of this.seen) remember(this.expired, token);
    this.seen.clear();
  }
}

function remember(tokens: Set<string>, token: string): void {
  tokens.add(token);
  if (tokens.size > MAX_TOKENS) tokens.delete(tokens.values().next().value as string);
}
