import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { FRAME_MS } from '../../src/simulator/index.js';
import type { RtpOrder } from '../capacity/generator.js';

/** Of RTP: its header, and where its sender stands in it. */
const HEADER_BYTES = 12;
const SENDER_AT = 8;
const FRAME_SAMPLES = 160;

/**
 * Says µ-law frames in real time, as a phone that speaks RTP; the far end sends back what it gets.
 * @param quietMs the time without a packet after which there comes no more
 * @returns what the phone heard
 */
export async function talkOverRtp(
  order: RtpOrder,
  frames: readonly Buffer[],
  quietMs: number,
): Promise<Buffer[]> {
  const [near, far] = await Promise.all([
    open(order.near, order.proxyForNear),
    open(order.far, order.proxyForFar),
  ]);
  try {
    const heard: Buffer[] = [];
    near.on('message', (packet) => heard.push(packet.subarray(HEADER_BYTES)));
    far.on('message', (packet) => {
      packet[SENDER_AT] = (packet[SENDER_AT] ?? 0) ^ 1;
      far.send(packet);
    });
    const begun = performance.now();
    for (const [i, frame] of frames.entries()) {
      await pause(Math.max(0, begun + i * FRAME_MS - performance.now()));
      const header = Buffer.alloc(HEADER_BYTES);
      header[0] = 0x80;
      header.writeUInt16BE(i, 2);
      header.writeUInt32BE(i * FRAME_SAMPLES, 4);
      header.writeUInt32BE(order.near, SENDER_AT);
      near.send(Buffer.concat([header, frame]));
    }
    for (let count = -1; count < heard.length; ) {
      count = heard.length;
      await pause(quietMs);
    }
    return heard;
  } finally {
    near.close();
    far.close();
  }
}

async function open(port: number, peer: number): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(port, '127.0.0.1');
  await once(socket, 'listening');
  socket.connect(peer, '127.0.0.1');
  await once(socket, 'connect');
  // The proxy may be gone before the last packet.
  socket.on('error', () => {});
  return socket;
}
