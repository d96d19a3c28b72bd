import { EventEmitter } from 'node:events';
import type { Bridge } from '../bridge/bridge.js';
import type { PhoneCall } from '../calls/decision.js';
import type { Session } from '../calls/session.js';
import { GatewayError } from '../errors.js';
import type { MarkEcho } from '../phone/marks.js';
import type { TwilioRest } from '../twilio/rest.js';
import type { PlayResult } from './call-audio.js';
import { Clips } from './clips.js';
import { type ControlContext, ControlledCall, MOVING_CAUSES } from './controlled-call.js';
import { type AnswerOf, type CallControl, checkRequest, type OperationName, perform } from './operations.js';
import { callEnded, type MoveCall, Transfers } from './transfers.js';
import { Uploads } from './uploads.js';

/** Ended calls that are still told apart from unknown ones. */
const MAX_ENDED = 1_000;

export type CallControlServiceOptions = ControlContext['options'] & {
  readonly bridge: Bridge;
  /** Directory of sounds; without it no file can be played. */
  readonly playDir: string | undefined;
  /** Absent if no Twilio account is configured. */
  readonly rest: TwilioRest | undefined;
  /** Moves calls to other rooms. */
  readonly moveTo: MoveCall;
};

interface CallControlEvents {
  /** A requested mark returned. */
  mark: [call: PhoneCall, echo: MarkEcho];
  played: [call: PhoneCall, result: PlayResult];
}

/** Performs operations on the running calls of this process. */
export class CallControlService
  extends EventEmitter<CallControlEvents>
  implements CallControl, ControlContext
{
  readonly clips: Clips;
  readonly transfers: Transfers;
  readonly uploads = new Uploads();
  /** Calls that have met an operation. */
  private readonly controlled = new Map<string, ControlledCall>();
  private readonly ended = new Set<string>();

  constructor(readonly options: CallControlServiceOptions) {
    super();
    const { switchboard, bridge, rest, log } = options;
    this.clips = new Clips(options.playDir);
    this.transfers = new Transfers(bridge, rest, log, options.moveTo);
    switchboard.on('call', ({ callId }) => this.begin(callId));
    switchboard.on('over', ({ call }, cause) => {
      if (!MOVING_CAUSES.has(cause)) this.remember(call.callId);
    });
  }

  /** @throws GatewayError `GW_PLAY_DIR` */
  open(): void {
    this.clips.check();
  }

  /** Whether such a call ended here recently. */
  hasEnded(callId: string): boolean {
    return this.ended.has(callId);
  }

  async control<O extends OperationName>(
    callId: string,
    operation: O,
    request: unknown,
  ): Promise<AnswerOf<O>> {
    const checked = checkRequest(operation, request);
    return perform(operation, this.requireLive(callId), checked);
  }

  /** @throws GatewayError `GW_CALL_UNKNOWN` (404), `GW_CALL_ENDED`, `GW_CALL_NOT_LIVE` (409) */
  requireLive(callId: string): ControlledCall {
    const { switchboard } = this.options;
    if (switchboard.session(callId) === undefined && this.ended.has(callId)) throw callEnded(callId);
    const session = switchboard.requireSession(callId);
    if (session.isLive) return this.controlledCall(session);
    throw new GatewayError('GW_CALL_NOT_LIVE', `Call ${callId} is not live: it is ${session.call.state}`);
  }

  /** The decision's hold and mute apply from the first frame. */
  private begin(callId: string): void {
    const session = this.options.switchboard.session(callId);
    session?.decided.then(
      (decision) => {
        if (session.call.state === 'ended' || 'refuse' in decision) return;
        if (decision.mute === undefined && !decision.hold) return;
        void this.controlledCall(session).apply(decision);
      },
      () => {},
    );
  }

  private controlledCall(session: Session): ControlledCall {
    const { call } = session;
    const known = this.controlled.get(call.callId);
    if (known !== undefined) return known;
    call.onEnd(() => this.controlled.delete(call.callId));
    const made = new ControlledCall(session, this);
    this.controlled.set(call.callId, made);
    return made;
  }

  publishMark(call: PhoneCall, echo: MarkEcho): void {
    this.publish(call, () => this.emit('mark', call, echo));
  }

  publishPlayed(call: PhoneCall, result: PlayResult): void {
    this.uploads.over(result.playId);
    this.publish(call, () => this.emit('played', call, result));
  }

  /** A failing listener must not affect the call, or others on the same frame clock. */
  private publish({ callId }: PhoneCall, emit: () => void): void {
    try {
      emit();
    } catch (error) {
      this.options.log.error({ callId, err: error }, 'a listener of "mark" or "played" failed');
    }
  }

  private remember(callId: string): void {
    this.ended.delete(callId);
    this.ended.add(callId);
    const [oldest] = this.ended;
    if (this.ended.size > MAX_ENDED && oldest !== undefined) this.ended.delete(oldest);
  }
}
