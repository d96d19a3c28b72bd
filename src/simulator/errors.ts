import { GatewayError } from '../errors.js';

/** Twilio's own error codes that the simulator reports. Source: twilio.com/docs/api/errors. */
export const TWILIO_ERRORS = {
  11100: 'Invalid URL format',
  11200: 'HTTP retrieval failure',
  11205: 'HTTP connection failure',
  11215: 'Too many HTTP redirects',
  12100: 'Document parse failure',
  12200: 'Schema validation failure',
  12300: 'Invalid Content-Type',
  31901: 'Stream: connection timeout',
  31902: 'Stream: connection refused',
  31903: 'Stream: broken pipe',
  31920: 'Stream: WebSocket handshake error',
  31921: 'Stream: the server closed the WebSocket',
  31924: 'Stream: WebSocket protocol error',
} as const;

/** One of the codes in {@link TWILIO_ERRORS}. */
export type TwilioErrorCode = keyof typeof TWILIO_ERRORS;

/**
 * What Twilio's debugger would show, as a `GatewayError` with code `GW_SIM_<Twilio's code>`.
 * @param status HTTP status the server answered with, where it answered
 */
export function twilioError(
  code: TwilioErrorCode,
  message: string,
  options: { status?: number; cause?: unknown } = {},
): GatewayError {
  return new GatewayError(`GW_SIM_${code}`, `${message} (Twilio ${code}: ${TWILIO_ERRORS[code]})`, options);
}

/** Twilio's code in an error of {@link twilioError}; `undefined` for any other. */
export function twilioCodeOf(error: unknown): number | undefined {
  const digits = error instanceof GatewayError ? /^GW_SIM_(\d{5})$/.exec(error.code)?.[1] : undefined;
  return digits === undefined ? undefined : Number(digits);
}
