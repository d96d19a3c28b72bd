import { DEFAULT_BUFFER_MS } from '../../legs/raw-leg.js';
import { type Check, failed, passed } from '../check.js';

export const backlog: Check = {
  name: 'backlog',
  wants: `Sends no more than ${DEFAULT_BUFFER_MS / 1_000} s ahead of what is heard.`,
  needsAnswer: true,
  run({ calls }) {
    const droppedMs = calls.reduce((sum, call) => sum + call.droppedMs, 0);
    if (droppedMs === 0) return passed('All of its audio fitted the buffer');
    return failed(
      `${(droppedMs / 1_000).toFixed(1)} s of its audio did not fit the buffer of ${DEFAULT_BUFFER_MS / 1_000} s and were lost`,
      'Wait for a mark before you send what comes later.',
    );
  },
};
