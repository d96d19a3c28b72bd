import net from 'node:net';

/** Start of the system's ephemeral ports. */
const GIVEN_FROM = 32_768;
const FIRST = 10_000;
/** Processes that run at the same time begin at places of their own. */
let next = FIRST + ((process.pid * 101) % (GIVEN_FROM - FIRST));

/** A free port outside the range of ephemeral ports. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = next++;
    if (next === GIVEN_FROM) next = FIRST;
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer().on('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
