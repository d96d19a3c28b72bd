/** The settings of a call, group by group, as the API names them. */
export type CallSettings = Record<string, Record<string, unknown>>;

/** What the call type `default` comes with: microphone and camera on, as on Stream. */
export function defaultSettings(): CallSettings {
  return {
    audio: {
      access_request_enabled: true,
      default_device: 'speaker',
      hifi_audio_enabled: false,
      mic_default_on: true,
      opus_dtx_enabled: false,
      redundant_coding_enabled: false,
      speaker_default_on: true,
      noise_cancellation: { mode: 'disabled' },
    },
    backstage: { enabled: false },
    broadcasting: { enabled: false, hls: {}, rtmp: {} },
    encryption: { enabled: false },
    frame_recording: { mode: 'disabled' },
    geofencing: { names: [] },
    individual_recording: { mode: 'disabled' },
    ingress: { enabled: false },
    limits: { max_participants_exclude_roles: [] },
    raw_recording: { mode: 'disabled' },
    recording: { mode: 'disabled', audio_only: false, quality: '720p' },
    ring: {
      auto_cancel_timeout_ms: 15_000,
      incoming_call_timeout_ms: 15_000,
      missed_call_timeout_ms: 15_000,
    },
    screensharing: { access_request_enabled: true, enabled: true },
    session: { inactivity_timeout_seconds: 30 },
    thumbnails: { enabled: false },
    transcription: { mode: 'disabled', closed_caption_mode: 'disabled', language: 'en' },
    video: {
      access_request_enabled: true,
      camera_default_on: true,
      camera_facing: 'front',
      enabled: true,
      target_resolution: { width: 1280, height: 720, bitrate: 1_500_000 },
    },
  };
}

/** Lays one over the other, group by group. */
export function overrideSettings(settings: CallSettings, override: unknown): void {
  for (const [group, values] of Object.entries((override ?? {}) as Record<string, unknown>)) {
    if (typeof values === 'object' && values !== null) settings[group] = { ...settings[group], ...values };
  }
}
