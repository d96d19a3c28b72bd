/** The labels of a metric that has some, and what they may say; `undefined` where that is open. */
type Labels = Readonly<Record<string, readonly string[] | undefined>>;

/**
 * Every metric of the gateway that rules and dashboard may use, without its prefix: compared with a real scrape, so that a
 * renamed metric does not silence an alert.
 */
export const METRICS: Readonly<Record<string, Labels>> = {
  process_resident_memory_bytes: {},
  process_heap_used_bytes: {},
  process_cpu_seconds_total: {},
  calls_active: {},
  draining: {},
  calls_ended_total: { cause: undefined },
  calls_result_total: { result: ['success', 'client', 'server', 'upstream', 'indeterminate'] },
  calls_refused_total: {
    reason: ['full', 'media', 'descriptors', 'loop_delay', 'cpu', 'draining', 'registry'],
  },
  webhooks_replayed_total: {},
  answers_held_total: {},
  answers_cut_total: {},
  admission_open: {},
  calls_max: {},
  calls_stuck_total: { why: ['silent', 'ending'] },
  event_loop_delay_seconds: { quantile: ['0.5', '0.99', '0.999'] },
  fleet_nodes: {},
  fleet_calls: {},
  registry_up: {},
  handovers_total: { why: ['drain', 'lost'] },
  frames_in_total: {},
  frames_out_total: {},
  messages_in_total: {},
  slow_messages_total: {},
  bad_messages_total: {},
  filled_ms_total: {},
  dropped_intake_total: {},
  dropped_lead_total: {},
  dropped_backpressure_total: {},
  underruns_total: {},
  dtmf_total: {},
  marks_total: {},
  ...histogram('stage_seconds', {
    stage: ['socket_decoded', 'decoded_leg', 'leg_encoded', 'encoded_socket', 'gateway'],
  }),
  ...histogram('playout_lead_seconds'),
  ...histogram('intake_jitter_seconds'),
};

function histogram(name: string, labels: Labels = {}): Record<string, Labels> {
  return {
    [`${name}_bucket`]: { ...labels, le: undefined },
    [`${name}_sum`]: labels,
    [`${name}_count`]: labels,
  };
}
