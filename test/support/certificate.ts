import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

const freed: (() => unknown)[] = [];
afterAll(() => {
  for (const free of freed.splice(0)) free();
});

/**
 * A certificate for a host name, and its file of certificate and key; gone after the file's tests.
 * @param days how long it is good from now on; negative: it no longer is
 */
export function makeCertificate(host: string, days = 30): { cert: string; pem: string } {
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-cert-'));
  freed.push(() => rmSync(folder, { recursive: true }));
  const [key, wish, names, cert, pem] = ['key', 'wish', 'names', 'cert', 'both'].map((name) =>
    join(folder, `${name}.pem`),
  ) as [string, string, string, string, string];
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'ignore' });
  writeFileSync(names, `subjectAltName=DNS:${host}`);
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', ...kind, '-keyout', key, '-out', wish, '-subj', `/CN=${host}`);
  const signing = ['-req', '-in', wish, '-signkey', key, '-days', String(days), '-extfile', names];
  openssl('x509', ...signing, '-out', cert);
  writeFileSync(pem, readFileSync(cert, 'utf8') + readFileSync(key, 'utf8'));
  return { cert, pem };
}
