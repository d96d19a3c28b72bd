import { describe, expect, it } from 'vitest';
import type { WebSocket } from 'ws';
import { bytesOf, heardDb, isHearing, LEVEL, serveSocket, startWithAgent } from '../support/agent.js';
import { tone } from '../support/media.js';
import { eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

describe('an agent that misbehaves', () => {
  it('is understood after a reconnect although its first connection broke off within a sample', async () => {
    const sockets: WebSocket[] = [];
    const url = await serveSocket((socket) => {
      sockets.push(socket);
      const speech = bytesOf(tone(700, 16_000, 16_000, LEVEL));
      if (sockets.length > 1) socket.send(speech);
      else socket.send(speech.subarray(0, 16_001), () => socket.terminate());
    });
    const { place } = await startWithAgent(url);
    const phone = await place();
    await eventually('speech after the reconnect', () => sockets.length === 2 && isHearing(phone), 5_000);
    await sleep(2_500);
    // Samples put together from halves of two others are noise, in which the tone is faint.
    expect(heardDb(phone, 700, 1_000, 1_300)).toBeGreaterThan(-1);
    await phone.hangUp();
  });
});
