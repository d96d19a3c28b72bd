// Connects pairs of lean connections over loopback, has them talk, and closes them, over and over; prints what is left.
// Arguments: how many pairs in all, and how many of them at a time.
import v8 from 'node:v8';
import { systemClock } from '../../dist/clock.js';
import { AudioSource } from '../../dist/rtc/audio-source.js';
import { loadRtcNative } from '../../dist/rtc/native.js';
import { PeerConnection } from '../../dist/rtc/peer-connection.js';

const [pairs, atATime] = process.argv.slice(2).map(Number);
const native = loadRtcNative();
let connected = 0;
let heard = 0;

async function talk() {
  const [a, b] = [new PeerConnection(), new PeerConnection()];
  for (const [from, to] of [
    [a, b],
    [b, a],
  ]) {
    from.addEventListener('icecandidate', ({ candidate }) => {
      if (candidate !== null) to.addIceCandidate(candidate).catch(() => {});
    });
  }
  const source = new AudioSource();
  a.addTransceiver(source.createTrack(), { direction: 'sendonly' });
  let track;
  b.addEventListener('track', (event) => {
    ({ track } = event);
    track.retain();
  });
  const offer = await a.createOffer();
  await a.setLocalDescription(offer);
  await b.setRemoteDescription(offer);
  const answer = await b.createAnswer();
  await b.setLocalDescription(answer);
  await a.setRemoteDescription(answer);
  const frame = new Int16Array(160).map((_, i) => 4_000 * Math.sin(i));
  const block = new Int16Array(80);
  let isHeard = false;
  // Enough for the connection, on a busy machine as well.
  for (let i = 0; i < 500 && !(isHeard && b.connectionState === 'connected'); i++) {
    source.write(frame);
    for (let half = 0; half < 2; half++) {
      track.pull(block, systemClock.now());
      isHeard ||= block.some((sample) => Math.abs(sample) > 1_000);
    }
    await systemClock.sleep(20);
  }
  if (b.connectionState === 'connected') connected += 1;
  if (isHeard) heard += 1;
  a.close();
  b.close();
  track.release();
}

async function left() {
  // Sockets close in a later turn.
  await systemClock.sleep(200);
  const connections = v8.queryObjects(PeerConnection, { format: 'count' });
  return {
    connections,
    objects: native.liveObjects(),
    resources: process.getActiveResourcesInfo().filter((name) => !/Pipe|TTY|File/.test(name)).length,
    heapMb: process.memoryUsage().heapUsed / 1e6,
    rssMb: process.memoryUsage.rss() / 1e6,
  };
}

const samples = [];
let done = 0;
for (let round = 0; round < 4; round++) {
  while (done < ((round + 1) * pairs) / 4) {
    const batch = Array.from({ length: Math.min(atATime, pairs - done) }, talk);
    done += batch.length;
    await Promise.all(batch);
  }
  samples.push(await left());
}
process.stdout.write(`${JSON.stringify({ connected, heard, samples })}\n`);
