/** The variable by which a supervisor tells a process that it is a worker, and what {@link WorkerFacts} are. */
export const WORKER_VARIABLE = 'TRUNKLINE_WORKER';

/** By this message a worker that serves tells the supervisor that it is alive, and how often. */
export const ALIVE = 'alive';
export const ALIVE_MS = 1_000;
/** By this one, that it stops although the supervisor did not ask for it. */
export const LEAVING = 'leaving';

/** Ports on which all workers of a machine listen. */
export interface Ports {
  readonly port: number;
  readonly operationsPort?: number;
}

/** What a worker must know before it serves. */
export interface WorkerFacts {
  readonly place: number;
  /** Workers that the machine shall have. */
  readonly count: number;
  /** A directory of this machine's workers only, where they may listen on sockets. */
  readonly socketDir: string;
  readonly ports: Ports;
}

/** What a supervisor says of this process; `undefined` if it is no worker. */
export function workerFacts({ [WORKER_VARIABLE]: text }: NodeJS.ProcessEnv): WorkerFacts | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as WorkerFacts);
}
