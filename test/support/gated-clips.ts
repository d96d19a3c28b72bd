import { afterEach, vi } from 'vitest';
import { Clips } from '../../src/control/clips.js';

afterEach(() => {
  vi.restoreAllMocks();
});

/** Whoever reads the file waits at a gate, until the test opens it. */
export function gateClip(name: string) {
  let open = () => {};
  let reach = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  /** Fulfilled when somebody waits. */
  const reached = new Promise<void>((resolve) => {
    reach = resolve;
  });
  const get = Clips.prototype.get;
  vi.spyOn(Clips.prototype, 'get').mockImplementation(async function (this: Clips, each: string) {
    if (each === name) {
      reach();
      await opened;
    }
    return get.call(this, each);
  });
  return { open, reached };
}
