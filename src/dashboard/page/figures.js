/** @param {number | null} us */
export function latency(us) {
  if (us === null || us === undefined) return '–';
  if (us < 1_000) return `${Math.round(us)} µs`;
  return milliseconds(us / 1_000);
}

/** @param {number} ms */
export function milliseconds(ms) {
  return `${ms < 10 ? ms.toFixed(1).replace(/\.0$/, '') : Math.round(ms)} ms`;
}

/** @param {number} ms of audio */
export function lasting(ms) {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** @param {number | null} db dBFS */
export function level(db) {
  if (db === null || db === undefined) return '–';
  return db <= -70 ? 'silent' : `${Math.round(db)} dB`.replace('-', '−');
}

/** @param {number} seconds */
export function duration(seconds) {
  const two = (value) => String(value).padStart(2, '0');
  const [h, m, s] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
