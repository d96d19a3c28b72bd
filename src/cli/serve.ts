import { Command, type Help } from 'commander';
import type { Config } from '../config.js';
import { RELOADABLE, SETTING_GROUPS, shownDefault } from '../settings.js';
import { workerFacts } from '../workers/worker-facts.js';
import { gatewayFor, stopped } from './running-gateway.js';
import { configOf, readSettings, type SettingsFlags } from './settings.js';
import { Shell } from './shell.js';

/** What signals do, by their names. */
const SIGNALS: Readonly<Record<string, string>> = {
  'SIGTERM, SIGINT, SIGQUIT':
    'Take no new calls, wait for running ones (DRAIN_SECONDS), then end them politely. A second signal ends them now, keeps ' +
    'recordings and undelivered events, and exits within about a second. A third exits at once.',
  SIGHUP:
    `Read settings and certificate again. ${[...RELOADABLE].join(', ')} and the numbers of the configuration file change at ` +
    'once if they are right. The log names others that differ: they wait for a restart. With WORKERS: replace the workers ' +
    'one after the other, with all settings and new code; calls continue. When the terminal was closed: as SIGTERM.',
  SIGUSR1: 'Nothing: no inspector is opened (node --inspect opens one).',
};

/** `trunkline serve` */
export function serveCommand(shell: Shell): Command {
  return new Command('serve')
    .addHelpText('after', ({ command }) => referenceOf(command.createHelp()))
    .option('--env-file <file>', 'lines of NAME=value that count before the environment (default: ENV_FILE)')
    .option('--config <file>', 'YAML with settings, and where calls to each number go (default: CONFIG_FILE)')
    .option(
      '--agent <agent>',
      'who answers calls: a ws:// or wss:// URL, or openai:gpt-realtime, before AGENT',
    )
    .option('--workers <n>', 'processes that share the calls, or auto: one for each core; before WORKERS')
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
      const facts = workerFacts(shell.env);
      const count = facts === undefined ? await workerCount(shell, flags) : undefined;
      if (count !== undefined) {
        const { supervise } = await import('./supervise.js');
        shell.exitCode = await supervise(shell, count.config, count.workers, () => isReloadAsked);
        signals.off('SIGHUP', ask).off('SIGUSR1', ignore);
        return;
      }
      const { gateway, config, log, env, take, worker } = await gatewayFor(shell, shell.stdout, flags, facts);
      const { Reload } = await import('./reload.js');
      const reload = new Reload(gateway, log, env, () => readSettings(shell.env, flags), take);
      await gateway.listen();
      const stopping = stopped(
        gateway,
        config.drainMs,
        worker === undefined ? shell : new Shell({ ...shell, signals: worker.signals }),
        () => void reload.now(),
      );
      worker?.serve();
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

/** How many workers the settings ask for, if more than this process. @throws GatewayError `GW_CONFIG_INVALID` */
async function workerCount(
  shell: Shell,
  flags: SettingsFlags,
): Promise<{ workers: number; config: Config } | undefined> {
  const settings = await readSettings(shell.env, flags);
  if ((settings.env.WORKERS ?? '1').trim() === '1') return undefined;
  const { config } = await configOf(settings);
  const { usableCores } = await import('../workers/cores.js');
  const workers = config.workerCount === 'auto' ? usableCores() : config.workerCount;
  return workers === 1 ? undefined : { workers, config };
}

/** Signals, and every setting by group. */
function referenceOf(help: Help): string {
  help.helpWidth = 120;
  const chapter = (title: string, items: readonly (readonly [name: string, text: string])[]) =>
    [`\n${title}:`, ...items.map(([name, text]) => help.formatItem(name, 28, text, help))].join('\n');
  const chapters = Object.entries(SETTING_GROUPS).map(([title, group]) =>
    chapter(
      title,
      Object.entries(group).map(([name, setting]) => {
        const text = `${setting.meaning} (${setting.format.wanted}; default: ${shownDefault(setting)})`;
        return [name, text.replaceAll('`', '').replace('; default: –', '')];
      }),
    ),
  );
  const where = '\nSettings are environment variables, or stand in lower case in the file of --config.';
  return [chapter('Signals', Object.entries(SIGNALS)), where, ...chapters].join('\n');
}
