import { closeSync, fstatSync, openSync } from 'node:fs';
import { Command } from 'commander';
import type { Config } from '../config.js';
import type { Gateway } from '../gateway.js';
import type { Logger } from '../telemetry/log.js';
import { settingsOf } from './env-file.js';
import type { Shell } from './shell.js';

/** All do the same. */
const STOPPING = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const;

/** `trunkline serve` */
export function serveCommand(shell: Shell): Command {
  return new Command('serve')
    .description('run the gateway; configured by environment variables (see the README)')
    .addHelpText(
      'after',
      `
Signals:
  SIGTERM, SIGINT, SIGQUIT
              take no new calls, wait for running ones (DRAIN_SECONDS), then end them politely; a second one: end them
              now, keep what was recorded and not yet told, and exit within a second or so; a third: exit at once
  SIGHUP      read settings and certificate again: TWILIO_AUTH_TOKEN, CONTROL_API_KEY, METRICS_API_KEY, WEBHOOK_SECRET,
              TLS_CERT_FILE, TLS_KEY_FILE and LOG_LEVEL change at once, where they are right; the log names others that
              differ, which wait for a restart. Of a terminal that was closed: as SIGTERM
  SIGUSR1     nothing: no inspector is opened (node --inspect opens one)`,
    )
    .option('--env-file <file>', 'lines of NAME=value that count before the environment (default: ENV_FILE)')
    .action(async ({ envFile }: { envFile?: string }) => {
      const { signals } = shell;
      // From now on, for a process that has just been started may be signalled as well.
      let isReloadAsked = false;
      const ask = () => {
        isReloadAsked = true;
      };
      const ignore = () => {};
      signals.on('SIGHUP', ask).on('SIGUSR1', ignore);
      const { gateway, config, log } = await gatewayFor(shell, shell.stdout, envFile);
      const { Reload } = await import('./reload.js');
      const reload = new Reload(gateway, log, () => settingsOf(shell.env, envFile));
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

/** The gateway that the environment asks for. @param logStream where its log goes */
export async function gatewayFor(
  shell: Shell,
  logStream: Shell['stdout'],
  envFile?: string,
): Promise<{ gateway: Gateway; config: Config; log: Logger }> {
  const [{ readConfig }, { createLog }] = await Promise.all([
    import('../config.js'),
    import('../telemetry/log.js'),
  ]);
  const config = readConfig(settingsOf(shell.env, envFile));
  const log = createLog(config.logLevel, logStream);
  if (config.publicUrl === undefined) {
    log.warn('no PUBLIC_URL: taken from each request; outbound calls need it');
  }
  const { createGateway } = await import('../gateway.js');
  if (config.stream === undefined) {
    log.info('calls are bridged to local rooms (for Stream: its keys, and no BRIDGE=local)');
  }
  return { gateway: createGateway({ ...config, log }), config, log };
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
