import { describe, expect, it } from 'vitest';
import { fitTone } from '../../support/rtc-measure.js';
import { leanOnly } from '../../support/rtc-native.js';
import {
  type Connection,
  type Edit,
  ears,
  introduce,
  lean,
  leanVoice,
  libwebrtc,
  libwebrtcEar,
  libwebrtcTrack,
  negotiate,
  redFirst,
  sine,
} from '../../support/rtc-pair.js';
import { isAudio, RtcWire } from '../../support/rtc-wire.js';
import { eventually, sleep } from '../../support/time.js';

leanOnly();

const HZ = 1_004;
const LEVEL = 8_000;
/** Both stacks make sound longer and shorter where a busy machine is uneven: what is between must be clean. */
const PIECE_MS = 100;

type Kind = 'lean' | 'libwebrtc';

function speakerOf(kind: Kind): Connection {
  const connection = kind === 'lean' ? lean() : libwebrtc();
  if (kind === 'libwebrtc') {
    (connection as ReturnType<typeof libwebrtc>).addTransceiver(libwebrtcTrack(HZ, LEVEL), {
      direction: 'sendonly',
    });
  } else {
    (connection as ReturnType<typeof lean>).addTransceiver(leanVoice(sine(HZ, LEVEL)).track, {
      direction: 'sendonly',
    });
  }
  return connection;
}

/** A connection that listens, and the last piece of what it heard. */
function listenerOf(kind: Kind) {
  if (kind === 'lean') {
    const connection = lean();
    const all = ears(connection);
    return { connection, rate: 8_000, last: () => all[0]?.last(PIECE_MS) ?? new Int16Array(), all };
  }
  const connection = libwebrtc();
  const ear = libwebrtcEar(connection);
  return { connection, rate: 48_000, last: () => ear.last(PIECE_MS), all: [] };
}

/** Waits for a piece that a busy machine has not spoiled. */
async function hears({ last, rate }: ReturnType<typeof listenerOf>, least: number): Promise<void> {
  let best = { amplitude: 0, sinadDb: -99 };
  await eventually(`${least} dB of the tone`, () => {
    const samples = last();
    if (samples.length < (rate * PIECE_MS) / 1_000) return false;
    const fit = fitTone(HZ, rate, samples);
    if (fit.sinadDb > best.sinadDb) best = fit;
    return Math.abs(20 * Math.log10(fit.amplitude / LEVEL)) < 0.2 && fit.sinadDb >= least;
  }).catch((error: Error) => {
    throw new Error(`${error.message}; at best ${best.sinadDb} dB at ${best.amplitude}`);
  });
  if (process.env.TEST_LOG) console.log(best);
}

describe.each([
  ['lean', 'lean', 30],
  ['lean', 'libwebrtc', 20],
  ['libwebrtc', 'lean', 30],
] as const)('%s to %s', (from, to, leastDb) => {
  async function call(answer: Edit = (sdp) => sdp, offer: Edit = answer) {
    const speaker = speakerOf(from);
    const listener = listenerOf(to);
    introduce(speaker, listener.connection);
    await negotiate(speaker, listener.connection, { answer, offer });
    return { speaker, listener };
  }

  it('a tone is heard at its level, and after an ICE restart', async () => {
    const { speaker, listener } = await call();
    await hears(listener, leastDb);
    expect([speaker.connectionState, listener.connection.connectionState]).toEqual([
      'connected',
      'connected',
    ]);
    await negotiate(speaker, listener.connection, { iceRestart: true });
    await sleep(700);
    await hears(listener, leastDb);
    expect([speaker.connectionState, listener.connection.connectionState]).toEqual([
      'connected',
      'connected',
    ]);
  });

  it('so it is in RED', async () => {
    const { listener } = await call(redFirst);
    await hears(listener, leastDb);
    for (const { stats } of listener.all) await eventually('copies', () => stats.fecPacketsReceived > 10);
  });
});

it('what libwebrtc says twice in RED is heard where a packet is lost', async () => {
  const wire = await RtcWire.lay();
  const speaker = speakerOf('libwebrtc');
  const { connection, all } = listenerOf('lean');
  introduce(speaker, connection, wire);
  await negotiate(speaker, connection, { offer: redFirst, answer: redFirst });
  await eventually('the tone', () => (all[0]?.heard.length ?? 0) > 8_000);
  const [ear] = all;
  if (ear === undefined) throw new Error('Expected a track');
  let lost = 0;
  wire.loses = (datagram, to) => {
    const isLost = to === 'b' && isAudio(datagram) && datagram.readUInt16BE(2) % 10 === 0;
    if (isLost) lost += 1;
    return isLost;
  };
  await eventually('copies to be used', () => {
    const { fecPacketsReceived, fecPacketsDiscarded } = ear.stats;
    if (process.env.TEST_LOG && lost > 20 && fecPacketsReceived - fecPacketsDiscarded >= 10)
      console.log(lost, ear.stats);
    return lost > 20 && fecPacketsReceived - fecPacketsDiscarded >= 10;
  });
});
