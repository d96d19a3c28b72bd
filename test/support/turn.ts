import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { afterAll } from 'vitest';
import { makeCertificate } from './certificate.js';
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

/**
 * A real TURN server that is reached by one transport only, on loopback; gone after the file's tests.
 * @param transport over TLS it is called "localhost", by a certificate that its file `certificate` holds
 */
export async function startTurn(transport: 'udp' | 'tcp' | 'tls' = 'tcp') {
  const port = await freePort();
  const first = await freePort();
  const last = first + RELAYS - 1;
  const { cert, pem } = transport === 'tls' ? makeCertificate('localhost') : { cert: '', pem: '' };
  const others = ['udp', 'tcp', 'tls', 'dtls'].filter((other) => other !== transport);
  const child = spawn(
    'turnserver',
    [
      ...['-n', '--no-cli', ...others.map((other) => `--no-${other}`), '--allow-loopback-peers'],
      ...['--no-stdout-log', '--listening-ip', '127.0.0.1', '--relay-ip', '127.0.0.1'],
      ...[transport === 'tls' ? '--tls-listening-port' : '--listening-port', String(port)],
      ...(transport === 'tls' ? ['--cert', cert, '--pkey', pem] : []),
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
    urls: [transport === 'tls' ? `turns:localhost:${port}` : `turn:127.0.0.1:${port}?transport=${transport}`],
    username: USER,
    password: PASSWORD,
  };
  const stop = () => child.kill('SIGKILL');
  return { iceServer, relayPorts: [first, last] as const, certificate: cert, port, stop };
}
