import type { Departure, MutedBy, ParticipantRequest } from './participant.js';

/** What the gateway tells a media worker, over the channel of its child process. Audio goes another way. */
export type ToWorker =
  | { readonly type: 'join'; readonly leg: number; readonly request: ParticipantRequest }
  | { readonly type: 'appear'; readonly leg: number }
  | { readonly type: 'leave'; readonly leg: number }
  | { readonly type: 'tones'; readonly leg: number; readonly digits: string }
  | { readonly type: 'mute'; readonly leg: number; readonly isMuted: boolean }
  | {
      readonly type: 'token';
      readonly leg: number;
      readonly id: number;
      readonly token?: string;
      readonly error?: string;
    }
  | { readonly type: 'ping' }
  /** Nobody needs it any more: it leaves what it is in and ends. */
  | { readonly type: 'end' };

/** What a media worker tells the gateway. */
export type FromWorker =
  | { readonly type: 'ready' }
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

/** How a worker is. */
export interface WorkerVitals {
  /** Resident memory in bytes. */
  readonly rss: number;
  /** CPU time so far, in milliseconds, and how late nine tenths of the last second's timers were at most. */
  readonly cpuMs: number;
  readonly lateMs: number;
  /** Frames dropped since it began: bursts of phones, and what the gateway did not read. */
  readonly dropped: number;
}
