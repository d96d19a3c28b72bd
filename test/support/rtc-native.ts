import { beforeEach } from 'vitest';
import { loadRtcNative, type RtcNative } from '../../src/rtc/native.js';
import { needs } from './needs.js';

const loads = (use: () => void) => () => {
  try {
    use();
    return true;
  } catch {
    return false;
  }
};

/** Whether the addon of the lean WebRTC is there. */
export const hasRtc = () => needs('the addon of the lean WebRTC', 'npm run prepare', loads(loadRtcNative));

/** Whether it can encode, too. */
export const hasOpus = () =>
  needs(
    'libopus',
    'apt-get install libopus0',
    loads(() => loadRtcNative().openDecoder(8_000).free()),
  );

/** To be called at the top of a file: its tests are skipped where the lean WebRTC cannot be had. @returns its native part, if there is one */
export function leanOnly(): RtcNative {
  const isThere = hasRtc() && hasOpus();
  beforeEach(({ skip }) => {
    if (!isThere) skip();
  });
  return isThere ? loadRtcNative() : (undefined as never);
}
