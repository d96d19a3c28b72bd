import { closeSync, fstatSync, openSync } from 'node:fs';
import type { PhoneCall } from '../calls/decision.js';
import { systemClock } from '../clock.js';
import type { Config } from '../config.js';
import type { Gateway } from '../gateway.js';
import type { NumberPlan } from '../router/number-plan.js';
import type { Logger } from '../telemetry/log.js';
import type { Worker } from '../workers/worker.js';
import type { WorkerFacts } from '../workers/worker-facts.js';
import { configOf, readSettings, type SettingsFlags } from './settings.js';
import type { Shell } from './shell.js';

/** All do the same. */
const STOPPING = ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const;

/** A gateway, and by what it was made. */
interface Served {
  readonly gateway: Gateway;
  /** If this process is one of a supervisor's. */
  readonly worker: Worker | undefined;
  readonly config: Config;
  readonly log: Logger;
  readonly env: NodeJS.ProcessEnv;
  /** Calls go by another plan from now on. */
  readonly take: (plan: NumberPlan | undefined) => void;
}

/** Creates the gateway of the settings. @param logStream destination of its log */
export async function gatewayFor(
  shell: Shell,
  logStream: Shell['stdout'],
  flags: SettingsFlags = {},
  workerFacts?: WorkerFacts,
): Promise<Served> {
  const { createLog } = await import('../telemetry/log.js');
  const settings = await readSettings(shell.env, flags);
  const { config, plan } = await configOf(settings);
  const ownLog = createLog(config.logLevel, logStream);
  const log = workerFacts === undefined ? ownLog : ownLog.child({ place: workerFacts.place });
  const worker =
    workerFacts && new (await import('../workers/worker.js')).Worker(workerFacts, systemClock, log);
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
  const gateway = createGateway({
    ...config,
    ...worker?.options,
    log,
    ...(config.router === undefined && { prepareCall }),
  });
  return {
    gateway,
    worker,
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
    const ends = () => {
      for (const signal of STOPPING) signals.off(signal, stop);
      signals.off('SIGHUP', onSighup);
    };
    const stop = () => {
      count += 1;
      if (count > 2) exit(1);
      else if (count === 2) gateway.closeNow().finally(() => exit(1));
      else {
        gateway
          .close(drainMs)
          .finally(ends)
          // If it finishes closing first, only this reports a second signal.
          .then(() => resolve(count > 1 ? 1 : 0), reject);
      }
    };
    const onSighup = hungUp(shell, stop, onHangUp ?? stop);
    for (const signal of STOPPING) signals.on(signal, stop);
    signals.on('SIGHUP', onSighup);
  });
}

/** What SIGHUP does: it stops the program when its terminal was closed, and is an operator's word otherwise. */
export function hungUp(shell: Shell, stop: () => void, onWord: () => void): () => void {
  return () => {
    const isGone = isTerminalGone(shell);
    if (isGone) leaveTerminal();
    if (isGone) stop();
    else onWord();
  };
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
