import type { Switchboard } from '../calls/switchboard.js';
import type { Fleet } from '../fleet/fleet.js';
import type { EventLog } from './event-log.js';

/** Publishes the events of a gateway's calls. */
export function writeCallEvents(events: EventLog, switchboard: Switchboard, fleet: Fleet | undefined): void {
  switchboard.on('call', (call, stream, isContinued) => {
    stream.on('dtmf', (digit) => events.publish('call.dtmf', call, { digit }));
    // The call's first node has already published its start.
    if (isContinued) return;
    events.publish('call.started', call, {});
  });
  switchboard.on('answered', (call, { streamSid }, { ringSeconds = 0, isContinued }) => {
    if (!isContinued && streamSid !== undefined)
      events.publish('call.answered', call, { streamSid, ringSeconds });
  });
  switchboard.on('answeredBy', (call, answeredBy, afterMs) =>
    events.publish('call.answered-by', call, { answeredBy, ...(afterMs === undefined ? {} : { afterMs }) }),
  );
  switchboard.on('end', (call, cause, report) => {
    // Otherwise another node publishes the end.
    if (cause !== 'handed-over' && cause !== 'moved') events.publish('call.ended', call, report);
  });
  fleet?.on('handover', ({ callId, callSid, ...data }) =>
    events.publish('call.handover', switchboard.session(callId)?.call ?? { callId, callSid }, data),
  );
}
