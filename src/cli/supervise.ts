import cluster from 'node:cluster';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../clock.js';
import type { Config } from '../config.js';
import { GatewayError } from '../errors.js';
import { createLog } from '../telemetry/log.js';
import { Supervisor } from '../workers/supervisor.js';
import { WORKER_VARIABLE, type WorkerFacts } from '../workers/worker-facts.js';
import { hungUp } from './running-gateway.js';
import type { Shell } from './shell.js';

/**
 * Runs `trunkline serve` as several workers, until a signal ends them.
 * @param count of workers, from 2
 * @param isRollAsked whether SIGHUP came before
 * @returns the exit code
 * @throws GatewayError `GW_LISTEN_FAILED` if the port is taken; `GW_WORKER_FAILED`
 */
export async function supervise(
  shell: Shell,
  config: Config,
  count: number,
  isRollAsked: () => boolean,
): Promise<number> {
  const log = createLog(config.logLevel, shell.stdout);
  const { signals, exit } = shell;
  const port = await freePort(config, config.port);
  const operationsPort =
    config.operationsPort === undefined ? undefined : await freePort(config, config.operationsPort);
  const ports = operationsPort === undefined ? { port } : { port, operationsPort };
  const socketDir = mkdtempSync(join(tmpdir(), 'trunkline-'));
  const supervisor = new Supervisor({
    count,
    clock: systemClock,
    log,
    fork: (place) => {
      const facts: WorkerFacts = { place, count, socketDir, ports };
      return cluster.fork({ ...shell.env, [WORKER_VARIABLE]: JSON.stringify(facts) });
    },
  });
  let stops = 0;
  const stop = () => {
    stops += 1;
    supervisor.stop();
    if (stops > 2) exit(1);
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT']) signals.on(signal, stop);
  signals.on(
    'SIGHUP',
    hungUp(shell, stop, () => supervisor.roll()),
  );
  signals.on('SIGUSR1', () => {});
  try {
    const starting = supervisor.start();
    if (isRollAsked()) supervisor.roll();
    await starting;
    if (stops === 0) log.info({ workers: count }, 'all workers serve');
    await supervisor.ended;
  } finally {
    rmSync(socketDir, { recursive: true, force: true });
  }
  return stops > 1 ? 1 : 0;
}

/**
 * The port itself, or any free one for 0. The workers share it, and would share it with a stranger, too.
 * @throws GatewayError `GW_LISTEN_FAILED` where another process listens
 */
async function freePort({ host, sharePort }: Config, port: number): Promise<number> {
  if (sharePort && port !== 0) return port;
  const probe = createServer();
  return new Promise((resolve, reject) => {
    probe.once('error', (cause) => {
      const message = `Expected a free address to listen on but received ${host}:${port}, which is taken or not ours`;
      reject(new GatewayError('GW_LISTEN_FAILED', message, { cause }));
    });
    probe.listen({ host, port, exclusive: true }, () => {
      const found = (probe.address() as AddressInfo).port;
      probe.close(() => resolve(found));
    });
  });
}
