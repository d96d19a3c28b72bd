import { Command, type Help } from 'commander';
import { RELOADABLE, SETTING_GROUPS, shownDefault } from '../settings.js';
import { gatewayFor, stopped } from './running-gateway.js';
import { readSettings, type SettingsFlags } from './settings.js';
import type { Shell } from './shell.js';

/** What signals do, by their names. */
const SIGNALS: Readonly<Record<string, string>> = {
  'SIGTERM, SIGINT, SIGQUIT':
    'Take no new calls, wait for running ones (DRAIN_SECONDS), then end them politely. A second signal ends them now, keeps ' +
    'recordings and undelivered events, and exits within about a second. A third exits at once.',
  SIGHUP:
    `Read settings and certificate again. ${[...RELOADABLE].join(', ')} and the numbers of the configuration file change at ` +
    'once if they are right. The log names others that differ: they wait for a restart. When the terminal was closed: as SIGTERM.',
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
