import { ago, latency, share } from './figures.js';
import { reasonOf } from './words.js';

/**
 * What is wrong with the node now, the worst first: the conditions of the alert rules, on what this node knows.
 * @param {object} round as `/v1/live` sends it
 * @param {number} droppedShare of the last minute's audio, 0 to 1
 * @returns {{ tile?: string, level: 'bad' | 'warn', text: string }[]}
 */
export function alarmsOf(round, droppedShare) {
  const { at, closure, refused, refusedAt, calls, maxCalls, gateway, ended, limits, registry, nodes } = round;
  const alarms = [];
  const add = (level, tile, text) => alarms.push({ level, tile, text });
  if (registry === 'down')
    add('bad', undefined, 'The registry (Redis) is down: new calls are answered busy.');
  if (closure === 'draining')
    add('warn', 'admission', 'This node is shutting down and accepts no new calls.');
  else if (closure !== null)
    add('bad', 'admission', `New calls are answered busy because ${reasonOf(closure)}.`);
  for (const [reason, count] of Object.entries(refused)) {
    const since = at - (refusedAt[reason] ?? 0);
    if (reason === 'draining' || since > limits.refusedMs) continue;
    const callers = count === 1 ? '1 call was' : `${count} calls were`;
    add(
      'bad',
      'admission',
      `${callers} answered busy because ${reasonOf(reason)}, the latest ${ago(since)} ago.`,
    );
  }
  if (closure !== 'full' && calls > limits.capacityShare * maxCalls) {
    add('warn', 'calls', `${calls} of ${maxCalls} places for calls are taken (${share(calls / maxCalls)}).`);
  }
  if ((gateway.p99Us ?? 0) > limits.latencyP99Us) {
    add(
      'warn',
      'p99',
      `One frame in a hundred takes more than ${latency(gateway.p99Us)} through the gateway.`,
    );
  }
  if (droppedShare > limits.droppedShare) {
    add('warn', 'dropped', `${share(droppedShare)} of the last minute's audio was dropped.`);
  }
  if (ended.serverFailures > limits.serverFailureShare * ended.recent) {
    add(
      'bad',
      undefined,
      `${ended.serverFailures} of ${ended.recent} calls of the last ten minutes ended by a fault of the gateway.`,
    );
  }
  if (ended.stuck > limits.stuckCalls) {
    add('warn', undefined, `${ended.stuck} calls went silent in the last quarter of an hour and were ended.`);
  }
  if (nodes.length === limits.loneNodes) {
    add('warn', undefined, 'No other node is in the registry: nobody could take over the calls of this one.');
  }
  const [loop, cpu] = [round.loopDelayMs / limits.maxLoopDelayMs, round.cpuPercent / limits.maxCpuPercent];
  // New calls are accepted again below this share of a limit.
  if (limits.maxLoopDelayMs > 0 && loop > limits.capacityShare)
    add('warn', 'loop', 'The event loop is almost too late for new calls.');
  if (limits.maxCpuPercent > 0 && cpu > limits.capacityShare)
    add('warn', 'cpu', 'The CPU is almost too busy for new calls.');
  return alarms.sort((a, b) => (a.level < b.level ? -1 : a.level > b.level ? 1 : 0));
}
