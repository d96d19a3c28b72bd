/** Maps whose values are times. */
const TIME_MAPS = new Set(['accepted_by', 'rejected_by', 'missed_by']);

/**
 * An answer as servers get it: times are nanoseconds of the epoch there, and ISO strings for clients. What users have
 * made up themselves is left alone.
 */
export function serverJson(value: object): object {
  return convert(JSON.parse(JSON.stringify(value)) as object, false) as object;
}

function convert(value: unknown, isTime: boolean): unknown {
  if (isTime && typeof value === 'string') return Date.parse(value) * 1e6;
  if (Array.isArray(value)) return value.map((item) => convert(item, false));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, item]): [string, unknown] => {
    if (key === 'custom') return [key, item];
    if (TIME_MAPS.has(key)) {
      const times = Object.entries(item as object).map(([id, time]) => [id, convert(time, true)]);
      return [key, Object.fromEntries(times)];
    }
    return [key, convert(item, key.endsWith('_at'))];
  });
  return Object.fromEntries(entries);
}
