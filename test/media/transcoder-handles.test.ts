import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { BUILT_ADDON } from '../../src/media/addon.js';
import type { RawCore } from '../../src/media/checked-core.js';
import { core } from '../../src/media/thread-core.js';
import { media, randomBytes, STREAM_SID } from '../support/media.js';

describe.runIf(core.backend === 'native')('a handle of the addon', () => {
  /** The addon without the checks that Trunkline puts around it. */
  const addon = createRequire(import.meta.url)(BUILT_ADDON) as RawCore;
  const message = media({ payload: randomBytes(160, 1) });
  const closed = expect.objectContaining({ code: 'GW_TRANSCODER_CLOSED' });

  const calls: readonly (readonly [string, (handle: number) => unknown])[] = [
    ['bind', (handle) => addon.bind(handle, STREAM_SID)],
    ['receive', (handle) => addon.receive(handle, message)],
    ['receivePayload', (handle) => addon.receivePayload(handle, new Uint8Array(4), 0)],
    ['conceal', (handle) => addon.conceal(handle, 6)],
    ['transmit', (handle) => addon.transmit(handle, new Int16Array(6))],
    ['decode', (handle) => addon.decode(handle, new Uint8Array(1), new Int16Array(6), 1)],
    ['encode', (handle) => addon.encode(handle, new Int16Array(6), new Uint8Array(1), 1)],
  ];

  test.each(calls)('is refused by %s once it is closed, also when its slot has a new owner', (_, call) => {
    const old = addon.openTranscoder(0);
    addon.closeTranscoder(old);
    expect(() => call(old)).toThrow(closed);
    const owner = addon.openTranscoder(0);
    expect(owner % 2 ** 20).toBe(old % 2 ** 20);
    addon.bind(owner, STREAM_SID);
    expect(addon.receive(owner, message)).toBe(960);
    const before = Buffer.from(addon.slab.slice(0));
    expect(() => call(old)).toThrow(closed);
    expect(before.equals(new Uint8Array(addon.slab))).toBe(true);
    addon.closeTranscoder(owner);
  });

  test.each(calls)('is refused by %s if it was never given out', (_, call) => {
    const given = addon.openTranscoder(0);
    for (const other of [given + 1, 2 ** 20 - 1, 2 ** 31 - 1, 2 ** 32 - 1, -1, undefined, 'x', {}]) {
      expect(() => call(other as number)).toThrow(closed);
    }
    addon.closeTranscoder(given);
  });

  test('closes once: a second close does not close the new owner of its slot', () => {
    const before = addon.liveTranscoders();
    const old = addon.openTranscoder(0);
    addon.closeTranscoder(old);
    const owner = addon.openTranscoder(0);
    addon.closeTranscoder(old);
    expect(addon.liveTranscoders()).toBe(before + 1);
    expect(addon.bind(owner, STREAM_SID)).toBe(true);
    addon.closeTranscoder(owner);
    expect(addon.liveTranscoders()).toBe(before);
  });

  test('is a new small integer each time, however often its slot is reused', () => {
    const handles = Array.from({ length: 2_000 }, () => {
      const handle = addon.openTranscoder(0);
      addon.closeTranscoder(handle);
      return handle;
    });
    expect(new Set(handles).size).toBe(handles.length);
    for (const handle of handles) expect(handle | 0).toBe(handle);
    expect(Math.min(...handles)).toBeGreaterThanOrEqual(0);
    // As often again, over the end of the numbers.
    for (let i = 0; i < 2_000; i++) {
      const handle = addon.openTranscoder(0);
      expect(handle).toBeGreaterThanOrEqual(0);
      expect(handle | 0).toBe(handle);
      expect(addon.bind(handle, STREAM_SID)).toBe(true);
      addon.closeTranscoder(handle);
    }
  });

  test('is distinct among those that are open', () => {
    const handles = Array.from({ length: 5_000 }, () => addon.openTranscoder(0));
    expect(new Set(handles).size).toBe(handles.length);
    for (const handle of handles) expect(addon.bind(handle, STREAM_SID)).toBe(true);
    for (const handle of handles) addon.closeTranscoder(handle);
  });
});
