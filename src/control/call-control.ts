import type { Operation } from './requests.js';

/** What the routes and the library ask for: of this process, or of a whole fleet. */
export interface CallControl {
  /**
   * Does something with a running call.
   * @returns what the operation answers, as plain JSON
   * @throws GatewayError `GW_BAD_REQUEST` (400), `GW_CALL_UNKNOWN` (404), `GW_CALL_ENDED`, `GW_CALL_NOT_LIVE` and, in a
   * fleet, `GW_CALL_MOVING` (409); and what each operation throws
   */
  control(callId: string, operation: Operation, request: unknown): Promise<unknown>;
}
