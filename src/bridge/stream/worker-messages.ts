import type { Departure, MutedBy, ParticipantRequest } from './participant.js';

/** Messages of the gateway to a media worker, over the child process's channel. Audio has a separate pipe. */
export type ToWorker =
  | { readonly type: 'join'; readonly leg: number; readonly request: ParticipantRequest }
  | { readonly type: 'appear'; readonly leg: number }
  | { readonly type: 'leave'; readonly leg: number }
  | { readonly type: 'tones'; readonly leg: number; readonly digits: string }
  | { readonly type: 'mute'; readonly leg: number; readonly isMuted: boolean }
  | { readonly type: 'clear'; readonly leg: number }
  | { readonly type: 'programs'; readonly leg: number; readonly userIds: readonly string[] }
  | { readonly type: 'hush'; readonly leg: number; readonly userId: string; readonly ms: number }
  | {
      readonly type: 'token';
      readonly leg: number;
      readonly id: number;
      readonly token?: string;
      readonly error?: string;
    }
  | { readonly type: 'ping' }
  /** Leave all calls and exit. */
  | { readonly type: 'end' };

/** Messages of a media worker to the gateway. */
export type FromWorker =
  /** It can carry legs, on this WebRTC; with the reason why it is not a better one. */
  | { readonly type: 'ready'; readonly stack: string; readonly reason?: string | undefined }
  /** A description asks for what its WebRTC cannot do. */
  | { readonly type: 'unfit'; readonly reason: string }
  | { readonly type: 'prepared'; readonly leg: number }
  | { readonly type: 'joined'; readonly leg: number }
  | { readonly type: 'others'; readonly leg: number; readonly count: number }
  | {
      readonly type: 'muted';
      readonly leg: number;
      readonly isMuted: boolean;
      readonly by: MutedBy;
      readonly userId?: string | undefined;
    }
  | {
      readonly type: 'event';
      readonly leg: number;
      readonly custom: unknown;
      readonly userId: string;
      readonly role: string;
    }
  | {
      readonly type: 'departed';
      readonly leg: number;
      readonly departure: Departure;
      readonly reason: string;
    }
  | { readonly type: 'tonesRefused'; readonly leg: number; readonly message: string }
  | { readonly type: 'left'; readonly leg: number }
  | { readonly type: 'token'; readonly leg: number; readonly id: number }
  | ({ readonly type: 'pong' } & WorkerVitals)
  | { readonly type: 'fault'; readonly message: string };

/** State of a worker. */
export interface WorkerVitals {
  /** Resident memory in bytes. */
  readonly rss: number;
  /** CPU time so far, and 90th percentile of the timer delay in the last second, both in milliseconds. */
  readonly cpuMs: number;
  readonly lateMs: number;
  /** Frames dropped since its start: from bursts of phones, or not read by the gateway. */
  readonly dropped: number;
}
