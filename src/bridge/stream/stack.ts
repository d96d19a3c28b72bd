import { leanStack } from './lean.js';
import { publicReason } from './public-reason.js';
import type { RtcStack } from './rtc-stack.js';
import type { StackChoice } from './stack-choice.js';
import { wrtcStack } from './wrtc.js';

/** A stack, and why it is not the lean one where that was to be tried. */
export interface ChosenStack {
  readonly stack: RtcStack;
  readonly reason?: string;
}

/**
 * WebRTC of this process: the lean stack where it loads, else libwebrtc.
 * @throws Error if only the lean one is allowed and it does not load
 */
export function chooseStack(choice: StackChoice): ChosenStack {
  if (choice === 'wrtc') return { stack: wrtcStack };
  try {
    leanStack.check();
    return { stack: leanStack };
  } catch (error) {
    if (choice === 'lean') throw error;
    const reason = error instanceof Error ? error.message : String(error);
    return { stack: wrtcStack, reason: publicReason(reason) };
  }
}
