import { readConfig, SETTINGS } from '../config.js';
import { GatewayError } from '../errors.js';
import type { Gateway } from '../gateway.js';
import type { Logger } from '../telemetry/log.js';

/** What a running gateway takes; all other settings wait for a restart. */
export const RELOADABLE: ReadonlySet<string> = new Set([
  'TWILIO_AUTH_TOKEN',
  'CONTROL_API_KEY',
  'METRICS_API_KEY',
  'WEBHOOK_SECRET',
  'TLS_CERT_FILE',
  'TLS_KEY_FILE',
  'LOG_LEVEL',
]);

/** Reads the settings again, for a gateway that runs. */
export class Reload {
  /** As they were at the start: by these the gateway still runs, but for what it took. */
  private readonly started: NodeJS.ProcessEnv;
  private last: NodeJS.ProcessEnv;
  private work: Promise<void> = Promise.resolve();

  /** @param read answers the settings of now */
  constructor(
    private readonly gateway: Gateway,
    private readonly log: Logger,
    private readonly read: () => NodeJS.ProcessEnv,
  ) {
    this.started = read();
    this.last = this.started;
  }

  /** Reads them, and the files of the certificate; what is wrong with them is logged, and nothing changes then. */
  now(): Promise<void> {
    this.work = this.work.then(() => this.reload());
    return this.work;
  }

  private async reload(): Promise<void> {
    try {
      const env = this.read();
      const config = readConfig(env);
      await this.gateway.reload(config);
      const differs = (from: NodeJS.ProcessEnv) => (name: string) => from[name]?.trim() !== env[name]?.trim();
      const changed = SETTINGS.filter(differs(this.last)).filter((name) => RELOADABLE.has(name));
      const waiting = SETTINGS.filter(differs(this.started)).filter((name) => !RELOADABLE.has(name));
      this.last = env;
      this.log.info({ changed }, 'settings read again');
      if (waiting.length > 0) this.log.warn({ settings: waiting }, 'these settings wait for a restart');
    } catch (error) {
      // Whatever is wrong with new settings, calls go on by the old ones.
      const why = error instanceof GatewayError ? { mistakes: error.message.split('\n') } : { err: error };
      this.log.error(why, 'settings not taken: those before stay');
    }
  }
}
