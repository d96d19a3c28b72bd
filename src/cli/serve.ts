import { Command } from 'commander';
import { type Config, readConfig } from '../config.js';
import type { Gateway } from '../gateway.js';
import { createLog, type Logger } from '../telemetry/log.js';

/** `trunkline serve` */
export function serveCommand(): Command {
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
      const config = readConfig();
      const gateway = await gatewayFor(config, createLog(config.logLevel));
      await gateway.listen();
      stopOnSignals(gateway, config.drainMs);
    });
}

/** The gateway that the environment asks for. Loaded here, so that help needs no native core. */
export async function gatewayFor(config: Config, log: Logger): Promise<Gateway> {
  if (config.publicUrl === undefined) {
    log.warn('no PUBLIC_URL: taken from each request; outbound calls need it');
  }
  const { createGateway } = await import('../gateway.js');
  if (config.stream === undefined) {
    log.info('calls are bridged to local rooms (for Stream: its keys, and no BRIDGE=local)');
  }
  return createGateway({ ...config, log });
}

/** The first signal drains, the second ends the calls but keeps what there is of them, the third ends the process. */
export function stopOnSignals(gateway: Gateway, drainMs: number): void {
  let signals = 0;
  const stop = async () => {
    signals += 1;
    if (signals > 2) process.exit(1);
    if (signals === 2) {
      // Should the first come to its end meanwhile, nothing else tells of the second.
      process.exitCode = 1;
      await gateway.closeNow().finally(() => process.exit(1));
    }
    await gateway.close(drainMs);
    process.off('SIGTERM', stop).off('SIGINT', stop);
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
}
