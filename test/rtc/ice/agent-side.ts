import {
  IceAgent,
  type IceAgentOptions,
  type IceListener,
  type IceState,
} from '../../../src/rtc/ice/ice-agent.js';
import type { IceCandidate } from '../../../src/rtc/ice/ice-candidate.js';

/** An agent, what it told, and whom its candidates go to. */
export class AgentSide implements IceListener {
  readonly agent: IceAgent;
  readonly states: IceState[] = [];
  readonly received: string[] = [];
  readonly candidates: (IceCandidate | undefined)[] = [];
  /** Gets each candidate as it is told. */
  trickle: ((candidate: IceCandidate | undefined) => void) | undefined;

  constructor(options: Omit<IceAgentOptions, 'servers'> & Partial<Pick<IceAgentOptions, 'servers'>>) {
    this.agent = new IceAgent({ servers: [], ...options }, this);
  }

  candidate(candidate: IceCandidate | undefined): void {
    this.candidates.push(candidate);
    this.trickle?.(candidate);
  }

  state(state: IceState): void {
    this.states.push(state);
  }

  data(datagram: Buffer): void {
    this.received.push(datagram.toString('latin1'));
  }
}

/** Exchanges descriptions and candidates as signalling would, at once; both sides gather. */
export function introduce(
  a: AgentSide,
  b: AgentSide,
  who: 'both tell' | 'b alone tells' = 'both tell',
): void {
  a.trickle = (candidate) => {
    if (who === 'both tell') b.agent.addRemoteCandidate(candidate);
  };
  b.trickle = (candidate) => a.agent.addRemoteCandidate(candidate);
  a.agent.setRemote({ ...b.agent.local, isLite: false });
  b.agent.setRemote({ ...a.agent.local, isLite: false });
  a.agent.gather();
  b.agent.gather();
}
