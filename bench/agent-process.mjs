// Agents that say again what they hear, in a process of their own, on a server that costs as little as can be: what is measured is
// the gateway's side of the leg.
import { createRequire } from 'node:module';

const load = createRequire(import.meta.url);
const names = ['uWebSockets.js-20.69', 'uWebSockets.js'];
const uws = names.reduce((found, name) => {
  if (found !== undefined) return found;
  try {
    return load(name);
  } catch {
    return undefined;
  }
}, undefined);

let calls = 0;
uws
  .App()
  .ws('/*', {
    maxPayloadLength: 2 ** 21,
    open() {
      calls += 1;
    },
    message(socket, message, isBinary) {
      if (isBinary) socket.send(message, true);
    },
    close() {
      calls -= 1;
    },
  })
  .listen('127.0.0.1', 0, (listening) => process.send({ port: uws.us_socket_local_port(listening) }));

process.on('message', () => {
  const { user, system } = process.cpuUsage();
  process.send({ calls, cpuMs: (user + system) / 1e3 });
});
process.on('disconnect', () => process.exit());
