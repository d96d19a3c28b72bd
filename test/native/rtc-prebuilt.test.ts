import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { needs } from '../support/needs.js';
import { prebuilds } from '../support/package.js';

/** Of the C library: see prebuilt.test.ts. */
const OLDEST_MINOR = 28;
/** What every Node from 20 on exports of its OpenSSL and its libuv: the names of OpenSSL 3.0 that are used. */
const OF_NODE = /^(napi_|uv_dl|SSL_|SHA1_|EVP_|BIO_|X509_|ERR_|RAND_|CRYPTO_|OPENSSL_|ASN1_|DTLS)/;

const canCross = needs(
  'an ARM compiler, its libraries and objdump',
  'apt-get install g++ make python3 g++-aarch64-linux-gnu',
  () =>
    process.platform === 'linux' &&
    process.arch === 'x64' &&
    ['g++', 'make', 'python3', 'aarch64-linux-gnu-g++', 'objdump'].every(
      (program) => spawnSync(program, ['--version']).status === 0,
    ),
);

describe.runIf(canCross).each(['linux-x64', 'linux-arm64'])('the prebuilt WebRTC leg for %s', (target) => {
  const objdump = (option: string) =>
    execFileSync('objdump', [option, join(prebuilds(), target, 'trunkline_rtc.glibc.node')], {
      encoding: 'utf8',
    });
  let symbols: string[];
  beforeAll(() => {
    symbols = objdump('-T').split('\n').slice(4);
    // Compiles both targets.
  }, 600_000);

  it('needs glibc 2.28, and no library but that: the rest is of Node', () => {
    const versions = symbols.flatMap((line) => line.match(/\(GLIBC_([\d.]+)\)/)?.[1] ?? []);
    expect(versions.length).toBeGreaterThan(5);
    expect(versions.filter((version) => Number(version.split('.')[1]) > OLDEST_MINOR)).toEqual([]);
    const needed = [...objdump('-p').matchAll(/NEEDED +(\S+)/g)].map(([, name]) => name);
    expect(needed).toEqual(['libc.so.6']);
    const wanted = symbols.filter((line) => line.includes('*UND*') && !line.includes('(GLIBC_'));
    const strong = wanted.filter((line) => !/^\S+ +w/.test(line)).map((line) => line.split(/\s+/).at(-1));
    expect(strong.length).toBeGreaterThan(50);
    expect(strong.filter((name) => !OF_NODE.test(name as string))).toEqual([]);
  });

  it('does not load where Node lacks one of these, instead of ending the process at the first call', () => {
    expect(objdump('-p')).toMatch(/FLAGS_1 +0x0*1\b|FLAGS +0x0*8\b|BIND_NOW/);
  });
});
