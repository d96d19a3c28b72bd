import type { Faults } from './faults.js';
import type { ImpairmentOptions } from './impairment.js';
import type { NetworkOptions } from './network.js';
import type { RequestFailure } from './rest-faults.js';
import type { IceServer, SfuFailure } from './sfu.js';

/** The arguments of all faults, by name, as they come over HTTP. */
interface FaultRequest extends Partial<SfuFailure>, ImpairmentOptions, NetworkOptions {
  readonly fault?: string;
  readonly userId?: string;
  readonly cid?: string;
  readonly side?: 'publisher' | 'subscriber';
  readonly ms?: number;
  readonly times?: number;
  readonly on?: boolean;
  readonly path?: string;
  readonly iceServers?: readonly IceServer[];
}

/** Everything that a test may ask of a double, except its state. */
type FaultName = Exclude<keyof Faults, 'apiKey' | 'apiSecret' | 'calls' | 'user'>;

const CALLS: { readonly [Name in FaultName]: (faults: Faults, request: FaultRequest) => void } = {
  dropSfuSocket: (faults, request) => faults.dropSfuSocket(needed(request, 'userId')),
  goAway: (faults, request) => faults.goAway(needed(request, 'userId')),
  iceRestart: (faults, request) => faults.iceRestart(needed(request, 'userId'), needed(request, 'side')),
  sfuError: (faults, request) => faults.sfuError(needed(request, 'userId'), request as SfuFailure),
  silenceMedia: (faults, request) => faults.silenceMedia(needed(request, 'userId'), request.side),
  closeMedia: (faults, request) => faults.closeMedia(needed(request, 'userId')),
  slowJoin: (faults, request) => faults.slowJoin(needed(request, 'ms'), request.times),
  failNext: (faults, request) =>
    faults.failNext({ ...request, path: needed(request, 'path') } as RequestFailure),
  sfuFull: (faults, request) => faults.sfuFull(request.times),
  expireTokens: (faults) => faults.expireTokens(),
  dropCoordinator: (faults) => faults.dropCoordinator(),
  refuseCoordinator: (faults, request) => faults.refuseCoordinator(needed(request, 'on')),
  endCall: (faults, request) => faults.endCall(needed(request, 'cid')),
  kick: (faults, request) => faults.kick(needed(request, 'cid'), needed(request, 'userId')),
  leaveGhost: (faults, request) => faults.leaveGhost(needed(request, 'userId')),
  impair: (faults, request) => faults.impair(request),
  disturb: (faults, request) => faults.disturb(request),
  offerRelays: (faults, request) => faults.offerRelays(needed(request, 'iceServers')),
};

/** Makes the fault happen that a request from another process names. */
export function injectFault(faults: Faults, request: FaultRequest): void {
  const { fault = '' } = request;
  if (!Object.hasOwn(CALLS, fault)) throw new Error(`Expected the name of a fault but received ${fault}`);
  CALLS[fault as FaultName](faults, request);
}

function needed<Field extends keyof FaultRequest>(
  request: FaultRequest,
  field: Field,
): NonNullable<FaultRequest[Field]> {
  const value = request[field];
  if (value === undefined || value === null) throw new Error(`Expected ${field} for ${request.fault}`);
  return value;
}
