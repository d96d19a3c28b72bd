import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { table } from '../src/cli/table.js';
import { systemClock } from '../src/clock.js';
import { Relay } from '../src/workers/relay.js';
import type { EndSocket, SocketEnd } from '../src/workers/socket-end.js';
import { answerOf, startChild } from './child.js';
import { type Machine, machine, machineLine } from './machine.js';
import { writeResult } from './result.js';

/** Callers whose sockets another worker serves; rounds and their length in milliseconds. */
const { RELAY_CALLS = '100,300,700', RELAY_ROUNDS = '5', RELAY_HOLD = '5' } = process.env;
const SIZES = RELAY_CALLS.split(',').map(Number);
const ROUNDS = Number(RELAY_ROUNDS);
const HOLD_MS = Number(RELAY_HOLD) * 1_000;
const FRAME_MS = 20;
/** A media message of Twilio. */
const MESSAGE_BYTES = 330;

interface Row {
  readonly calls: number;
  /** CPU of each worker besides what serves the call, a frame in and a frame out; the median of the rounds. */
  readonly relayUsPerPair: number;
  readonly ownerUsPerPair: number;
  /** From a message at the relay to the owner's answer there. */
  readonly roundTripP50Us: number;
  readonly roundTripP99Us: number;
  /** Frames whose answers did not come within the round. */
  readonly missing: number;
}

export interface RelayResult {
  readonly machine: Machine;
  readonly holdMs: number;
  readonly rounds: number;
  readonly rows: readonly Row[];
}

interface Round {
  readonly pairs: number;
  readonly sent: number;
  readonly relayUs: number;
  readonly ownerUs: number;
  readonly tripsUs: Float64Array;
}

/** What a socket costs that arrives at one worker and is served by another. */
export async function benchRelay(): Promise<void> {
  const at = machine();
  console.log(`\nRelayed sockets, ${ROUNDS} rounds of ${HOLD_MS / 1000} s (${machineLine(at)})`);
  const socketDir = mkdtempSync(join(tmpdir(), 'trunkline-'));
  const child = startChild('relay-process.ts', { socketDir });
  const relay = new Relay({ self: 1, socketDir, clock: systemClock, log: pino({ level: 'silent' }) });
  const ownerCpu = async () => {
    child.send('cpu');
    return sum(await answerOf<NodeJS.CpuUsage>(child));
  };
  const rows: Row[] = [];
  try {
    await answerOf(child);
    for (const calls of SIZES) {
      const rounds: Round[] = [];
      // The first round warms up; what paces the frames costs CPU too, and is taken away.
      for (let round = 0; round <= ROUNDS; round++) {
        const paced = await hold(Array.from({ length: calls }, localEcho), async () => 0);
        const ends = await Promise.all(Array.from({ length: calls }, () => relay.request(2, 'bench', {})));
        const relayed = await hold(ends, ownerCpu);
        for (const end of ends) end.closed(1000);
        if (round > 0) rounds.push({ ...relayed, relayUs: relayed.relayUs - paced.relayUs });
      }
      rows.push(rowOf(calls, rounds));
    }
  } finally {
    relay.close();
    child.kill();
    rmSync(socketDir, { recursive: true });
  }
  console.log(
    table(
      ['calls', 'relay: µs a frame pair', 'owner: µs a frame pair', 'round trip p50 µs', 'p99 µs', 'missing'],
      rows.map((row) => [
        String(row.calls),
        row.relayUsPerPair.toFixed(1),
        row.ownerUsPerPair.toFixed(1),
        row.roundTripP50Us.toFixed(0),
        row.roundTripP99Us.toFixed(0),
        String(row.missing),
      ]),
    ),
  );
  writeResult('relay', { machine: at, holdMs: HOLD_MS, rounds: ROUNDS, rows } satisfies RelayResult);
}

/** Sends a message of each call every 20 ms, the calls one after the other. */
async function hold(ends: readonly SocketEnd[], ownerCpu: () => Promise<number>): Promise<Round> {
  const message = new Uint8Array(Buffer.from('m'.repeat(MESSAGE_BYTES)));
  const time = new Float64Array(1);
  const timeBytes = new Uint8Array(time.buffer);
  const tripsUs = new Float64Array((ends.length * HOLD_MS * 2) / FRAME_MS);
  let pairs = 0;
  const socket: EndSocket = {
    send(answer) {
      timeBytes.set(new Uint8Array((answer as Uint8Array).buffer, (answer as Uint8Array).byteOffset, 8));
      tripsUs[pairs] = (performance.now() - (time[0] as number)) * 1_000;
      pairs += 1;
      return true;
    },
    bufferedBytes: () => 0,
    close() {},
  };
  for (const end of ends) end.open(socket);
  await new Promise((resolve) => setTimeout(resolve, 200));
  const [own, others] = [sum(process.cpuUsage()), await ownerCpu()];
  const begun = performance.now();
  let sent = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const now = performance.now();
      const due = Math.min(
        Math.floor(((now - begun) * ends.length) / FRAME_MS),
        (HOLD_MS * ends.length) / FRAME_MS,
      );
      time[0] = now;
      message.set(timeBytes, 0);
      for (; sent < due; sent++) (ends[sent % ends.length] as SocketEnd).message(message, false);
      if (now - begun < HOLD_MS) return;
      clearInterval(timer);
      resolve();
    }, 1);
  });
  const relayUs = sum(process.cpuUsage()) - own;
  const ownerUs = (await ownerCpu()) - others;
  await new Promise((resolve) => setTimeout(resolve, 200));
  return { pairs, sent, relayUs, ownerUs, tripsUs: tripsUs.subarray(0, pairs).sort() };
}

/** What serves a socket here: answers at once. */
function localEcho(): SocketEnd {
  const answer = new Uint8Array(270);
  let socket: EndSocket | undefined;
  return {
    open(opened) {
      socket = opened;
    },
    message(message) {
      answer.set((message as Uint8Array).subarray(0, 12));
      socket?.send(answer);
    },
    drained() {},
    closed() {},
    failed() {},
    leave() {},
  };
}

function rowOf(calls: number, rounds: readonly Round[]): Row {
  const of = (figure: (round: Round) => number) => median(rounds.map(figure));
  return {
    calls,
    relayUsPerPair: of(({ relayUs, pairs }) => relayUs / pairs),
    ownerUsPerPair: of(({ ownerUs, pairs }) => ownerUs / pairs),
    roundTripP50Us: of(({ tripsUs }) => tripsUs[tripsUs.length >> 1] as number),
    roundTripP99Us: of(({ tripsUs }) => tripsUs[Math.floor(tripsUs.length * 0.99)] as number),
    missing: rounds.reduce((missing, { sent, pairs }) => missing + sent - pairs, 0),
  };
}

function sum({ user, system }: NodeJS.CpuUsage): number {
  return user + system;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] as number;
}
