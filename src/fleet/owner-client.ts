import { GatewayError } from '../errors.js';
import type { Cluster } from './cluster.js';
import type { CallFacts, RedisCallRegistry } from './redis-call-registry.js';

/** Sends requests to the node that holds a call. */
export class OwnerClient {
  constructor(
    private readonly redisCalls: RedisCallRegistry,
    private readonly cluster: Cluster,
  ) {}

  /**
   * The node's answer; `undefined` while the call is between two nodes.
   * @throws GatewayError `GW_CALL_UNKNOWN` (404), `GW_REGISTRY_DOWN`, `GW_REGISTRY_ERROR` (503), and the
   *   other node's errors
   */
  async request(
    callId: string,
    what: string,
    about: Record<string, unknown>,
    withinMs?: number,
  ): Promise<{ facts: CallFacts; answer: unknown }> {
    const entry = await this.redisCalls.read(callId);
    if (entry?.facts === undefined || entry.state === 'ended') {
      throw new GatewayError(
        'GW_CALL_UNKNOWN',
        `Expected the id of a known call but received ${JSON.stringify(callId)}`,
      );
    }
    const { facts, node } = entry;
    if (node === this.cluster.self) return { facts, answer: undefined };
    try {
      return { facts, answer: await this.cluster.request(node, what, { callId, ...about }, withinMs) };
    } catch (error) {
      const code = error instanceof GatewayError ? error.code : undefined;
      if (code === 'GW_NODE_GONE' || code === 'GW_CALL_UNKNOWN') return { facts, answer: undefined };
      throw error;
    }
  }

  /**
   * Like {@link request}, for operations that need the node that holds the call.
   * @throws GatewayError also `GW_CALL_MOVING` (409) while the call is between two nodes
   */
  async requireOwner(
    callId: string,
    what: string,
    about: Record<string, unknown>,
    withinMs?: number,
  ): Promise<unknown> {
    const { answer } = await this.request(callId, what, about, withinMs);
    if (answer !== undefined) return answer;
    const message = `Call ${callId} is moving to another node; retry in a second`;
    throw new GatewayError('GW_CALL_MOVING', message);
  }
}
