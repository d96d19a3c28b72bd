/** Longest payload that is kept: one packet of an Ethernet. */
export const MOST_PAYLOAD_BYTES = 1_500;

const memory = new Uint8Array(MOST_PAYLOAD_BYTES);
const views: (Uint8Array | undefined)[] = [];

/**
 * Memory for one payload of exactly this length, shared by the whole thread: valid until the next call. There is one view for
 * each length, made once, so that giving a payload to a decoder allocates nothing.
 * @param length 0 to 1,500 bytes
 */
export function payloadView(length: number): Uint8Array {
  let view = views[length];
  if (view === undefined) {
    view = memory.subarray(0, length);
    views[length] = view;
  }
  return view;
}
