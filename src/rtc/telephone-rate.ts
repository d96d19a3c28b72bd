/** Samples per second of a telephone: what is sent and heard here. */
export const TELEPHONE_RATE = 8_000;
