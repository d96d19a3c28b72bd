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
import { fileURLToPath } from 'node:url';
import { DockerfileParser, type Instruction } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BUILT_ADDONS } from '../../src/media/addon.js';
import { WASM_MODULES } from '../../src/media/wasm.js';
import { makeCertificate } from '../support/certificate.js';
import { needs } from '../support/needs.js';
import { freePort } from '../support/port.js';
import { eventually } from '../support/time.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

const TEXT = read('deploy/Dockerfile');
const instructions = DockerfileParser.parse(TEXT).getInstructions();
const lastFrom = instructions.findLastIndex((instruction) => instruction.getKeyword() === 'FROM');
const final = instructions.slice(lastFrom);
const build = instructions.slice(0, lastFrom);

const textsOf = (list: readonly Instruction[], keyword: string) =>
  list
    .filter((instruction) => instruction.getKeyword() === keyword)
    .map((instruction) => instruction.getArgumentsContent() ?? '');
/** Sources and target of each COPY. */
const copies = (list: readonly Instruction[]) =>
  textsOf(list, 'COPY').map((text) => {
    const words = text.split(/\s+/);
    return { from: words.slice(0, -1), to: words.at(-1) ?? '' };
  });
const env = Object.fromEntries(
  textsOf(final, 'ENV').flatMap((text) =>
    text.split(/\s+/).map((pair) => pair.split('=') as [string, string]),
  ),
);
const command = (keyword: string) =>
  JSON.parse((textsOf(final, keyword)[0] ?? '').replace(/^CMD /, '')) as [string, ...string[]];

describe('the Dockerfile', () => {
  it('gives the linter nothing to say', () => {
    expect(validate(TEXT)).toEqual([]);
    expect(validate('FROM a\nMAINTAINER b\n')).toHaveLength(1);
  });

  it('fetches nothing but Debian and npm packages', () => {
    expect(textsOf(instructions, 'ADD')).toEqual([]);
    expect(textsOf(instructions, 'RUN').join('\n')).not.toMatch(/curl|wget|https?:|git\+|npx/);
  });

  it('ends in a stage without compiler, shell command or root', () => {
    expect(textsOf(final, 'RUN')).toEqual([]);
    expect(textsOf(final, 'USER')).toEqual([expect.stringMatching(/^[1-9]\d*:[1-9]\d*$/)]);
    expect(textsOf(final, 'STOPSIGNAL')).toEqual(['SIGTERM']);
    expect(textsOf(final, 'EXPOSE')).toEqual([env.PORT]);
    expect(textsOf(final, 'COPY')).toHaveLength(
      final.filter((instruction) => /^COPY --from=build /.test(instruction.getTextContent())).length,
    );
  });

  it('starts from one base in both stages', () => {
    expect(textsOf(instructions, 'FROM')).toEqual([
      // biome-ignore-start lint/suspicious/noTemplateCurlyInString: Docker's own variable
      '${NODE_IMAGE} AS build',
      '${NODE_IMAGE}',
      // biome-ignore-end lint/suspicious/noTemplateCurlyInString: Docker's own variable
    ]);
  });

  it('gets what it copies, and the addon all of its sources', () => {
    const [everything, ...lines] = read('deploy/Dockerfile.dockerignore')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(everything).toBe('*');
    const sent = (path: string) => {
      const says = lines.findLast((line) => `${path}/`.startsWith(`${line.replace('!', '')}/`));
      return says?.startsWith('!') ?? false;
    };
    const wanted = copies(build).flatMap(({ from }) => from);
    expect(wanted).toContain('package-lock.json');
    const { targets } = JSON.parse(read('binding.gyp').replace(/^\s*#.*$/gm, '')) as {
      targets: { sources: string[] }[];
    };
    for (const path of [...wanted, ...targets.flatMap(({ sources }) => sources), 'native/install.mjs']) {
      expect(existsSync(join(ROOT, path)) && sent(path), path).toBe(true);
    }
    for (const path of ['.env', 'node_modules', 'build', 'prebuilds', 'dist', '.git']) {
      expect(sent(path), path).toBe(false);
    }
  });
});

/** The image's build stage compiles the addon; a checkout may be without. */
const hasAddon = needs('the native core', 'npm run prepare', () => existsSync(BUILT_ADDONS[0] as string));

describe.runIf(hasAddon)('the files of the image', () => {
  let app: string;
  beforeAll(() => {
    app = mkdtempSync(join(tmpdir(), 'trunkline-image-'));
    for (const { from, to } of copies(final)) for (const path of from) copy(path.replace('/app/', ''), to);
  });
  afterAll(() => rmSync(app, { recursive: true }));

  /** As COPY does it, but for development's packages, which the build prunes. */
  function copy(path: string, to: string): void {
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
    const { packages } = JSON.parse(read('package-lock.json')) as {
      packages: Record<string, { dev?: true }>;
    };
    for (const [path, { dev }] of Object.entries(packages)) {
      const name = path.replace('node_modules/', '');
      if (path === '' || dev || name.includes('node_modules/') || !existsSync(join(ROOT, path))) continue;
      mkdirSync(dirname(join(to, name)), { recursive: true });
      symlinkSync(join(ROOT, path), join(to, name));
    }
  }

  it('hold every core', () => {
    const inImage = (path: string) => existsSync(path.replace(ROOT, `${app}/`));
    expect([BUILT_ADDONS[0] as string, ...WASM_MODULES].filter((path) => !inImage(path))).toEqual([]);
    expect(existsSync(join(app, 'node_modules/vitest'))).toBe(false);
  });

  it.each(['http', 'https'] as const)(
    'start, are found healthy by %s, and stop at a SIGTERM',
    async (scheme) => {
      const port = await freePort();
      const { cert, pem } = makeCertificate('localhost');
      const url = `${scheme}://localhost:${port}`;
      const [, ...args] = command('ENTRYPOINT');
      const variables = {
        ...env,
        PORT: String(port),
        TWILIO_VALIDATE: 'off',
        CONTROL_API_KEY: 'a-control-key-for-tests',
        ...(scheme === 'https' ? { TLS_CERT_FILE: cert, TLS_KEY_FILE: pem } : {}),
      };
      const gateway = spawn(process.execPath, args, { cwd: app, env: variables });
      try {
        let log = '';
        for (const output of [gateway.stdout, gateway.stderr]) output.on('data', (text) => (log += text));
        const ended = once(gateway, 'exit');
        await eventually('a listening gateway', () => log.includes('"msg":"listening"'), 15_000);
        expect(log).toContain(`${scheme}://0.0.0.0:${port}`);
        expect(await healthCheck(variables)).toBe(0);
        expect(JSON.parse(await get(`${url}/health`))).toMatchObject({ transcoder: 'native' });
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
    const [, ...args] = command('HEALTHCHECK');
    return new Promise((resolve) => {
      execFile(process.execPath, args, { env: variables }, (error) => resolve(Number(error?.code ?? 0)));
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
