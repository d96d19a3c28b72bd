import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchCertificate } from '../capacity/bench-certificate.js';
import { type Peer, programPeer, runs } from './peer.js';

/** Where Debian keeps the sources of Go packages. */
const GO_PATH = '/usr/share/gocode';
/** Debian's own interpreter, which has Debian's packages. */
const PYTHON = '/usr/bin/python3';

const pathOf = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const nothing = () => undefined;

/** A bare uWebSockets.js server without audio: no server on it costs less. */
export function floor(name: string, certificate?: BenchCertificate): Peer {
  const command = [process.execPath, pathOf('uws/server.mjs')];
  return programPeer(name, nothing, () => ({ command }), certificate);
}

/** @param quality of speex's resampler */
export function naive(name: string, quality: 3 | 7): Peer {
  const command = [process.execPath, pathOf('naive/server.mjs'), String(quality)];
  return programPeer(name, nothing, () => ({ command }));
}

/** @param audio audioop, or numpy's tables and PyAV's resamplers */
export function python(name: string, audio: 'audioop' | 'pyav'): Peer {
  const more = audio === 'pyav' ? ['av', 'numpy'] : [];
  const modules = ['audioop', 'uvicorn', 'websockets', 'uvloop', ...more];
  const packages = ['uvicorn', 'websockets', 'uvloop', ...more].map((each) => `python3-${each}`);
  const has = () => runs(PYTHON, '-W', 'ignore', '-c', `import ${modules.join(', ')}`);
  return programPeer(
    name,
    () => (has() ? undefined : `apt-get install ${packages.join(' ')}`),
    () => ({ command: [PYTHON, '-W', 'ignore', pathOf('python/server.py'), audio] }),
  );
}

/** The Go server, compiled when first needed. */
export class GoServer {
  private folder: string | undefined;

  /** @param resampler linear interpolation in Go, or libsoxr */
  peer(name: string, resampler: 'linear' | 'soxr', certificate?: BenchCertificate): Peer {
    return programPeer(
      name,
      () => this.missing(),
      () => ({ command: [this.compiled(), resampler] }),
      certificate,
    );
  }

  remove(): void {
    if (this.folder !== undefined) rmSync(this.folder, { recursive: true });
  }

  private missing(): string | undefined {
    const has =
      runs('go', 'version') &&
      runs('pkg-config', 'soxr') &&
      existsSync(`${GO_PATH}/src/github.com/gorilla/websocket`);
    return has
      ? undefined
      : 'apt-get install golang-go golang-github-gorilla-websocket-dev libsoxr-dev pkg-config';
  }

  private compiled(): string {
    if (this.folder === undefined) {
      this.folder = mkdtempSync(join(tmpdir(), 'trunkline-peers-'));
      execFileSync('go', ['build', '-o', join(this.folder, 'server'), '.'], {
        cwd: pathOf('go'),
        env: { ...process.env, GO111MODULE: 'off', GOPATH: GO_PATH },
        stdio: 'inherit',
      });
    }
    return join(this.folder, 'server');
  }
}
