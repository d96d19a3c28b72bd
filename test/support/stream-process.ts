import { afterAll, beforeAll } from 'vitest';
import { type StreamProcess, startStreamDouble } from './stream/process.js';

/** One double of Stream, in its own process, shared by all tests of a file. */
export function streamProcess(): () => StreamProcess['keys'] {
  let double: StreamProcess;

  beforeAll(async () => {
    double = await startStreamDouble();
  });
  afterAll(() => double.close());

  return () => double.keys;
}
