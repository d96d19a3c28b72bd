import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { Gateway, GatewayOptions } from '../../src/index.js';
import { type AudioSource, type SimulatedPhone, SimulatedTwilio } from '../../src/simulator/index.js';
import { MachineRegistry } from '../../src/workers/machine-registry.js';
import type { SupervisedPeers } from '../../src/workers/peers.js';
import { Places } from '../../src/workers/places.js';
import { RoomOwners } from '../../src/workers/room-owners.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from './caller.js';
import { startGateway } from './gateway.js';
import { KEY } from './leg.js';
import { clock, eventually } from './time.js';
import { workersInMemory } from './workers.js';

const freed: (() => unknown)[] = [];

afterEach(async () => {
  for (const free of freed.splice(0).reverse()) await free();
});

/** A worker of a machine, in this process. */
export interface TestWorker {
  readonly gateway: Gateway;
  readonly url: string;
  readonly peers: SupervisedPeers;
}

/** A supervisor and its workers in one process, with real sockets between them, and the Twilio that calls them. */
export interface Machine {
  readonly workers: TestWorker[];
  readonly owners: RoomOwners;
  readonly twilio: SimulatedTwilio;
  /** One worker more, which serves. */
  add(): Promise<TestWorker>;
  /** Twilio connects to this worker from here on. */
  turnTo(worker: TestWorker): void;
  /** A phone that calls `to`; its webhook and its socket reach the worker. */
  call(
    worker: TestWorker,
    to: string,
    audio?: AudioSource,
    from?: string,
  ): Promise<{ phone: SimulatedPhone; callId: string }>;
}

export async function startMachine(size: number, options: GatewayOptions = {}): Promise<Machine> {
  const { office, add } = workersInMemory(clock);
  const registry = new MachineRegistry(office, clock);
  freed.push(() => registry.close());
  const owners = new RoomOwners(office);
  const socketDir = await mkdtemp(join(tmpdir(), 'trunkline-'));
  freed.push(() => rm(socketDir, { recursive: true }));
  let target = '';
  const dial = {
    publicUrl: PUBLIC_URL,
    get target() {
      return target;
    },
  };
  const twilio = new SimulatedTwilio({ clock, accountSid: ACCOUNT_SID, authToken: AUTH_TOKEN, dial });
  freed.push(() => twilio.close());
  const apiUrl = await twilio.listen();
  const machine: Machine = {
    workers: [],
    owners,
    twilio,
    async add() {
      const peers = add();
      const { gateway, url } = await startGateway({
        controlApiKey: KEY,
        workers: { peers, count: size, socketDir, places: (own) => new Places(peers, socketDir, own) },
        ...options,
        twilio: { apiUrl, from: '+15550009999', ...options.twilio },
      });
      peers.serve();
      await eventually('the worker serves', () => peers.serving.includes(peers.self));
      const worker = { gateway, url, peers };
      machine.workers.push(worker);
      return worker;
    },
    turnTo({ url }) {
      target = url;
    },
    async call(worker, to, audio, from = '+15550001111') {
      machine.turnTo(worker);
      const called = new Promise<string>((resolve) => {
        for (const { gateway } of machine.workers) gateway.once('call', ({ callId }) => resolve(callId));
      });
      const phone = twilio.placeCall({
        from,
        to,
        webhookUrl: `${PUBLIC_URL}/twilio/voice`,
        record: true,
        ...(audio === undefined ? {} : { audio }),
      });
      const callId = await called;
      await phone.started;
      return { phone, callId };
    },
  };
  for (let i = 0; i < size; i++) await machine.add();
  return machine;
}
