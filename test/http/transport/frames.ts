/** Frames of WebSockets by the byte (RFC 6455 section 5), as a client that keeps no rules may send them. */
export const OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface Frame {
  readonly opcode: number;
  readonly isFinal: boolean;
  readonly reserved: number;
  readonly isMasked: boolean;
  readonly payload: Buffer;
}

interface FrameOptions {
  readonly isFinal?: boolean;
  /** The three reserved bits. */
  readonly reserved?: number;
  readonly isMasked?: boolean;
}

const MASK = Buffer.from([0x12, 0x34, 0x56, 0x78]);

export function frame(
  kind: keyof typeof OPCODES | number,
  payload: string | Uint8Array = '',
  { isFinal = true, reserved = 0, isMasked = true }: FrameOptions = {},
): Buffer {
  const opcode = typeof kind === 'number' ? kind : OPCODES[kind];
  const bytes = Buffer.from(payload as string);
  const first = (isFinal ? 0x80 : 0) | (reserved << 4) | opcode;
  const head = Buffer.concat([Buffer.from([first]), lengthOf(bytes.length, isMasked)]);
  if (!isMasked) return Buffer.concat([head, bytes]);
  const masked = bytes.map((byte, i) => byte ^ (MASK[i % 4] as number));
  return Buffer.concat([head, MASK, masked]);
}

function lengthOf(length: number, isMasked: boolean): Buffer {
  const bit = isMasked ? 0x80 : 0;
  if (length < 126) return Buffer.from([bit | length]);
  if (length < 65_536) {
    const bytes = Buffer.from([bit | 126, 0, 0]);
    bytes.writeUInt16BE(length, 1);
    return bytes;
  }
  const bytes = Buffer.alloc(9);
  bytes[0] = bit | 127;
  bytes.writeBigUInt64BE(BigInt(length), 1);
  return bytes;
}

/** A close frame with its code. */
export function closeFrame(code: number, reason: string | Uint8Array = ''): Buffer {
  return frame('close', closePayload(code, reason));
}

function closePayload(code: number, reason: string | Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason as string)]);
}

/** The frame that stands at the start, and how many bytes it takes; `undefined` where it is not all there. */
export function readFrame(bytes: Buffer): { frame: Frame; size: number } | undefined {
  if (bytes.length < 2) return undefined;
  const [first, second] = [bytes[0] as number, bytes[1] as number];
  let [length, at] = [second & 0x7f, 2];
  if (length === 126) {
    if (bytes.length < 4) return undefined;
    [length, at] = [bytes.readUInt16BE(2), 4];
  } else if (length === 127) {
    if (bytes.length < 10) return undefined;
    [length, at] = [Number(bytes.readBigUInt64BE(2)), 10];
  }
  if (bytes.length < at + length) return undefined;
  const payload = Buffer.from(bytes.subarray(at, at + length));
  return {
    frame: {
      opcode: first & 0x0f,
      isFinal: (first & 0x80) !== 0,
      reserved: (first >> 4) & 7,
      isMasked: (second & 0x80) !== 0,
      payload,
    },
    size: at + length,
  };
}
