/** Sample rates of a raw leg, per second. */
export const LEG_RATES = [8_000, 16_000, 24_000, 48_000] as const;
/** Samples per second of what a program hears or says. */
export type LegRate = (typeof LEG_RATES)[number];
