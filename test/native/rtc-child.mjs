// What sessions, encoders and decoders leave behind: `memory` tells by how many bytes the process grew in a thousand of each,
// `heap` by how many bytes of JavaScript heap a packet and a frame of 20 ms let it grow. Started with --expose-gc, and for the
// latter with a young generation larger than what is left, so that nothing is collected while it counts.

import { loadRtcNative } from '../../dist/rtc/native.js';

const native = loadRtcNative();
const ALERT = Uint8Array.from([21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40]);

function call(isFailing) {
  const certificate = native.makeCertificate();
  const [client, server] = ['client', 'server'].map((role) => native.openDtls(certificate, role));
  client.start();
  for (let isMoving = true; isMoving; ) {
    isMoving = false;
    for (const [from, to] of [
      [client, server],
      [server, client],
    ]) {
      for (let next = from.take(); next !== undefined; next = from.take()) {
        to.feed(isFailing ? ALERT : next);
        isMoving = true;
      }
    }
  }
  const wanted = isFailing ? 'new failed' : 'connected connected';
  if (![wanted, 'handshaking failed'].includes(`${client.state} ${server.state}`))
    throw new Error(server.state);
  const encoder = native.openEncoder({ rate: 8_000 });
  const decoder = native.openDecoder(8_000);
  const out = new Uint8Array(1_275);
  decoder.decode(out.subarray(0, encoder.encode(new Int16Array(160), out)), new Int16Array(160));
  const keys = isFailing ? [] : [client.srtp(), server.srtp()];
  for (const object of [...keys, encoder, decoder]) object.free();
  for (const session of [client, server]) session.close();
}

async function grownBy(calls) {
  for (let i = 0; i < calls; i++) {
    call(i % 4 === 3);
    // Certificates are freed when they are forgotten.
    if (i % 50 === 0) {
      globalThis.gc();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  globalThis.gc();
  await new Promise((resolve) => setImmediate(resolve));
  return process.memoryUsage.rss();
}

function heap() {
  const [from, to] = ['client', 'server'].map((role) =>
    native.openSrtp('AEAD_AES_128_GCM', new Uint8Array(56), role),
  );
  const encoder = native.openEncoder({ rate: 8_000, application: 'restricted-lowdelay', complexity: 0 });
  const decoder = native.openDecoder(8_000);
  const pcm = new Int16Array(160);
  const packet = new Uint8Array(1_500);
  const payload = packet.subarray(12, 1_287);
  const only = packet.subarray(12, 60);
  let sequence = 0;
  const turn = () => {
    encoder.encode(pcm, payload);
    packet[0] = 0x80;
    packet[2] = sequence >> 8;
    packet[3] = sequence++;
    if (to.unprotectRtp(packet, from.protectRtp(packet, 60)) !== 60) throw new Error('not opened');
    if (to.unprotectRtp(packet, 60) >= 0) throw new Error('opened');
    decoder.samplesOf(only);
    decoder.decode(only, pcm);
    decoder.conceal(pcm, 160);
  };
  for (let i = 0; i < 5_000; i++) turn();
  globalThis.gc();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < 20_000; i++) turn();
  return (process.memoryUsage().heapUsed - before) / 20_000;
}

if (process.argv[2] === 'heap') console.log(heap());
else {
  const before = await grownBy(500);
  console.log((await grownBy(1_000)) - before);
}
