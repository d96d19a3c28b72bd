import { describe, expect, it } from 'vitest';
import { speech } from '../../support/media.js';
import { watchEncoders } from '../../support/rtc-encoder.js';
import { leanOnly } from '../../support/rtc-native.js';
import {
  type Edit,
  ears,
  introduce,
  lean,
  leanVoice,
  negotiate,
  redFirst,
  repeated,
  withoutNack,
} from '../../support/rtc-pair.js';
import { isAudio, RtcWire } from '../../support/rtc-wire.js';
import { eventually, sleep, virtualTime } from '../../support/time.js';

leanOnly();

virtualTime();

const withoutFec: Edit = (sdp) => sdp.replace('useinbandfec=1', 'useinbandfec=0');

/** Speech from a to b over a wire. */
async function talk(edits: { offer?: Edit; answer?: Edit } = {}) {
  const wire = await RtcWire.lay();
  const { native, encoders } = watchEncoders();
  const speaker = lean({}, native);
  const listener = lean();
  const { sender } = speaker.addTransceiver(leanVoice(repeated(speech())).track, { direction: 'sendonly' });
  introduce(speaker, listener, wire);
  const all = ears(listener);
  await negotiate(speaker, listener, edits);
  await eventually('the connection', () => listener.connectionState === 'connected');
  await sleep(1_000);
  const [ear] = all;
  const [encoder] = encoders;
  if (ear === undefined || encoder === undefined) throw new Error('Expected a track and an encoder');
  return { wire, speaker, listener, sender, ear, encoder };
}

const sequenceOf = (datagram: Buffer) => datagram.readUInt16BE(2);

/** Loses one packet of audio in so many. */
function loseEach(wire: RtcWire, count: number): { lost: number } {
  const seen = { lost: 0, audio: 0 };
  wire.loses = (datagram, to) => {
    if (to !== 'b' || !isAudio(datagram)) return false;
    seen.audio += 1;
    const isLost = seen.audio % count === 0;
    if (isLost) seen.lost += 1;
    return isLost;
  };
  return seen;
}

describe('one packet in ten lost', () => {
  /** What it does in twelve seconds. */
  async function lossy(edits: { offer?: Edit; answer?: Edit }) {
    const call = await talk(edits);
    const seen = loseEach(call.wire, 10);
    await sleep(4_000);
    const { concealedSamples: before } = call.ear.stats;
    await sleep(8_000);
    const concealed = call.ear.stats.concealedSamples - before;
    if (process.env.TEST_LOG)
      console.log(concealed, seen, call.ear.stats, call.encoder.copies, call.sender.fractionLost);
    return { ...call, seen, concealed };
  }

  it('is reported, and the sender repeats what was lost within its packets, so that less is made up', async () => {
    const plain = await lossy({ offer: withoutNack, answer: withoutFec });
    expect(plain.encoder).toMatchObject({ fec: false, copies: 0 });
    expect(plain.ear.stats.fecPacketsReceived).toBe(0);
    expect(plain.ear.stats.packetsLost).toBeGreaterThanOrEqual(plain.seen.lost - 1);

    const { sender, encoder, ear, seen, concealed } = await lossy({ offer: withoutNack });
    expect(sender.fractionLost).toBeGreaterThan(0.05);
    expect(sender.fractionLost).toBeLessThan(0.15);
    expect(sender.lost).toBeGreaterThan(seen.lost * 0.8);
    expect(encoder.fec).toBe(true);
    expect(encoder.lossPercent).toBeGreaterThanOrEqual(9);
    expect(encoder.complexity).toBe(5);
    expect(encoder.copies).toBeGreaterThan(100);
    expect(ear.stats.fecPacketsReceived).toBeGreaterThan(100);
    expect(plain.concealed).toBeGreaterThan(3_000);
    expect(concealed).toBeLessThan(plain.concealed / 2);
  });

  it('no longer repeats when nothing is lost any more', async () => {
    const { wire, encoder } = await lossy({ offer: withoutNack });
    wire.loses = () => false;
    await sleep(25_000);
    expect(encoder).toMatchObject({ lossPercent: 0, complexity: 0 });
    const { copies } = encoder;
    await sleep(2_000);
    expect(encoder.copies).toBe(copies);
  });

  it('is restored by RED where the answer names it first', async () => {
    const { sender, ear, encoder, seen, concealed } = await lossy({
      offer: withoutNack,
      answer: redFirst,
    });
    expect(encoder).toMatchObject({ fec: false, copies: 0 });
    expect(ear.stats.fecPacketsReceived).toBeGreaterThan(500);
    expect(seen.lost).toBeGreaterThan(50);
    expect(concealed).toBeLessThan(500);
    expect(sender.lost).toBeGreaterThan(seen.lost * 0.8);
  });
});

describe('a lost packet', () => {
  it('is asked for, sent again, and heard in its place', async () => {
    const { wire, sender, ear, listener } = await talk();
    // They come in bunches of five: the buffer waits long enough for what is sent again, which is faster.
    const sent = new Set<number>();
    wire.delayMs = (datagram, to) => {
      if (to !== 'b' || !isAudio(datagram) || sent.has(sequenceOf(datagram))) return 0;
      sent.add(sequenceOf(datagram));
      return Math.max(0, 70 - (sequenceOf(datagram) % 5) * 20);
    };
    await sleep(4_000);
    const before = { ...ear.stats };
    const lost = new Set<number>();
    wire.loses = (datagram, to) => {
      const isLost = to === 'b' && isAudio(datagram) && !lost.has(sequenceOf(datagram));
      if (!isLost || sequenceOf(datagram) % 25 !== 1) return false;
      lost.add(sequenceOf(datagram));
      sent.add(sequenceOf(datagram));
      return true;
    };
    await sleep(10_000);
    wire.loses = () => false;
    await sleep(500);
    const { stats } = ear;
    if (process.env.TEST_LOG) console.log(lost.size, sender.nacks, sender.resent, before, stats);
    expect(lost.size).toBeGreaterThan(15);
    expect([sender.nacks, sender.resent]).toEqual([lost.size, lost.size]);
    expect(stats.concealedSamples - before.concealedSamples).toBe(0);
    expect([stats.packetsLost, stats.packetsDiscarded]).toEqual([0, 0]);
    const [inbound] = [...(await listener.getStats()).values()].filter(
      (entry) => (entry as { type: string }).type === 'inbound-rtp',
    );
    expect(inbound).toMatchObject({ packetsReceived: stats.packetsReceived, packetsLost: 0, kind: 'audio' });
  });

  it('is not asked for where the offer does not want it', async () => {
    const { wire, sender, ear } = await talk({ offer: withoutNack });
    loseEach(wire, 10);
    await sleep(2_000);
    expect(ear.stats.packetsLost).toBeGreaterThan(5);
    expect([sender.nacks, sender.resent]).toEqual([0, 0]);
  });
});
