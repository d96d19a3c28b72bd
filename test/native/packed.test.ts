import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectHeard } from '../support/demo.js';
import { needs } from '../support/needs.js';
import { pack } from '../support/package.js';

const run = promisify(execFile);
const PNPM = 'pnpm@12.21.0';

const isEquipped = needs(
  'compilers, Python and a registry of npm packages',
  'apt-get install g++ make python3 g++-aarch64-linux-gnu, and a network',
  () =>
    ['g++', 'make', 'python3', 'aarch64-linux-gnu-g++'].every(
      (program) => spawnSync(program, ['--version']).status === 0,
    ) && spawnSync('npm', ['ping']).status === 0,
);
const platform = `${process.platform}-${process.arch}`;

describe.runIf(isEquipped)('packed, and installed into an empty project without a script', () => {
  let work: string;
  let tarball: string;
  beforeAll(() => {
    work = mkdtempSync(join(tmpdir(), 'trunkline-package-'));
    tarball = pack(work);
  }, 600_000);
  afterAll(() => rmSync(work, { recursive: true }));

  function emptyProject(name: string): string {
    const project = join(work, name);
    mkdirSync(project);
    writeFileSync(join(project, 'package.json'), '{"name":"empty","version":"1.0.0","private":true}');
    return project;
  }

  const trunkline = (project: string, args: string[], env: Record<string, string> = {}) =>
    run(process.execPath, [join(project, 'node_modules/trunkline/dist/cli/trunkline.js'), ...args], {
      cwd: project,
      env: { ...process.env, TRANSCODER: '', ...env },
    });

  /** Its exit code shows success too, but its report has more. */
  const demo = (project: string) =>
    trunkline(project, ['demo', '--seconds', '1', '--json']).then(
      ({ stdout }) => stdout,
      ({ stdout }: { stdout: string }) => stdout,
    );

  describe('by npm', () => {
    let project: string;
    beforeAll(async () => {
      project = emptyProject('npm');
      await run('npm', ['install', tarball, '--ignore-scripts', '--no-audit', '--no-fund'], {
        cwd: project,
        maxBuffer: 2 ** 26,
      });
    }, 600_000);

    it('brings no compiler and nothing to compile', () => {
      const modules = join(project, 'node_modules');
      const compiled = ['node-gyp', 'node-addon-api', 'trunkline/build', 'trunkline/binding.gyp'];
      expect(compiled.filter((path) => existsSync(join(modules, path)))).toEqual([]);
    });

    it('runs on the native core', async () => {
      const { stdout } = await trunkline(project, ['--version']);
      expect(stdout).toMatch(
        new RegExp(`\\nnative core, \\w+: prebuilds/${platform}/trunkline[.\\w]*$`, 'm'),
      );
      expectHeard(await demo(project));
    });

    it.runIf(process.platform === 'linux')('says on musl that it has no core for it', async () => {
      // What Node's report says there, or rather does not say.
      const musl = 'process.report.getReport = () => ({ header: {} });';
      const { stdout } = await trunkline(project, ['--version'], {
        NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(musl)}`,
      });
      expect(stdout).toContain(
        `\nwasm core, simd128: native/wasm/trunkline-simd.wasm; no native core for ${platform} musl\n`,
      );
    });

    it('runs on WebAssembly without it', async () => {
      rmSync(join(project, 'node_modules/trunkline/prebuilds'), { recursive: true });
      expect((await trunkline(project, ['--version'])).stdout).toContain(
        `\nwasm core, simd128: native/wasm/trunkline-simd.wasm; no native core for ${platform}`,
      );
      expectHeard(await demo(project));
    });
  });

  it('by pnpm runs on the native core, and pnpm is content', async () => {
    const tools = emptyProject('tools');
    await run('npm', ['install', PNPM, '--no-audit', '--no-fund'], { cwd: tools });
    const project = emptyProject('pnpm');
    const pnpm = join(tools, 'node_modules/.bin/pnpm');
    // It ends with 1 where a package has a script that it may not run. A store of its own, so that nothing stays behind.
    await run(pnpm, ['add', tarball, `--store-dir=${join(work, 'store')}`], {
      cwd: project,
      maxBuffer: 2 ** 26,
    });
    expect((await trunkline(project, ['--version'])).stdout).toContain(`: prebuilds/${platform}/trunkline`);
  }, 600_000);
});
