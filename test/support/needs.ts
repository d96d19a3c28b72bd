/**
 * Whether tests can have what is not of this package, found out by using it. What is missing is told in one line at the end of
 * the run; where `CI` is set nothing may be missing, and its tests fail by themselves.
 * @param install what brings it, as a command
 */
export function needs(what: string, install: string, works: () => boolean): boolean {
  if (process.env.CI || works()) return true;
  console.warn(`Skipped: tests that need ${what} (${install})`);
  return false;
}
