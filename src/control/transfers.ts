import type { Bridge } from '../bridge/bridge.js';
import type { Admission } from '../calls/decision.js';
import type { Session } from '../calls/session.js';
import { GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import type { TwilioRest } from '../twilio/rest.js';
import { createVerbsTwiml } from '../twilio/verbs.js';
import type { Transferred } from './controls.js';
import { endedCall } from './ended-call.js';
import type { RequestOf } from './requests.js';

type Place = Pick<Admission, 'room' | 'streamCall'>;

/** Sends callers elsewhere: to somebody Twilio dials, or to another room. */
export class Transfers {
  private readonly underWay = new Set<Session>();

  constructor(
    private readonly bridge: Bridge,
    private readonly rest: TwilioRest | undefined,
    private readonly log: Logger,
  ) {}

  /** Whether it is not known yet where the caller is going to be. */
  isUnderWay(session: Session): boolean {
    return this.underWay.has(session);
  }

  /** @throws GatewayError as `Controls.transfer` says; the call then stays where it is */
  async perform(session: Session, request: RequestOf<'transfer'>): Promise<Transferred> {
    if (this.underWay.has(session)) {
      const message = 'Expected one transfer of a call at a time but received another';
      throw new GatewayError('GW_TRANSFER_UNDER_WAY', message);
    }
    this.underWay.add(session);
    try {
      return await this.go(session, request);
    } finally {
      this.underWay.delete(session);
    }
  }

  private async go(session: Session, request: RequestOf<'transfer'>): Promise<Transferred> {
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
  private async dial(session: Session, dial: string, request: RequestOf<'transfer'>): Promise<void> {
    const { rest } = this;
    const { callId, callSid } = session.call;
    const { callerId, ringSeconds, limitSeconds } = request;
    const verb = {
      dial,
      ...(callerId === undefined ? {} : { callerId }),
      ...(ringSeconds === undefined ? {} : { ringSeconds }),
      ...(limitSeconds === undefined ? {} : { limitSeconds }),
    };
    const twiml = createVerbsTwiml([verb]);
    if (session.redirectTo(twiml)) return;
    if (rest === undefined || callSid === undefined) {
      const message = 'Expected TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN for a transfer but received none';
      throw new GatewayError('GW_TRANSFER_IMPOSSIBLE', message);
    }
    try {
      await session.endAfterRedirect(rest.redirect(callSid, twiml));
    } catch (error) {
      // Twilio refuses what has ended meanwhile.
      throw session.call.state === 'ended' ? endedCall(callId) : error;
    }
    // Whoever hung up meanwhile did so at Twilio too.
    if (session.call.endCause === 'hangup') throw endedCall(callId);
  }

  /** Another room has the caller, or none: whoever is on the phone stays where he is until then. */
  private async move(session: Session, place: Place): Promise<void> {
    if (place.streamCall !== undefined && this.bridge.name === 'local') {
      const message = 'Expected the Stream bridge for a transfer to a Stream call but received local rooms';
      throw new GatewayError('GW_BRIDGE_NOT_STREAM', message);
    }
    try {
      await session.moveTo(place);
    } catch (error) {
      if (error instanceof GatewayError && error.status < 500) throw error;
      this.log.warn({ callId: session.call.callId, err: error }, 'a bridge did not take a transfer');
      const known = error instanceof GatewayError;
      const message = known ? error.message : 'Expected the bridge to take a transfer but received an error';
      throw new GatewayError(known ? error.code : 'GW_TRANSFER_FAILED', message, { status: 502 });
    }
  }
}

function placeOf(room: string | undefined, stream: RequestOf<'transfer'>['stream']): Place {
  if (room !== undefined) return { room };
  const { type, id } = stream as NonNullable<typeof stream>;
  return { streamCall: { id, ...(type === undefined ? {} : { type }) } };
}
