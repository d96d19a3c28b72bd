import type { Switchboard } from '../calls/switchboard.js';
import type { RecordingResult } from '../recording/recording.js';
import {
  checkRecordRequest,
  type RecordingService,
  type RecordingView,
  type RecordRequest,
} from '../recording/recordings.js';
import type { OwnerClient } from './owner-client.js';

/** The other node's disk may be slow. */
const WITHIN_MS = 10_000;

/** Recordings in a fleet: each is made and stored by the node that holds its call. */
export class FleetRecordings implements RecordingService {
  constructor(
    private readonly own: RecordingService,
    private readonly switchboard: Switchboard,
    private readonly owner: OwnerClient,
  ) {}

  async startRecording(callId: string, request: RecordRequest): Promise<RecordingView> {
    if (this.switchboard.has(callId)) return this.own.startRecording(callId, request);
    return (await this.owner.requireOwner(callId, 'startRecording', { request }, WITHIN_MS)) as RecordingView;
  }

  async viewRecording(callId: string): Promise<RecordingView> {
    if (this.switchboard.has(callId)) return this.own.viewRecording(callId);
    return (await this.owner.requireOwner(callId, 'viewRecording', {}, WITHIN_MS)) as RecordingView;
  }

  async stopRecording(callId: string): Promise<RecordingResult> {
    if (this.switchboard.has(callId)) return this.own.stopRecording(callId);
    return (await this.owner.requireOwner(callId, 'stopRecording', {}, WITHIN_MS)) as RecordingResult;
  }

  /** Handles another node's request; `undefined` if it is not about recordings. */
  reply(
    what: string,
    callId: string,
    about: Readonly<Record<string, unknown>>,
  ): Promise<unknown> | undefined {
    switch (what) {
      case 'startRecording':
        return this.own.startRecording(callId, checkRecordRequest(about.request));
      case 'viewRecording':
        return Promise.resolve(this.own.viewRecording(callId));
      case 'stopRecording':
        return this.own.stopRecording(callId);
    }
    return undefined;
  }
}
