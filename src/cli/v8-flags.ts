/**
 * V8's flags for a process that carries calls.
 *
 * On one core, V8's helper threads only take turns with the one that serves the calls, and a young generation of 16 MB is copied
 * in one pause of 10 to 40 ms when many calls begin at once. One of 1 MB is copied more often, in about 1 ms each time, and
 * takes no more CPU (`npm run bench -- ramp`).
 * @param cores that it may use at once, at least 1
 */
export function v8Flags(cores: number): string[] {
  return cores < 2 ? ['--single-threaded-gc', '--max-semi-space-size=1'] : [];
}
