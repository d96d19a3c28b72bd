import type { Clock } from '../clock.js';
import type { Logger } from '../telemetry/log.js';
import { type CallWebhookInput, isFinalStatus } from '../twilio/webhook.js';
import type { CallDecision, PhoneCall } from './decision.js';
import type { HistoryEntry } from './history.js';
import type { TwilioCallRegistry } from './registry.js';

/** Kind of Twilio callback: call status, stream status, or answering machine detection. */
export type CallbackKind = 'status' | 'stream-status' | 'amd';
export const CALLBACK_KINDS: readonly CallbackKind[] = ['status', 'stream-status', 'amd'];

/** Handles Twilio's callbacks for the calls of one gateway. */
export class Callbacks {
  constructor(
    private readonly registry: TwilioCallRegistry<CallDecision | undefined>,
    private readonly log: Logger,
    private readonly onAnsweredBy: (call: PhoneCall, answeredBy: string, afterMs: number | undefined) => void,
    private readonly clock: Clock,
  ) {}

  /**
   * Handles a callback. A final status ends the call, or frees one that was never answered.
   * @param callId set for calls we placed, because a callback may arrive before Twilio's response to our
   *   request
   * @returns whether this gateway knows the call
   */
  handle(kind: CallbackKind, input: CallWebhookInput, callId: string | undefined): boolean {
    const call =
      this.registry.getBySid(input.callSid) ?? (callId === undefined ? undefined : this.registry.get(callId));
    const isKnown = call !== undefined && (call.callSid ?? input.callSid) === input.callSid;
    if (kind === 'stream-status') this.logStream(input, isKnown ? call.callId : undefined);
    if (!isKnown) return false;
    switch (kind) {
      case 'status':
        this.noteStatus(call, input);
        return true;
      case 'stream-status':
        call.history.add({
          ...entryOf('stream', input, input.get('StreamEvent') ?? '', this.clock),
          ...streamOf(input),
        });
        return true;
      case 'amd':
        this.noteAnsweredBy(call, input);
        return true;
    }
  }

  private noteStatus(call: PhoneCall, input: CallWebhookInput): void {
    const { callStatus, sequenceNumber } = input;
    call.noteStatus(callStatus, sequenceNumber);
    const sequence = sequenceNumber === undefined ? {} : { sequence: sequenceNumber };
    call.history.add({ ...entryOf('status', input, callStatus, this.clock), ...sequence });
    if (isFinalStatus(callStatus)) call.end('status');
  }

  private noteAnsweredBy(call: PhoneCall, input: CallWebhookInput): void {
    const { answeredBy } = input;
    if (answeredBy === undefined) return;
    const isNew = call.history.add(entryOf('amd', input, answeredBy, this.clock));
    if (!isNew) return;
    call.answeredBy = answeredBy;
    const afterMs = Number(input.get('MachineDetectionDuration') ?? Number.NaN);
    this.onAnsweredBy(call, answeredBy, Number.isFinite(afterMs) ? afterMs : undefined);
  }

  /** Twilio reports a failed handshake nowhere else. */
  private logStream(input: CallWebhookInput, callId: string | undefined): void {
    const event = input.get('StreamEvent');
    const error = input.get('StreamError');
    if (error === undefined) this.log.debug({ callId, event }, 'stream status');
    else this.log.warn({ callId, event, error }, 'Twilio failed to stream');
  }
}

function entryOf(
  source: HistoryEntry['source'],
  input: CallWebhookInput,
  event: string,
  clock: Clock,
): HistoryEntry {
  const at = Date.parse(input.get('Timestamp') ?? '');
  return {
    at: (Number.isNaN(at) ? clock.date() : new Date(at)).toISOString(),
    source,
    event: event.slice(0, 64),
  };
}

function streamOf(input: CallWebhookInput): Pick<HistoryEntry, 'streamSid' | 'error'> {
  const streamSid = input.get('StreamSid');
  const error = input.get('StreamError');
  return {
    ...(streamSid === undefined ? {} : { streamSid: streamSid.slice(0, 64) }),
    ...(error === undefined ? {} : { error: error.slice(0, 512) }),
  };
}
