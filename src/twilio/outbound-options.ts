import { z } from 'zod';

/**
 * Detects during the call whether a person or a machine has answered. Ranges and defaults are Twilio's:
 * twilio.com/docs/voice/answering-machine-detection#optional-api-tuning-parameters.
 */
export interface MachineDetection {
  /** `Enable` tells as soon as it is known who answered; `DetectMessageEnd` waits for the end of a machine's greeting. */
  readonly mode: 'Enable' | 'DetectMessageEnd';
  /** Seconds to try, 3…59; default 30. */
  readonly timeoutSeconds?: number;
  /** Speech longer than this is a machine's, 1000…6000 ms; default 2400. */
  readonly speechThresholdMs?: number;
  /** Silence that ends speech, 500…5000 ms; default 1200. */
  readonly speechEndThresholdMs?: number;
  /** Silence at the start after which it is given up, 2000…10000 ms; default 5000. */
  readonly silenceTimeoutMs?: number;
}

/** A recording made by Twilio. Source: twilio.com/docs/voice/api/call-resource#create-a-call-resource. */
export interface TwilioRecording {
  /** `dual` keeps the two sides apart; default `mono`. */
  readonly channels?: 'mono' | 'dual';
  /** `inbound` is what Twilio hears, `outbound` what it plays; default `both`. */
  readonly track?: 'inbound' | 'outbound' | 'both';
  /** Whether silence at both ends is cut off; true by default. */
  readonly trim?: boolean;
  /** Absolute callback URL of yours. */
  readonly statusCallback?: string;
  /** Of what; default `completed`. */
  readonly statusCallbackEvents?: readonly ('in-progress' | 'completed' | 'absent')[];
}

/** What Twilio may do with a call that is placed. Source: twilio.com/docs/voice/api/call-resource#create-a-call-resource. */
export interface OutboundOptions {
  readonly machineDetection?: MachineDetection;
  /** Keys dialled once it is answered: at most 32 of `0–9 A–D * # w W`; `w` waits half a second, `W` one. */
  readonly sendDigits?: string;
  /** Seconds after which Twilio ends the call, 1…86400; default 14400. */
  readonly timeLimitSeconds?: number;
  readonly twilioRecording?: TwilioRecording;
}

/** The fields of {@link OutboundOptions}, each checked against Twilio's own range. */
export const outboundOptions = {
  machineDetection: z
    .strictObject({
      mode: z.enum(['Enable', 'DetectMessageEnd']),
      timeoutSeconds: z.int().min(3).max(59).optional(),
      speechThresholdMs: z.int().min(1_000).max(6_000).optional(),
      speechEndThresholdMs: z.int().min(500).max(5_000).optional(),
      silenceTimeoutMs: z.int().min(2_000).max(10_000).optional(),
    })
    .optional(),
  sendDigits: z
    .string()
    .regex(/^[0-9A-D*#wW]{1,32}$/, 'not 1 to 32 of 0-9 A-D * # w W')
    .optional(),
  timeLimitSeconds: z.int().min(1).max(86_400).optional(),
  twilioRecording: z
    .strictObject({
      channels: z.enum(['mono', 'dual']).optional(),
      track: z.enum(['inbound', 'outbound', 'both']).optional(),
      trim: z.boolean().optional(),
      statusCallback: z
        .url({ protocol: /^https?$/, error: 'not an http(s) URL' })
        .max(2_048)
        .optional(),
      statusCallbackEvents: z
        .array(z.enum(['in-progress', 'completed', 'absent']))
        .min(1)
        .max(3)
        .optional(),
    })
    .optional(),
} as const;

/**
 * The options as Twilio's SDK names them.
 * @param amdCallback absolute callback URL for the result of answering machine detection
 */
export function twilioOptions(options: OutboundOptions, amdCallback: string): Record<string, unknown> {
  const { machineDetection: amd, twilioRecording: recording, sendDigits, timeLimitSeconds } = options;
  return {
    ...(sendDigits === undefined ? {} : { sendDigits }),
    ...(timeLimitSeconds === undefined ? {} : { timeLimit: timeLimitSeconds }),
    // In the background: the caller would otherwise wait for it in silence.
    ...(amd && {
      machineDetection: amd.mode,
      asyncAmd: 'true',
      asyncAmdStatusCallback: amdCallback,
      asyncAmdStatusCallbackMethod: 'POST',
      machineDetectionTimeout: amd.timeoutSeconds,
      machineDetectionSpeechThreshold: amd.speechThresholdMs,
      machineDetectionSpeechEndThreshold: amd.speechEndThresholdMs,
      machineDetectionSilenceTimeout: amd.silenceTimeoutMs,
    }),
    ...(recording && {
      record: true,
      recordingChannels: recording.channels,
      recordingTrack: recording.track,
      trim: recording.trim === false ? 'do-not-trim' : undefined,
      recordingStatusCallback: recording.statusCallback,
      recordingStatusCallbackMethod: recording.statusCallback && 'POST',
      recordingStatusCallbackEvent: recording.statusCallbackEvents,
    }),
  };
}
