/** Why new calls are answered busy: the gateway's reasons in words. */
export const REASONS = {
  draining: 'this node is shutting down',
  full: 'all places for calls are taken',
  media: 'the media workers are late',
  descriptors: 'file descriptors are running out',
  loop_delay: 'the event loop is late',
  cpu: 'the CPU is busy',
  registry: 'the registry (Redis) is down',
};

/** Why a call ended, by its cause. */
export const CAUSES = {
  stop: 'the caller hung up',
  'socket-closed': 'the connection to the carrier broke',
  status: 'the carrier ended it',
  bridge: 'the other side ended it',
  transferred: 'transferred to another number',
  hangup: 'hung up by an operator',
  refused: 'refused by your own code',
  expired: 'the carrier never connected',
  protocol: 'the carrier broke the protocol',
  silent: 'nothing came from the carrier',
  failed: 'the bridge or Twilio failed',
  drain: 'this node shut down',
  'handed-over': 'another node took it over',
  internal: 'a fault of the gateway',
};

/** Results that somebody on call should look at. */
export const BAD_RESULTS = new Set(['server', 'upstream', 'indeterminate']);

/** @param {string} reason */
export const reasonOf = (reason) => REASONS[reason] ?? reason;
/** @param {string} cause */
export const causeOf = (cause) => CAUSES[cause] ?? cause ?? '';
