import { IceCandidate, RTCIceGatherer, RTCIceParameters, RTCIceTransport } from 'werift';
import type { AgentSide } from './agent-side.js';

/** ICE of werift. */
export class WeriftSide {
  readonly transport: RTCIceTransport;
  readonly states: string[] = [];
  readonly received: string[] = [];

  constructor(
    private readonly other: AgentSide,
    options: ConstructorParameters<typeof RTCIceGatherer>[0] = {},
  ) {
    this.transport = new RTCIceTransport(new RTCIceGatherer(options));
    this.transport.onStateChange.subscribe((state) => this.states.push(state));
    this.transport.connection.onData.subscribe((datagram) => this.received.push(datagram.toString('latin1')));
    other.trickle = (candidate) => {
      if (candidate === undefined) {
        void this.transport.addRemoteCandidate(undefined);
        return;
      }
      const { component, foundation, address, port, priority, transport, type } = candidate;
      void this.transport.addRemoteCandidate(
        new IceCandidate(component, foundation, address, port, priority, transport, type),
      );
    };
  }

  /** Has both sides begin. @param isControlling whether werift controls */
  async start(isControlling: boolean): Promise<void> {
    const { agent } = this.other;
    const { transport } = this;
    transport.connection.iceControlling = isControlling;
    await transport.gather();
    transport.setRemoteParams(
      new RTCIceParameters({
        iceLite: false,
        usernameFragment: agent.local.ufrag,
        password: agent.local.pwd,
      }),
    );
    const { usernameFragment, password, iceLite } = transport.localParameters;
    agent.setRemote({ ufrag: usernameFragment, pwd: password, isLite: iceLite });
    agent.gather();
    for (const { foundation, component, protocol, priority, ip, port, type } of transport.localCandidates) {
      const candidate = {
        foundation,
        component,
        transport: protocol,
        priority,
        address: ip,
        port,
        type,
      };
      agent.addRemoteCandidate(candidate as Parameters<typeof agent.addRemoteCandidate>[0]);
    }
    agent.addRemoteCandidate(undefined);
    await transport.start();
  }
}
