import { closeSync, fstatSync, openSync } from 'node:fs';
import { Command } from 'commander';
import type { PhoneCall } from '../calls/decision.js';
import type { Config } from '../config.js';
import type { Gateway } from '../gateway.js';
import type { NumberPlan } from '../router/number-plan.js';
import type { Logger } from '../telemetry/log.js';
import { configOf, readSettings, type SettingsFlags } from './settings.js';
import type { Shell } from './shell.js';

/** All do the same. */
const STOPPING = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const;

/** `trunkline serve` */
export function serveCommand(shell: Shell): Command {
  return new Command('serve')
    .description('run the gateway; configured by environment variables (see docs/configuration.md), or a file')
    .addHelpText(
      'after',
      `
Signals:
  SIGTERM, SIGINT, SIGQUIT
              take no new calls, wait for running ones (DRAIN_SECONDS), then end them politely; a second one: end them
              now, keep what was recorded and not yet told, and exit within a second or so; a third: exit at once
  SIGHUP      read settings and certificate again: TWILIO_AUTH_TOKEN, CONTROL_API_KEY, METRICS_API_KEY, WEBHOOK_SECRET,
              TLS_CERT_FILE, TLS_KEY_FILE, LOG_LEVEL and the numbers of the configuration file change at once, where they
              are right; the log names others that differ, which wait for a restart. Of a terminal that was closed: as SIGTERM
  SIGUSR1     nothing: no inspector is opened (node --inspect opens one)`,
    )
    .option('--env-file <file>', 'lines of NAME=value that count before the environment (default: ENV_FILE)')
    .option('--config <file>', 'YAML with settings, and where calls to each number go (default: CONFIG_FILE)')
    .option('--port <n>', 'port to listen on, before PORT')
    .option('--host <address>', 'address to listen on, before HOST')
    .action(async (flags: SettingsFlags) => {
      const { signals } = shell;
      // From now on, for a process that has just been started may be signalled as well.
      let isReloadAsked = false;
      const ask = () => {
        isReloadAsked = true;
      };
      const ignore = () => {};
      signals.on('SIGHUP', ask).on('SIGUSR1', ignore);
      const { gateway, config, log, env, take } = await gatewayFor(shell, shell.stdout, flags);
      const { Reload } = await import('./reload.js');
      const reload = new Reload(gateway, log, env, () => readSettings(shell.env, flags), take);
      await gateway.listen();
      const stopping = stopped(gateway, config.drainMs, shell, () => void reload.now());
      // What failed is not known, nor whether anything goes right from here on: calls are ended while that can be done.
      signals.once('uncaughtException', (error) => {
        log.fatal({ err: error }, 'a fault of ours: ending');
        signals.on('uncaughtException', () => shell.exit(1));
        void gateway.closeNow().finally(() => shell.exit(1));
      });
      signals.off('SIGHUP', ask);
      if (isReloadAsked) void reload.now();
      shell.exitCode = await stopping;
      signals.off('SIGUSR1', ignore);
    });
}

/** A gateway, and by what it was made. */
interface Served {
  readonly gateway: Gateway;
  readonly config: Config;
  readonly log: Logger;
  readonly env: NodeJS.ProcessEnv;
  /** Calls go by another plan from now on. */
  readonly take: (plan: NumberPlan | undefined) => void;
}

/** The gateway that the settings ask for. @param logStream where its log goes */
export async function gatewayFor(
  shell: Shell,
  logStream: Shell['stdout'],
  flags: SettingsFlags = {},
): Promise<Served> {
  const { createLog } = await import('../telemetry/log.js');
  const settings = await readSettings(shell.env, flags);
  const { config, plan } = await configOf(settings);
  const log = createLog(config.logLevel, logStream);
  if (config.publicUrl === undefined) {
    log.warn('no PUBLIC_URL: taken from each request; outbound calls need it');
  }
  const { createGateway } = await import('../gateway.js');
  if (config.stream === undefined) {
    log.info('calls are bridged to local rooms (for Stream: its keys, and no BRIDGE=local)');
  }
  let current = plan;
  // A router is never beside numbers, nor are they beside it after a reload: it would have been made at the start.
  const prepareCall = (call: PhoneCall) => current?.decide(call);
  const gateway = createGateway({ ...config, log, ...(config.router === undefined && { prepareCall }) });
  return {
    gateway,
    config,
    log,
    env: settings.env,
    take: (next) => {
      current = next;
    },
  };
}

/**
 * Goes by signals: the first drains, the second ends the calls but keeps what there is of them, the third ends the process.
 * @param onHangUp what SIGHUP does while the terminal is there; default: it drains, too
 * @returns the exit code, when the first is done
 */
export function stopped(
  gateway: Gateway,
  drainMs: number,
  shell: Shell,
  onHangUp?: () => void,
): Promise<number> {
  const { signals, exit } = shell;
  return new Promise((resolve, reject) => {
    let count = 0;
    const hungUp = () => {
      const isGone = isTerminalGone(shell);
      if (isGone) leaveTerminal();
      if (onHangUp === undefined || isGone) stop();
      else onHangUp();
    };
    const ends = () => {
      for (const signal of STOPPING) signals.off(signal, stop);
      signals.off('SIGHUP', hungUp);
    };
    const stop = () => {
      count += 1;
      if (count > 2) exit(1);
      else if (count === 2) gateway.closeNow().finally(() => exit(1));
      else {
        gateway
          .close(drainMs)
          .finally(ends)
          // Should it come to its end meanwhile, nothing else tells of a second signal.
          .then(() => resolve(count > 1 ? 1 : 0), reject);
      }
    };
    for (const signal of STOPPING) signals.on(signal, stop);
    signals.on('SIGHUP', hungUp);
  });
}

/** Whether this runs in a terminal that was closed. */
function isTerminalGone({ stdout, stderr }: Shell): boolean {
  if (stdout.isTTY !== true && stderr.isTTY !== true) return false;
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return false;
  } catch {
    return true;
  }
}

/** Node wants to set its terminal as it was when it ends, and aborts where that is gone. */
function leaveTerminal(): void {
  for (const fd of [0, 1, 2]) {
    if (!fstatSync(fd).isCharacterDevice()) continue;
    closeSync(fd);
    // The lowest that is free: the same.
    openSync('/dev/null', 'r+');
  }
}
