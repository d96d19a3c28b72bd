import type { Bridge, BridgeLeg, PhoneLine } from '../bridge/bridge.js';
import type { EndCause } from '../calls/call.js';
import { GatewayError } from '../errors.js';
import type { Logger } from '../telemetry/log.js';
import type { Stamp } from '../telemetry/stamp.js';
import type { CallDecision, PhoneCall } from './decision.js';
import {
  type MediaStreamOptions,
  type StreamEnd,
  type StreamStart,
  TwilioMediaStream,
} from './media-stream.js';

/** Longest time the hook may take: Twilio waits fifteen seconds for a webhook's answer. */
const DECISION_TIMEOUT_MS = 10_000;

/** How a WebSocket is closed for each way a call may end. */
const CLOSE_CODES: Partial<Record<EndCause, [code: number, reason: string]>> = {
  drain: [1001, 'going away'],
  protocol: [1008, 'protocol violation'],
  failed: [1011, 'internal error'],
  internal: [1011, 'internal error'],
};

const END_CAUSES: Record<StreamEnd, EndCause> = {
  stop: 'stop',
  'socket-closed': 'socket-closed',
  protocol: 'protocol',
  closed: 'hangup',
};

export interface SessionOptions {
  readonly bridge: Bridge;
  readonly log: Logger;
  /** The room of a call whose hook named none. */
  readonly defaultRoom: (call: PhoneCall) => string;
  /** The only account whose streams are taken; any where absent. */
  readonly accountSid: string | undefined;
  readonly stream: Pick<MediaStreamOptions, 'leadMs' | 'latencies'>;
}

/**
 * One call's parts held together: its entry in the registry, its media stream, its bridge leg. When the call
 * ends, from whichever side, all of them are freed.
 */
export class Session implements PhoneLine {
  readonly stream: TwilioMediaStream;
  /** What the hook decided; rejects where it failed. */
  readonly decided: Promise<CallDecision>;
  private leg: BridgeLeg | undefined;

  constructor(
    readonly call: PhoneCall,
    private readonly options: SessionOptions,
  ) {
    this.stream = new TwilioMediaStream({
      ...options.stream,
      checkStart: (start) => this.checkStart(start),
    });
    this.stream.on('start', () => call.goLive());
    this.stream.on('dtmf', (digit) => this.leg?.dtmf(digit));
    this.stream.on('end', (end, reason) => {
      if (end === 'protocol') options.log.warn({ callId: call.callId, reason }, 'stream ended');
      call.end(END_CAUSES[end]);
    });
    const leaving = new AbortController();
    call.onEnd((cause) => {
      leaving.abort();
      this.leg?.close();
      this.leg = undefined;
      this.stream.close(...(CLOSE_CODES[cause] ?? [1000, '']));
    });
    this.decided = this.decide();
    // The leg is joined while the phone still rings, so that nobody's first word is lost.
    this.join(leaving.signal).catch((error) => {
      if (call.state === 'ended') return;
      options.log.error({ callId: call.callId, err: error }, 'the call could not be joined to the bridge');
      call.end('failed');
    });
  }

  write(frame: Int16Array, stamp: Stamp): void {
    this.stream.play(frame, stamp);
  }

  clear(): void {
    this.stream.clear();
  }

  hangUp(): void {
    this.call.end('bridge');
  }

  private async decide(): Promise<CallDecision> {
    return (await withTimeout(DECISION_TIMEOUT_MS, this.call.awaitPrepare())) ?? {};
  }

  private async join(signal: AbortSignal): Promise<void> {
    const decision = await this.decided;
    if ('refuse' in decision || signal.aborted) return;
    const { callId } = this.call;
    const leg = await this.options.bridge.join(
      {
        callId,
        room: decision.room ?? this.options.defaultRoom(this.call),
        ...(decision.user === undefined ? {} : { user: decision.user }),
        signal,
      },
      this,
    );
    if (signal.aborted) {
      leg.close();
      return;
    }
    this.leg = leg;
    this.stream.connect(leg);
  }

  /** A stream may only carry the call its URL was made for. */
  private checkStart(start: StreamStart): string | undefined {
    const { call } = this;
    if (call.callSid !== undefined && start.callSid !== call.callSid) {
      return `Expected the start of ${call.callSid} but received another CallSid`;
    }
    const accountSid = call.accountSid ?? this.options.accountSid;
    if (accountSid !== undefined && start.accountSid !== accountSid) {
      return `Expected a start from ${accountSid} but received another AccountSid`;
    }
    return undefined;
  }
}

async function withTimeout<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new GatewayError('GW_PREPARE_TIMEOUT', `Expected prepareCall to decide within ${ms} ms`)),
      ms,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
