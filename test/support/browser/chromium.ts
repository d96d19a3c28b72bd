import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

/** The Chromium to test with: `CHROMIUM` of the environment, or one of the PATH. */
export function findChromium(): string | undefined {
  const { CHROMIUM, PATH = '' } = process.env;
  if (CHROMIUM) return CHROMIUM;
  const paths = NAMES.flatMap((name) => PATH.split(delimiter).map((folder) => join(folder, name)));
  return paths.find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--no-default-browser-check',
  // A page opens the tabs, without a user's click.
  '--disable-popup-blocking',
  '--autoplay-policy=no-user-gesture-required',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  // The media server is on this machine.
  '--allow-loopback-in-peer-connection',
  // Tabs are as awake as the one a user looks at.
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding',
  // Loopback only.
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-breakpad',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
];

/** How much of its log is kept for an error. */
const LOG_LENGTH = 4_000;

/** A headless Chromium with its own profile; nothing of it remains. */
export class Chromium {
  /** The end of what it logged. */
  log = '';
  /** Resolves when it is not there any more, or never was. */
  readonly gone: Promise<void>;

  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
  ) {
    const keep = (text: unknown) => {
      this.log = (this.log + String(text)).slice(-LOG_LENGTH);
    };
    child.stderr?.on('data', keep);
    this.gone = new Promise((resolve) => {
      child.on('exit', () => resolve());
      child.on('error', (error) => {
        keep(error);
        resolve();
      });
    });
    process.on('exit', this.kill);
  }

  /**
   * Starts it; only the page itself knows whether it is shown.
   * @param more flags
   * @param before a command that starts it, and its arguments
   */
  static async start(
    path: string,
    url: string,
    more: readonly string[] = [],
    before: readonly string[] = [],
  ): Promise<Chromium> {
    const folder = await mkdtemp(join(tmpdir(), 'trunkline-chromium-'));
    const profile = `--user-data-dir=${join(folder, 'profile')}`;
    const [command = path, ...args] = [...before, path, ...FLAGS, ...more, profile, url];
    const child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      // It leads a process group, by which its children are found.
      detached: true,
      env: { ...process.env, HOME: folder, TMPDIR: folder },
    });
    return new Chromium(child, folder);
  }

  async close(): Promise<void> {
    this.kill();
    await this.gone;
    process.off('exit', this.kill);
    // The last of its processes may still be writing.
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  private readonly kill = () => {
    const { pid, exitCode, signalCode } = this.child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    process.kill(-pid, 'SIGKILL');
  };
}
