/** Sample rates of a raw leg, per second. */
export const LEG_RATES = [8_000, 16_000, 24_000, 48_000] as const;
export type LegRate = (typeof LEG_RATES)[number];
