import { Command } from 'commander';
import type { Config } from '../config.js';
import type { Gateway } from '../gateway.js';
import type { Shell } from './shell.js';

/** `trunkline serve` */
export function serveCommand(shell: Shell): Command {
  return new Command('serve')
    .description('run the gateway; configured by environment variables (see the README)')
    .addHelpText(
      'after',
      `
Signals:
  SIGTERM, SIGINT   take no new calls, wait for running ones (DRAIN_SECONDS), then end them politely
  a second one      end them now, keep what was recorded and not yet told, and exit within a second or so
  a third           exit at once`,
    )
    .action(async () => {
      const { gateway, config } = await gatewayFor(shell, shell.stdout);
      await gateway.listen();
      shell.exitCode = await stopped(gateway, config.drainMs, shell);
    });
}

/** The gateway that the environment asks for. @param logStream where its log goes */
export async function gatewayFor(
  { env }: Shell,
  logStream: Shell['stdout'],
): Promise<{ gateway: Gateway; config: Config }> {
  const [{ readConfig }, { createLog }] = await Promise.all([
    import('../config.js'),
    import('../telemetry/log.js'),
  ]);
  const config = readConfig(env);
  const log = createLog(config.logLevel, logStream);
  if (config.publicUrl === undefined) {
    log.warn('no PUBLIC_URL: taken from each request; outbound calls need it');
  }
  const { createGateway } = await import('../gateway.js');
  if (config.stream === undefined) {
    log.info('calls are bridged to local rooms (for Stream: its keys, and no BRIDGE=local)');
  }
  return { gateway: createGateway({ ...config, log }), config };
}

/**
 * Goes by signals: the first drains, the second ends the calls but keeps what there is of them, the third ends the process.
 * @returns the exit code, when the first is done
 */
export function stopped(gateway: Gateway, drainMs: number, { signals, exit }: Shell): Promise<number> {
  return new Promise((resolve, reject) => {
    let count = 0;
    const stop = () => {
      count += 1;
      if (count > 2) exit(1);
      else if (count === 2) gateway.closeNow().finally(() => exit(1));
      else {
        gateway
          .close(drainMs)
          .finally(() => signals.off('SIGTERM', stop).off('SIGINT', stop))
          // Should it come to its end meanwhile, nothing else tells of a second signal.
          .then(() => resolve(count > 1 ? 1 : 0), reject);
      }
    };
    signals.on('SIGTERM', stop).on('SIGINT', stop);
  });
}
