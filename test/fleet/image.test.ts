import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BUILT_ADDON } from '../../src/media/addon.js';
import { WASM_MODULES } from '../../src/media/wasm.js';
import { makeCertificate } from '../support/certificate.js';
import { ROOT, readDockerfile } from '../support/dockerfile.js';
import { needs } from '../support/needs.js';
import { freePort } from '../support/port.js';
import { eventually } from '../support/time.js';

const { final } = readDockerfile('deploy/Dockerfile');
const { env } = final;

/** The image's build stage compiles the addon; a checkout may not have it. */
const hasAddon = needs('the native core', 'npm run prepare', () => existsSync(BUILT_ADDON));

/** Node's path in the image, where its ENTRYPOINT finds it by name. */
const NODE = '/usr/local/bin/node';

describe.runIf(hasAddon).each([
  { what: 'the image', optional: true, server: expect.any(String) },
  // Like the Alpine image: neither Stream's packages nor uWebSockets.js.
  { what: 'the image without what is optional', optional: false, server: 'node' },
])('the files of $what', ({ optional: hasOptional, server }) => {
  let root: string;
  let app: string;
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'trunkline-image-'));
    app = join(root, final.of('WORKDIR')[0] as string);
    for (const { from, to } of final.copies) for (const path of from) copy(path.replace('/app/', ''), to);
  });
  afterAll(() => rmSync(root, { recursive: true }));

  /**
   * Copies like COPY, except Node, for which ours is used, and development packages, which the build prunes.
   */
  function copy(path: string, to: string): void {
    if (path === NODE) {
      mkdirSync(join(root, to), { recursive: true });
      symlinkSync(process.execPath, join(root, NODE));
      return;
    }
    if (path.startsWith('/')) {
      mkdirSync(join(root, to), { recursive: true });
      return;
    }
    if (path === 'node_modules') {
      linkPackages(join(app, to));
      return;
    }
    const [folder, pattern] = [dirname(path), path.split('*')[1]];
    const names = path.includes('*')
      ? readdirSync(join(ROOT, folder)).filter((name) => name.endsWith(pattern ?? ''))
      : [path.slice(folder === '.' ? 0 : folder.length + 1)];
    for (const name of names) {
      const target = join(app, to, to.endsWith('/') ? name : '');
      mkdirSync(dirname(target), { recursive: true });
      cpSync(join(ROOT, folder, name), target, { recursive: true });
    }
  }

  function linkPackages(to: string): void {
    const { packages } = JSON.parse(readFileSync(`${ROOT}package-lock.json`, 'utf8')) as {
      packages: Record<string, { dev?: true; optional?: true }>;
    };
    for (const [path, { dev, optional }] of Object.entries(packages)) {
      const name = path.replace('node_modules/', '');
      if (path === '' || dev || (optional && !hasOptional)) continue;
      if (name.includes('node_modules/') || !existsSync(join(ROOT, path))) continue;
      mkdirSync(dirname(join(to, name)), { recursive: true });
      symlinkSync(join(ROOT, path), join(to, name));
    }
  }

  it('contain every core', () => {
    const inImage = (path: string) => existsSync(path.replace(ROOT, `${app}/`));
    expect([BUILT_ADDON, ...WASM_MODULES].filter((path) => !inImage(path))).toEqual([]);
    expect(existsSync(join(app, 'node_modules/vitest'))).toBe(false);
    expect(existsSync(join(app, 'node_modules/@stream-io/video-client'))).toBe(hasOptional);
  });

  it.each(['http', 'https'] as const)(
    'start, are found healthy by %s, and stop on SIGTERM',
    async (scheme) => {
      const port = await freePort();
      const { cert, pem } = makeCertificate('localhost');
      const url = `${scheme}://localhost:${port}`;
      const [program, ...args] = final.command('ENTRYPOINT');
      const variables = {
        ...env,
        PATH: join(root, dirname(NODE)),
        PORT: String(port),
        TWILIO_VALIDATE: 'off',
        CONTROL_API_KEY: 'a-control-key-for-tests',
        ...(scheme === 'https' ? { TLS_CERT_FILE: cert, TLS_KEY_FILE: pem } : {}),
      };
      const gateway = spawn(program, args, { cwd: app, env: variables });
      try {
        let log = '';
        for (const output of [gateway.stdout, gateway.stderr]) output.on('data', (text) => (log += text));
        const ended = once(gateway, 'exit');
        await eventually('a listening gateway', () => log.includes('"msg":"listening"'), 15_000);
        expect(log).toContain(`${scheme}://0.0.0.0:${port}`);
        expect(await healthCheck(variables)).toBe(0);
        expect(JSON.parse(await get(`${url}/health`))).toMatchObject({ transcoder: 'native', server });
        expect(await get(`${url}/dashboard`)).toContain('<title>');
        gateway.kill('SIGTERM');
        expect(await ended).toEqual([0, null]);
        expect(await healthCheck(variables)).toBe(1);
      } finally {
        gateway.kill('SIGKILL');
      }
    },
  );

  function healthCheck(variables: Record<string, string>): Promise<number> {
    const [program, ...args] = final.command('HEALTHCHECK');
    return new Promise((resolve) => {
      execFile(program, args, { env: variables }, (error) => resolve(Number(error?.code ?? 0)));
    });
  }
});

async function get(url: string): Promise<string> {
  const { request } = await import(url.startsWith('https') ? 'node:https' : 'node:http');
  const [response] = await once(request(url, { rejectUnauthorized: false, agent: false }).end(), 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return text;
}
