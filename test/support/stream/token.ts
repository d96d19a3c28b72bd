import { createHmac, timingSafeEqual } from 'node:crypto';
import { ApiError, ErrorCode } from './api-error.js';

/** The claims of a token. One without a user belongs to a server. */
export interface Claims {
  readonly user_id?: string;
  readonly iat?: number;
  readonly exp?: number;
  readonly nbf?: number;
  readonly [claim: string]: unknown;
}

const HEADER = encode({ alg: 'HS256', typ: 'JWT' });

export function signToken(claims: Claims, secret: string): string {
  const text = `${HEADER}.${encode(claims)}`;
  return `${text}.${mac(text, secret).toString('base64url')}`;
}

/** The claims of a valid token; fails as Stream does for an invalid one. */
export function verifyToken(token: string, secret: string, nowSeconds = Date.now() / 1000): Claims {
  const [header, payload, signature, ...rest] = token.split('.');
  if (!header || !payload || !signature || rest.length > 0) {
    throw ApiError.unauthenticated('JWTAuth error: token contains an invalid number of segments');
  }
  if (decode(header).alg !== 'HS256') {
    throw ApiError.unauthenticated('JWTAuth error: signing method is invalid');
  }
  const expected = mac(`${header}.${payload}`, secret);
  const received = Buffer.from(signature, 'base64url');
  if (received.length !== expected.length || !timingSafeEqual(received, expected)) {
    throw ApiError.unauthenticated('Token signature is invalid', ErrorCode.tokenSignature);
  }
  const claims = decode(payload) as Claims;
  if (claims.exp !== undefined && claims.exp <= nowSeconds) throw expired();
  if (claims.nbf !== undefined && claims.nbf > nowSeconds) {
    throw ApiError.unauthenticated('JWTAuth error: token is not valid yet', ErrorCode.tokenNotValidYet);
  }
  return claims;
}

export function expired(): ApiError {
  return ApiError.unauthenticated('JWTAuth error: token is expired (exp)', ErrorCode.tokenExpired);
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decode(part: string): Record<string, unknown> {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
  } catch {
    throw ApiError.unauthenticated('JWTAuth error: token is malformed');
  }
}

function mac(text: string, secret: string): Buffer {
  return createHmac('sha256', secret).update(text).digest();
}
