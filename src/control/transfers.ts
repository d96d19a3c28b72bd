import type { Bridge } from '../bridge/bridge.js';
import type { Admission } from '../calls/decision.js';
import type { Session } from '../calls/session.js';
import { GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import type { TwilioRest } from '../twilio/rest.js';
import { createVerbsTwiml } from '../twilio/verbs.js';
import type { TransferRequest, Transferred } from './requests.js';

type Place = Pick<Admission, 'room' | 'streamCall'>;

/** Moves a call to another room. @throws GatewayError as `Session.moveTo` */
export type MoveCall = (session: Session, place: Place) => Promise<void>;

export function callEnded(callId: string): GatewayError {
  return new GatewayError('GW_CALL_ENDED', `Call ${callId} has already ended`);
}

/** Sends callers elsewhere: to somebody Twilio dials, or to another room. */
export class Transfers {
  private readonly underWay = new Set<Session>();

  constructor(
    private readonly bridge: Bridge,
    private readonly rest: TwilioRest | undefined,
    private readonly log: Logger,
    /** Moves a call to another room; it may hand the call over to the worker that has the room. */
    private readonly moveTo: MoveCall,
  ) {}

  /** Whether a transfer of this call has not finished. */
  isUnderWay(session: Session): boolean {
    return this.underWay.has(session);
  }

  /** @throws GatewayError as `Controls.transfer`; the call then stays where it is */
  async perform(session: Session, request: TransferRequest): Promise<Transferred> {
    if (this.underWay.has(session)) {
      throw new GatewayError(
        'GW_TRANSFER_UNDER_WAY',
        `Call ${session.call.callId} is already being transferred`,
      );
    }
    this.underWay.add(session);
    try {
      return await this.send(session, request);
    } finally {
      this.underWay.delete(session);
    }
  }

  private async send(session: Session, request: TransferRequest): Promise<Transferred> {
    const { callId } = session.call;
    const { number, sip, room, stream } = request;
    const dial = number ?? sip;
    if (dial !== undefined) {
      await this.dial(session, dial, request);
      return { callId, to: number === undefined ? 'sip' : 'number' };
    }
    await this.move(session, placeOf(room, stream));
    return { callId, to: room === undefined ? 'stream' : 'room', room: session.room };
  }

  /** Has Twilio connect the caller with somebody else. */
  private async dial(session: Session, dial: string, request: TransferRequest): Promise<void> {
    const { rest } = this;
    const { callId, callSid } = session.call;
    const { callerId, ringSeconds, limitSeconds } = request;
    const twiml = createVerbsTwiml([{ dial, ...present({ callerId, ringSeconds, limitSeconds }) }]);
    if (session.redirectTo(twiml)) return;
    if (rest === undefined || callSid === undefined) {
      const message = 'Transfers to a number or SIP address need TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN';
      throw new GatewayError('GW_TRANSFER_IMPOSSIBLE', message);
    }
    try {
      await session.endAfterRedirect(rest.redirect(callSid, twiml));
    } catch (error) {
      // Twilio rejects a transfer of a call that has ended.
      throw session.call.state === 'ended' ? callEnded(callId) : error;
    }
    // The caller hung up before Twilio took the transfer.
    if (session.call.endCause === 'hangup') throw callEnded(callId);
  }

  /** Moves the caller to another room; the caller stays in the old one until the new one takes over. */
  private async move(session: Session, place: Place): Promise<void> {
    if (place.streamCall !== undefined && this.bridge.name === 'local') {
      const message = 'Cannot transfer to a Stream call: the bridge is local';
      throw new GatewayError('GW_BRIDGE_NOT_STREAM', message);
    }
    try {
      await this.moveTo(session, place);
    } catch (error) {
      if (error instanceof GatewayError && error.status < 500) throw error;
      this.log.warn({ callId: session.call.callId, err: error }, 'the bridge did not take the call');
      if (error instanceof GatewayError) throw error;
      throw new GatewayError(
        'GW_TRANSFER_FAILED',
        'The bridge did not take the call; the log has the reason',
      );
    }
  }
}

function placeOf(room: string | undefined, stream: TransferRequest['stream']): Place {
  if (room !== undefined) return { room };
  const { type, id } = stream as NonNullable<typeof stream>;
  return { streamCall: { id, ...present({ type }) } };
}

/** The fields that are not undefined. */
function present<T extends object>(of: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(of).filter(([, value]) => value !== undefined)) as never;
}
