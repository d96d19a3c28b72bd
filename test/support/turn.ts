import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { afterAll } from 'vitest';
import { needs } from './needs.js';
import { freePort } from './port.js';

/** Ports of relays that are kept for it. */
const RELAYS = 100;
const REALM = 'double';
const USER = 'phone';
const PASSWORD = 'relayed';

const running: ChildProcess[] = [];

afterAll(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL');
});

export const hasTurn = () =>
  needs('coturn', 'apt-get install coturn', () => spawnSync('turnserver', ['--version']).error === undefined);

/** A real TURN server that is reached by TCP only, on loopback; gone after the file's tests. */
export async function startTurn() {
  const port = await freePort();
  const first = await freePort();
  const last = first + RELAYS - 1;
  const child = spawn(
    'turnserver',
    [
      ...['-n', '--no-cli', '--no-udp', '--no-tls', '--no-dtls', '--allow-loopback-peers', '--no-stdout-log'],
      ...['--listening-ip', '127.0.0.1', '--relay-ip', '127.0.0.1', '--listening-port', String(port)],
      ...[
        '--min-port',
        String(first),
        '--max-port',
        String(last),
        '--pidfile',
        `${tmpdir()}/turn-${port}.pid`,
      ],
      ...['--lt-cred-mech', '--realm', REALM, '--user', `${USER}:${PASSWORD}`, '--log-file', '/dev/null'],
    ],
    { stdio: 'ignore' },
  );
  running.push(child);
  await once(child, 'spawn');
  const iceServer = {
    urls: [`turn:127.0.0.1:${port}?transport=tcp`],
    username: USER,
    password: PASSWORD,
  };
  return { iceServer, relayPorts: [first, last] as const };
}
