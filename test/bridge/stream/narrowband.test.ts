import { expect, it } from 'vitest';
import { narrowband } from '../../../src/bridge/stream/narrowband.js';

const sdp = (...lines: string[]) => ['v=0', 'm=audio 9 UDP/TLS/RTP/SAVPF 111 63', ...lines, ''].join('\r\n');

it.each([
  [
    'adds to what is there',
    ['a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10;useinbandfec=1'],
    ['a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10;useinbandfec=1;maxplaybackrate=8000'],
  ],
  [
    'replaces another rate',
    ['a=rtpmap:96 OPUS/48000/2', 'a=fmtp:96 maxplaybackrate=48000;usedtx=1'],
    ['a=rtpmap:96 OPUS/48000/2', 'a=fmtp:96 usedtx=1;maxplaybackrate=8000'],
  ],
  [
    'makes a line where there is none',
    ['a=rtpmap:111 opus/48000/2', 'a=sendonly'],
    ['a=rtpmap:111 opus/48000/2', 'a=fmtp:111 maxplaybackrate=8000', 'a=sendonly'],
  ],
  [
    'leaves RED and everything else alone',
    ['a=rtpmap:63 red/48000/2', 'a=fmtp:63 111/111', 'a=rtpmap:0 PCMU/8000'],
    ['a=rtpmap:63 red/48000/2', 'a=fmtp:63 111/111', 'a=rtpmap:0 PCMU/8000'],
  ],
])('%s', (_, given, wanted) => {
  expect(narrowband(sdp(...given))).toBe(sdp(...wanted));
  expect(narrowband(narrowband(sdp(...given)))).toBe(sdp(...wanted));
});
