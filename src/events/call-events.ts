import type { Switchboard } from '../calls/switchboard.js';
import type { Fleet } from '../fleet/fleet.js';
import type { EventLog } from './event-log.js';

/** Writes down what happens to the calls of a gateway. */
export function writeCallEvents(events: EventLog, switchboard: Switchboard, fleet: Fleet | undefined): void {
  switchboard.on('call', (call, stream, isContinued) => {
    stream.on('dtmf', (digit) => events.publish('call.dtmf', call, { digit }));
    // Of a call that goes on here its first node has told already.
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
    // Another node tells how it ends.
    if (cause !== 'handed-over' && cause !== 'moved') events.publish('call.ended', call, report);
  });
  fleet?.on('handover', ({ callId, callSid, ...data }) =>
    events.publish('call.handover', switchboard.session(callId)?.call ?? { callId, callSid }, data),
  );
}
