import fc from 'fast-check';
import { expect, it } from 'vitest';
import { AudioSource } from '../../../src/rtc/audio-source.js';
import { loadRtcNative } from '../../../src/rtc/native.js';
import { type CandidateInit, type Description, PeerConnection } from '../../../src/rtc/peer-connection.js';
import { leanOnly } from '../../support/rtc-native.js';
import { introduce } from '../../support/rtc-pair.js';
import { sleep, virtualTime } from '../../support/time.js';

leanOnly();

const time = virtualTime();

/** What the other side may have done, in any order and as often as it likes. */
const STEPS = [
  'offer',
  'take the offer',
  'answer',
  'take the answer',
  'negotiate',
  'restart',
  'add a line',
  'pause the line',
  'take back the offer',
  'forget the offer',
  'swap the track',
  'talk',
  'wait',
  'wait long',
  'candidate',
  'garbage',
] as const;
type Step = (typeof STEPS)[number];

class Couple {
  readonly a = new PeerConnection({}, time, loadRtcNative());
  readonly b = new PeerConnection({}, time, loadRtcNative());
  private readonly source = new AudioSource();
  private offer: Description | undefined;
  private answer: Description | undefined;

  constructor() {
    introduce(this.a, this.b);
    this.a.addTransceiver(this.source.createTrack(), { direction: 'sendonly' });
  }

  async do(step: Step): Promise<void> {
    const { a, b } = this;
    switch (step) {
      case 'offer':
      case 'restart':
        this.offer = await a.createOffer({ iceRestart: step === 'restart' });
        await a.setLocalDescription(this.offer);
        break;
      case 'take the offer':
        if (this.offer !== undefined) await b.setRemoteDescription(this.offer);
        break;
      case 'answer':
        this.answer = await b.createAnswer();
        await b.setLocalDescription(this.answer);
        break;
      case 'take the answer':
        if (this.answer !== undefined) await a.setRemoteDescription(this.answer);
        break;
      case 'negotiate':
        for (const part of STEPS.slice(0, 4)) await this.do(part);
        break;
      case 'add a line':
        a.addTransceiver(this.source.createTrack(), { direction: 'sendonly' });
        break;
      case 'pause the line': {
        const [line] = a.getTransceivers();
        if (line !== undefined) line.direction = line.direction === 'inactive' ? 'sendonly' : 'inactive';
        break;
      }
      case 'take back the offer':
        await a.setLocalDescription({ type: 'rollback' });
        break;
      case 'forget the offer':
        await b.setRemoteDescription({ type: 'rollback' });
        break;
      case 'swap the track':
        await a.getSenders()[0]?.replaceTrack(this.source.createTrack());
        break;
      case 'talk':
        for (let i = 0; i < 20; i++) {
          this.source.write(new Int16Array(160).fill(i * 300));
          await sleep(20);
        }
        break;
      case 'wait':
        await sleep(15);
        break;
      case 'wait long':
        await sleep(1_500);
        break;
      case 'candidate':
        await b.addIceCandidate({ candidate: 'candidate:1 1 udp 1 127.0.0.1 9 typ host', sdpMid: '0' });
        break;
      case 'garbage':
        await b.setRemoteDescription({ type: 'offer', sdp: 'v=0\r\nm=audio x\r\n' });
        break;
    }
  }
}

/** What a step may fail with: the state it comes in, or its content. */
const REFUSALS = /state|closed|no offer|description/;

const sockets = () => process.getActiveResourcesInfo().filter((name) => /^udp/i.test(name)).length;

it('a connection that is closed while anything is under way leaves nothing behind', async () => {
  // The certificate of the process is made with the first connection's transport.
  const first = new PeerConnection({}, time, loadRtcNative());
  await first.setLocalDescription(await first.createOffer());
  first.close();
  await sleep(100);
  const native = loadRtcNative();
  const before = { objects: native.liveObjects(), sockets: sockets(), timers: time.pending };
  let connected = 0;
  const begin = fc.constantFrom<Step[]>([], ['negotiate'], ['negotiate', 'wait long']);
  const rest = fc.array(fc.constantFrom(...STEPS), { maxLength: 10 });
  const steps = fc.tuple(begin, rest).map((parts) => parts.flat());
  await fc.assert(
    fc.asyncProperty(steps, fc.boolean(), fc.boolean(), async (list, isAwaited, isFirstA) => {
      const couple = new Couple();
      const told: string[] = [];
      const { a, b } = couple;
      const doings: Promise<void>[] = [];
      for (const step of list) {
        const doing = couple.do(step).catch((error: Error) => {
          if (!REFUSALS.test(error.message)) throw error;
        });
        doings.push(doing);
        if (isAwaited) await doing;
      }
      if (a.connectionState === 'connected') connected += 1;
      const [one, other] = isFirstA ? [a, b] : [b, a];
      one.close();
      if (!isAwaited) await sleep(20);
      other.close();
      for (const type of ['icecandidate', 'connectionstatechange', 'track', 'signalingstatechange']) {
        for (const each of [a, b]) each.addEventListener(type, () => told.push(type));
      }
      await Promise.all(doings);
      await sleep(50);
      expect(told).toEqual([]);
      expect({ objects: native.liveObjects(), sockets: sockets(), timers: time.pending }).toEqual(before);
      for (const each of [a, b]) {
        expect([each.connectionState, each.signalingState, each.iceConnectionState]).toEqual([
          'closed',
          'closed',
          'closed',
        ]);
        expect((await each.getStats()).size).toBeGreaterThanOrEqual(0);
        each.close();
        await expect(each.createOffer()).rejects.toThrow(/closed/);
        await expect(each.addIceCandidate({} as CandidateInit)).rejects.toThrow(/closed/);
      }
    }),
    { numRuns: 150 },
  );
  expect(connected).toBeGreaterThan(5);
});
