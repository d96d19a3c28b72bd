/** What a request to Stream's API fails with; the numbers are Stream's own. */
export const ErrorCode = {
  accessKey: 2,
  input: 4,
  authentication: 5,
  rateLimit: 9,
  doesNotExist: 16,
  notAllowed: 17,
  payloadTooBig: 22,
  tokenExpired: 40,
  tokenNotValidYet: 41,
  tokenSignature: 43,
} as const;

/** A refusal that the API answers with: an HTTP status, and Stream's error object as the body. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: number,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }

  static input(message: string): ApiError {
    return new ApiError(400, ErrorCode.input, message);
  }

  static notFound(message: string): ApiError {
    return new ApiError(404, ErrorCode.doesNotExist, message);
  }

  static notAllowed(message: string): ApiError {
    return new ApiError(403, ErrorCode.notAllowed, message);
  }

  static unauthenticated(message: string, code: number = ErrorCode.authentication): ApiError {
    return new ApiError(401, code, message);
  }

  toJSON() {
    return {
      code: this.code,
      message: this.message,
      StatusCode: this.status,
      duration: '0.00ms',
      more_info: 'https://getstream.io/chat/docs/api_errors_response',
      details: [],
      // What permissions forbid is not worth another attempt.
      ...(this.status === 403 ? { unrecoverable: true } : {}),
    };
  }
}
