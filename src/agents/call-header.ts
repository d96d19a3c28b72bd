/** Header of the gateway's request to an agent with the call's facts: one line of ASCII JSON, which the signature covers. */
export const CALL_HEADER = 'trunkline-call';
