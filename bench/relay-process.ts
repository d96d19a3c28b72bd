import { pino } from 'pino';
import { systemClock } from '../src/clock.js';
import { Relay } from '../src/workers/relay.js';
import type { EndSocket } from '../src/workers/socket-end.js';

/** The worker that serves relayed sockets: echoes each message, as long as a frame of its own. */
const { socketDir } = JSON.parse(process.argv[2] as string) as { socketDir: string };
const relay = new Relay({ self: 2, socketDir, clock: systemClock, log: pino({ level: 'silent' }) });
const answer = new Uint8Array(Buffer.from('m'.repeat(270)));
relay.serve('bench', async () => {
  let socket: EndSocket | undefined;
  return {
    open(opened) {
      socket = opened;
    },
    message(message) {
      // What an echo carries: when it was sent.
      answer.set(new Uint8Array((message as Uint8Array).buffer, (message as Uint8Array).byteOffset, 12), 0);
      if ((socket?.bufferedBytes() ?? 0) < 4_096) socket?.send(answer);
    },
    drained() {},
    closed() {},
    failed(error) {
      console.error(error);
    },
    leave() {},
  };
});
await relay.open();
process.on('message', () => process.send?.(process.cpuUsage()));
process.send?.('ready');
