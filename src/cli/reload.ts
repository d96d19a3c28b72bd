import { GatewayError } from '../errors.js';
import type { Gateway } from '../gateway.js';
import type { NumberPlan } from '../router/number-plan.js';
import { RELOADABLE, SETTINGS } from '../settings.js';
import type { Logger } from '../telemetry/log.js';
import { configOf, type Settings } from './settings.js';

/** Reads the settings again, for a gateway that runs. */
export class Reload {
  private last: NodeJS.ProcessEnv;
  private work: Promise<void> = Promise.resolve();

  /**
   * @param started the settings of the running gateway, except those applied since
   * @param read answers the settings of now
   * @param take is given where calls go from now on
   */
  constructor(
    private readonly gateway: Gateway,
    private readonly log: Logger,
    private readonly started: NodeJS.ProcessEnv,
    private readonly read: () => Promise<Settings>,
    private readonly take: (plan: NumberPlan | undefined) => void,
  ) {
    this.last = started;
  }

  /** Reads the settings and the certificate's files. Errors are logged, and nothing changes then. */
  now(): Promise<void> {
    this.work = this.work.then(() => this.reload());
    return this.work;
  }

  private async reload(): Promise<void> {
    try {
      const settings = await this.read();
      const { env } = settings;
      const { config, plan } = await configOf(settings);
      await this.gateway.reload(config);
      this.take(plan);
      const changed = this.differing(this.last, env, true);
      const waiting = this.differing(this.started, env, false);
      this.last = env;
      this.log.info({ changed, ...(plan && { numbers: plan.size }) }, 'settings read again');
      if (waiting.length > 0) this.log.warn({ settings: waiting }, 'these settings wait for a restart');
    } catch (error) {
      // If new settings are invalid, calls continue with the old ones.
      const why = error instanceof GatewayError ? { mistakes: error.message.split('\n') } : { err: error };
      this.log.error(why, 'settings not taken: those before stay');
    }
  }

  /** Names of the settings that differ, among those that a running gateway can apply or among the others. */
  private differing(from: NodeJS.ProcessEnv, to: NodeJS.ProcessEnv, isReloadable: boolean): string[] {
    return [...SETTINGS.keys()].filter(
      (name) => RELOADABLE.has(name) === isReloadable && from[name]?.trim() !== to[name]?.trim(),
    );
  }
}
