import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RtpHeader, RtpHeaderTemplate } from '../../src/rtc/rtp.js';

it('a header with level and mid is read as it was written', () => {
  const template = new RtpHeaderTemplate(111, 0xdead_beef, 'audio0', 1, 2);
  const packet = new Uint8Array(200);
  template.write(packet, 65_535, 4_294_967_295, true, 42);
  packet.fill(9, template.bytes, template.bytes + 60);
  const header = new RtpHeader();
  expect(header.read(packet, template.bytes + 60)).toBe(true);
  const { payloadType, ssrc, sequence, timestamp, isMarked, start, end } = header;
  expect({ payloadType, ssrc, sequence, timestamp, isMarked }).toEqual({
    payloadType: 111,
    ssrc: 0xdead_beef,
    sequence: 65_535,
    timestamp: 4_294_967_295,
    isMarked: true,
  });
  expect([start, end]).toEqual([template.bytes, template.bytes + 60]);
  expect([header.extension(packet, 2), header.extension(packet, 1), header.extension(packet, 3)]).toEqual([
    'audio0',
    String.fromCharCode(42),
    undefined,
  ]);
});

it('without extensions a header has twelve bytes, and padding is no payload', () => {
  const template = new RtpHeaderTemplate(0, 1, '', undefined, undefined);
  expect(template.bytes).toBe(12);
  const packet = new Uint8Array(20);
  template.write(packet, 1, 2, false, 0);
  packet[0] = 0xa0;
  packet[19] = 3;
  const header = new RtpHeader();
  expect(header.read(packet, 20)).toBe(true);
  expect([header.start, header.end]).toEqual([12, 17]);
  packet[19] = 8;
  expect(header.read(packet, 20)).toBe(false);
});

it('survives any bytes, and finds a payload only within them', () => {
  const header = new RtpHeader();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.integer({ min: 0, max: 80 }), (bytes, length) => {
      if (bytes.length > 0) bytes[0] = 0x80 | ((bytes[0] as number) & 0x3f);
      if (!header.read(bytes, length)) return;
      expect(header.start).toBeLessThan(header.end);
      expect(header.end).toBeLessThanOrEqual(bytes.length);
      for (let id = 0; id < 16; id++) header.extension(bytes, id);
    }),
    { numRuns: 2_000 },
  );
});
