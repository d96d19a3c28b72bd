import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { needs } from './needs.js';
import { freePort } from './port.js';

const freed: (() => unknown)[] = [];
afterAll(async () => {
  for (const free of freed.splice(0).reverse()) await free();
});

export interface ProxyOptions {
  /** `host:port` of the gateway. */
  readonly to: string;
  /** Certificate and key; without them it speaks plain HTTP. */
  readonly pem?: string;
  /** Lines of the frontend: what this proxy does wrong, mostly. */
  readonly lines?: readonly string[];
}

/** A real HAProxy before a gateway, on its own port. */
export async function startHaproxy({ to, pem, lines = [] }: ProxyOptions): Promise<number> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-haproxy-'));
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(
    file,
    `global
  maxconn 200
defaults
  mode http
  retries 0
  timeout connect 1m
  timeout client 1m
  timeout server 1m
  timeout tunnel 1m
frontend twilio
  bind 127.0.0.1:${port}${pem === undefined ? '' : ` ssl crt ${pem} alpn http/1.1`}
${lines.map((line) => `  ${line}\n`).join('')}  default_backend gateway
backend gateway
  server a ${to}
`,
  );
  await serve('haproxy', ['-q', '-db', '-f', file], port, folder);
  return port;
}

/** The same with a real nginx; `lines` are those of its location. */
export async function startNginx({ to, pem, lines = [] }: ProxyOptions): Promise<number> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-nginx-'));
  const file = join(folder, 'nginx.conf');
  writeFileSync(
    file,
    nginxOf(
      folder,
      `  server {
    listen 127.0.0.1:${port}${pem === undefined ? '' : ' ssl'};
${pem === undefined ? '' : `    ssl_certificate ${pem};\n    ssl_certificate_key ${pem};\n`}    location / {
      proxy_pass http://${to};
      proxy_set_header Host $host;
${lines.map((line) => `      ${line}\n`).join('')}    }
  }`,
    ),
  );
  await serve('nginx', ['-c', file, '-p', folder], port, folder);
  return port;
}

/**
 * The proxy as docs/operations.md has it, before one gateway, on its own port and without TLS.
 * @param inter interval of its health checks; a slow response does not count as a failure
 */
export async function startDocumented(
  program: 'haproxy' | 'nginx',
  to: string,
  inter = '2s',
): Promise<number> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), `trunkline-${program}-`));
  const file = join(folder, 'as-documented.conf');
  const guide = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  const [, block = ''] = new RegExp(`\`\`\`${program}\n(.*?)\`\`\``, 's').exec(guide) ?? [];
  const here = block
    .replace(/bind :443.*/, `bind 127.0.0.1:${port}`)
    .replace('listen 443 ssl;', `listen 127.0.0.1:${port};`)
    .replace(/ssl_certificate.*/g, '')
    .replace('inter 2s', `inter ${inter}`)
    .replace(/^defaults$/m, 'defaults\n  timeout check 1m')
    .replace(/^(\s+server (?:a )?)10\.0\.0\.11:3000/m, `$1${to}`)
    .replace(/^\s+server (?:b )?10\.0\.0\.12:3000.*/m, '');
  writeFileSync(file, program === 'nginx' ? nginxOf(folder, here) : here);
  const args = program === 'nginx' ? ['-c', file, '-p', folder] : ['-q', '-db', '-f', file];
  await serve(program, args, port, folder);
  return port;
}

/** What stands around the servers of an nginx of one's own. */
function nginxOf(folder: string, servers: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr error;
events {}
http {
  access_log off;
${temporary.map((name) => `  ${name}_temp_path ${folder}/${name};\n`).join('')}
${servers}
}
`;
}

/** Runs a proxy until the file's tests are over. */
async function serve(program: string, args: readonly string[], port: number, folder: string): Promise<void> {
  const child: ChildProcess = spawn(program, [...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      output += chunk;
    });
  }
  freed.push(async () => {
    if (child.exitCode === null) {
      const exited = once(child, 'exit');
      // nginx ends its worker with it.
      child.kill('SIGTERM');
      await exited;
    }
    rmSync(folder, { recursive: true });
  });
  while (!(await answers(port))) {
    if (child.exitCode !== null) throw new Error(`${program} ended: ${output}`);
    await systemClock.sleep(5);
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

const areThere = needs('HAProxy, nginx and OpenSSL', 'apt-get install haproxy nginx-light openssl', () =>
  ['haproxy -v', 'nginx -v', 'openssl version'].every((command) => {
    const [program = '', ...args] = command.split(' ');
    return spawnSync(program, args).status === 0;
  }),
);

/** Tests that need a real proxy; skipped with a notice if there is none. */
export const describeBehindProxy = describe.runIf(areThere);
