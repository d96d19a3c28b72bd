/** @param {number | null} us microseconds */
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
export function audioTime(ms) {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** @param {number | null} db dBFS */
export function level(db) {
  if (db === null || db === undefined) return '–';
  return db <= -70 ? 'silent' : `${Math.round(db)} dB`.replace('-', '−');
}

/** @param {number} seconds */
export function duration(seconds) {
  const whole = Math.floor(seconds);
  const two = (value) => String(value).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3_600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** @param {number} ms since then */
export function ago(ms) {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  return seconds < 100 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}

/** @param {number} of 0 to 1 */
export function share(of) {
  const percent = 100 * of;
  if (percent === 0) return '0 %';
  if (percent < 0.01) return 'under 0.01 %';
  return `${percent < 1 ? percent.toFixed(2) : percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`;
}

/** @param {string | number | Date} at time of day, of this browser's zone */
export function timeOfDay(at) {
  return new Date(at).toLocaleTimeString('en-GB');
}
