import { existsSync, readFileSync } from 'node:fs';
import { validate } from 'dockerfile-utils';
import { describe, expect, it } from 'vitest';
import { ROOT, readDockerfile } from '../support/dockerfile.js';

const read = (file: string) => readFileSync(ROOT + file, 'utf8');
const debian = readDockerfile('deploy/Dockerfile');
const alpine = readDockerfile('deploy/Dockerfile.alpine');

describe.each([
  ['deploy/Dockerfile', debian],
  ['deploy/Dockerfile.alpine', alpine],
])('%s', (file, { text, all, build, final }) => {
  it('passes the linter', () => {
    expect(validate(text)).toEqual([]);
    expect(validate('FROM a\nMAINTAINER b\n')).toHaveLength(1);
  });

  it('fetches only packages of its distribution and of npm', () => {
    expect(all.of('ADD')).toEqual([]);
    expect(all.of('RUN').join('\n')).not.toMatch(/curl|wget|https?:|git\+|npx/);
  });

  it('starts from bases pinned by digest: Node to build, and the same distribution without npm to run', () => {
    const bases = Object.fromEntries(build.of('ARG').map((text) => text.split(/=(.*)/s, 2)));
    for (const name of ['NODE_IMAGE', 'BASE_IMAGE']) {
      expect(bases[name], name).toMatch(/^[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}$/);
    }
    // biome-ignore lint/suspicious/noTemplateCurlyInString: Docker's own variable
    expect(all.of('FROM')).toEqual(['${NODE_IMAGE} AS build', '${BASE_IMAGE}']);
    const [, release] = /^node:[\d.]+-([a-z]+)/.exec(bases.NODE_IMAGE ?? '') ?? [];
    expect(bases.BASE_IMAGE).toContain(release);
    expect(bases.BASE_IMAGE).not.toMatch(/^node/);
  });

  it('ends in a stage without compiler, npm, shell command or root', () => {
    expect(final.of('RUN')).toEqual([]);
    expect(final.of('USER')).toEqual([expect.stringMatching(/^[1-9]\d*:[1-9]\d*$/)]);
    expect(final.of('STOPSIGNAL')).toEqual(['SIGTERM']);
    expect(final.of('EXPOSE')).toEqual([final.env.PORT]);
    expect(final.texts('COPY').filter((text) => !/^COPY --from=build /.test(text))).toEqual([]);
    const outside = final.copies.flatMap(({ from }) => from).filter((path) => !path.startsWith('/app/'));
    expect(
      outside.filter(
        (path) => !/^\/(usr\/local\/bin\/node$|usr\/lib\/lib\w|var\/lib\/trunkline$)/.test(path),
      ),
    ).toEqual([]);
  });

  it('has all files that it copies, and all sources of the addon', () => {
    const [everything, ...lines] = read(`${file}.dockerignore`)
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(everything).toBe('*');
    const sent = (path: string) => {
      const says = lines.findLast((line) => `${path}/`.startsWith(`${line.replace('!', '')}/`));
      return says?.startsWith('!') ?? false;
    };
    const wanted = build.copies.flatMap(({ from }) => from);
    expect(wanted).toContain('package-lock.json');
    const { targets } = JSON.parse(read('binding.gyp').replace(/^\s*#.*$/gm, '')) as {
      targets: { sources: string[] }[];
    };
    for (const path of [...wanted, ...targets.flatMap(({ sources }) => sources), 'native/install.mjs']) {
      expect(existsSync(ROOT + path) && sent(path), path).toBe(true);
    }
    for (const path of ['.env', 'node_modules', 'build', 'prebuilds', 'dist', '.git']) {
      expect(sent(path), path).toBe(false);
    }
  });
});

describe('the Alpine image', () => {
  it('runs the same program in the same way', () => {
    for (const keyword of ['ENV', 'USER', 'EXPOSE', 'STOPSIGNAL', 'HEALTHCHECK', 'ENTRYPOINT', 'WORKDIR']) {
      expect(alpine.final.of(keyword)).toEqual(debian.final.of(keyword));
    }
    expect(alpine.final.of('COPY').slice(1)).toEqual(debian.final.of('COPY').slice(1));
    expect(read('deploy/Dockerfile.alpine.dockerignore')).toBe(read('deploy/Dockerfile.dockerignore'));
  });

  it('contains the libraries that Node is linked to, and no packages that musl cannot load', () => {
    expect(alpine.final.copies[0]).toEqual({
      from: ['/usr/lib/libstdc++.so.6', '/usr/lib/libgcc_s.so.1'],
      to: '/usr/lib/',
    });
    expect(alpine.build.of('RUN').join('\n')).toMatch(/npm prune .*--omit=optional/);
  });
});
