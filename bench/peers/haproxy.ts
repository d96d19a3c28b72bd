import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BenchCertificate } from '../capacity/bench-certificate.js';
import { type Peer, runs, ServerProcess } from './peer.js';

/** Proxy and server share a core, where the server alone would have one. */
const MOST_CALLS = 150;

/** A server behind HAProxy, which ends the phones' TLS and runs on the same core. */
export function behindHaproxy(name: string, peer: Peer, certificate: BenchCertificate): Peer {
  return {
    name,
    mostCalls: MOST_CALLS,
    missing: () => (runs('haproxy', '-v') ? peer.missing() : 'apt-get install haproxy'),
    async start(core) {
      const server = await peer.start(core);
      try {
        const folder = configure(server.port, certificate);
        try {
          const command = ['haproxy', '-q', '-db', '-f', join(folder, 'haproxy.cfg')];
          const proxy = await ServerProcess.start({ command }, core);
          return {
            ...server,
            pids: [...server.pids, proxy.pid],
            port: proxy.port,
            frontPid: proxy.pid,
            order: async () => ({ ...(await server.order()), port: proxy.port, isSecure: true }),
            async stop() {
              await proxy.stop();
              rmSync(folder, { recursive: true });
              await server.stop();
            },
          };
        } catch (error) {
          rmSync(folder, { recursive: true });
          throw error;
        }
      } catch (error) {
        await server.stop();
        throw error;
      }
    },
  };
}

/** What docs/operations.md recommends, for one server, with HAProxy's own choice of ciphers. @returns its folder */
function configure(port: number, { certFile, keyFile }: BenchCertificate): string {
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-haproxy-'));
  const pem = join(folder, 'both.pem');
  writeFileSync(pem, readFileSync(certFile, 'utf8') + readFileSync(keyFile, 'utf8'), { mode: 0o600 });
  writeFileSync(
    join(folder, 'haproxy.cfg'),
    `global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 2s
  timeout client 15s
  timeout server 13s
  timeout tunnel 1h
frontend phones
  bind "127.0.0.1:\${PORT}" ssl crt ${pem} alpn http/1.1
  option forwardfor
  http-request set-header X-Forwarded-Proto https
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  default_backend server
backend server
  server one 127.0.0.1:${port}
`,
  );
  return folder;
}
