/** Telephone audio ends below 4 kHz, so narrowband is enough. */
const MAX_PLAYBACK_RATE = 'maxplaybackrate=8000';

/**
 * Makes the encoder that follows an answer encode narrowband: a third less work for speech, and nothing lost of what a
 * telephone can say. Source: RFC 7587 section 6.1.
 * @param sdp of an answer; other codecs than Opus are not changed
 */
export function narrowband(sdp: string): string {
  const lines = sdp.split('\r\n');
  return lines
    .flatMap((line) => {
      const opus = /^a=rtpmap:(\d+) opus\/48000/i.exec(line)?.[1];
      if (opus !== undefined && !lines.some((other) => other.startsWith(`a=fmtp:${opus} `))) {
        return [line, `a=fmtp:${opus} ${MAX_PLAYBACK_RATE}`];
      }
      const [, type, parameters = ''] = /^a=fmtp:(\d+) (.*)$/.exec(line) ?? [];
      const isOpus = lines.some((other) => new RegExp(`^a=rtpmap:${type} opus/48000`, 'i').test(other));
      if (type === undefined || !isOpus) return line;
      const others = parameters.split(';').filter((parameter) => !/^\s*maxplaybackrate=/i.test(parameter));
      return `a=fmtp:${type} ${[...others, MAX_PLAYBACK_RATE].join(';')}`;
    })
    .join('\r\n');
}
