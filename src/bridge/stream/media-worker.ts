import { Socket } from 'node:net';
import { systemClock } from '../../clock.js';
import { EventLoopDelay } from '../../telemetry/event-loop-delay.js';
import { FramePipe } from './frame-pipe.js';
import { makeBlockClock, Participant, type ParticipantListener } from './participant.js';
import { chooseStack } from './stack.js';
import type { StackChoice } from './stack-choice.js';
import type { FromWorker, ToWorker, WorkerVitals } from './worker-messages.js';

/**
 * The process of a media worker: it runs the participants of Stream calls, one per leg. It holds no secret; the gateway
 * creates its tokens. A crash of WebRTC's native code takes down these legs only, and no phone call.
 */

/** File descriptor of the pipe for frames. */
const FRAME_FD = 3;

interface Seat {
  readonly participant: Participant;
  readonly tokens: Map<number, { resolve(token: string): void; reject(error: Error): void }>;
}

const { stack, reason } = chooseStack(process.argv[2] as StackChoice);
const blockClock = makeBlockClock(systemClock);
const lateness = new EventLoopDelay(systemClock);
lateness.start();
const seats = new Map<number, Seat>();
let tokenRequests = 0;
let droppedByPast = 0;

const pipe = new FramePipe(new Socket({ fd: FRAME_FD }), (leg, frame, stamp) =>
  seats.get(leg)?.participant.write(frame, stamp),
);

function send(message: FromWorker): void {
  if (process.connected) process.send?.(message, undefined, {}, () => {});
}

function join(leg: number, request: Extract<ToWorker, { type: 'join' }>['request']): void {
  const tokens: Seat['tokens'] = new Map();
  const listener: ParticipantListener = {
    write: (frame, stamp, loudness) => pipe.write(leg, frame, stamp, loudness),
    token: () =>
      new Promise((resolve, reject) => {
        // The gateway does not answer for a released leg.
        if (seats.get(leg)?.tokens !== tokens) {
          reject(new Error('the leg is leaving'));
          return;
        }
        const id = ++tokenRequests;
        tokens.set(id, { resolve, reject });
        send({ type: 'token', leg, id });
      }),
    prepared: () => send({ type: 'prepared', leg }),
    joined: () => send({ type: 'joined', leg }),
    others: (count) => send({ type: 'others', leg, count }),
    muted: (isMuted, by, userId) => send({ type: 'muted', leg, isMuted, by, userId }),
    event: (custom, userId, role) => send({ type: 'event', leg, custom, userId, role }),
    tonesRefused: (message) => send({ type: 'tonesRefused', leg, message }),
    departed: (departure, reason) => {
      // Frames have a separate pipe; earlier ones must arrive first.
      pipe.end(leg);
      send({ type: 'departed', leg, departure, reason });
      void leave(leg);
    },
  };
  const participant = new Participant(stack, request, listener, blockClock);
  seats.set(leg, { participant, tokens });
  void participant.join();
}

/** Legs that are leaving; the worker waits for them before it exits. */
const leavings = new Set<Promise<void>>();

function leave(leg: number): Promise<void> {
  const leaving = vacate(leg).finally(() => leavings.delete(leaving));
  leavings.add(leaving);
  return leaving;
}

async function vacate(leg: number): Promise<void> {
  const seat = seats.get(leg);
  if (seat === undefined) return;
  seats.delete(leg);
  for (const { reject } of seat.tokens.values()) reject(new Error('the leg is leaving'));
  await seat.participant.leave();
  droppedByPast += seat.participant.microphone.dropped;
  send({ type: 'left', leg });
}

async function end(): Promise<void> {
  for (const leg of [...seats.keys()]) void leave(leg);
  await Promise.all(leavings);
  pipe.close();
  process.exit();
}

function dropped(): number {
  let total = droppedByPast + pipe.dropped;
  for (const { participant } of seats.values()) total += participant.microphone.dropped;
  return total;
}

function vitals(): WorkerVitals {
  const { user, system } = process.cpuUsage();
  return {
    rss: process.memoryUsage.rss(),
    cpuMs: Math.round((user + system) / 1_000),
    lateMs: Math.round(lateness.recentMs),
    dropped: dropped(),
  };
}

function answerToken(message: Extract<ToWorker, { type: 'token' }>): void {
  const { leg, id, token, error } = message;
  const tokens = seats.get(leg)?.tokens;
  const request = tokens?.get(id);
  tokens?.delete(id);
  if (token === undefined) request?.reject(new Error(error ?? 'no token'));
  else request?.resolve(token);
}

process.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'join':
      join(message.leg, message.request);
      break;
    case 'appear':
      seats.get(message.leg)?.participant.appear();
      break;
    case 'leave':
      void leave(message.leg);
      break;
    case 'tones':
      seats.get(message.leg)?.participant.playTones(message.digits);
      break;
    case 'mute':
      seats.get(message.leg)?.participant.mute(message.isMuted);
      break;
    case 'clear':
      seats.get(message.leg)?.participant.clear();
      break;
    case 'programs':
      seats.get(message.leg)?.participant.followPrograms(message.userIds);
      break;
    case 'hush':
      seats.get(message.leg)?.participant.hush(message.userId, message.ms);
      break;
    case 'token':
      answerToken(message);
      break;
    case 'ping':
      send({ type: 'pong', ...vitals() });
      break;
    case 'end':
      void end();
      break;
  }
});
// Without its gateway a worker has no purpose.
process.on('disconnect', () => void end());
// A terminal's signals reach the whole process group; the gateway decides when calls end.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP', 'SIGUSR1']) process.on(signal, () => {});
// An unhandled rejection in the Stream client must not end the other calls of this worker.
process.on('unhandledRejection', (reason) =>
  send({
    type: 'fault',
    message: reason instanceof Error ? (reason.stack ?? reason.message) : String(reason),
  }),
);

// Loading takes most of a second; a spare worker has done it before a call needs it.
try {
  stack.installGlobals();
} catch (error) {
  // Either would do: whoever reads this may prefer to mend the better one.
  if (reason !== undefined) console.error(`The lean stack does not load either: ${reason}`);
  throw error;
}
stack.onUnfit?.((reason) => send({ type: 'unfit', reason }));
await import('@stream-io/video-client');
send({ type: 'ready', stack: stack.name, reason });
