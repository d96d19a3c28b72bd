import type { AgentLine, Piece } from '../agent-line.js';
import { type Check, failed, NotApplicable, passed } from '../check.js';
import { otherFormat } from '../sound.js';

/** Silence between two pieces that belong to different things said, in milliseconds. */
const APART_MS = 500;
/** What is looked at of one. */
const MOST_BYTES = 400_000;

/** Audio is 16 bits a sample. */
export const samples: Check = {
  name: 'samples',
  wants: 'Sends whole samples: 16 bits, signed, little endian, mono.',
  needsAnswer: true,
  run({ lines }) {
    const said = lines.flatMap(utterancesOf);
    if (said.length === 0) throw new NotApplicable('The agent sent no audio');
    for (const pieces of said) {
      const bytes = Buffer.concat(pieces.map((piece) => piece.bytes)).subarray(0, MOST_BYTES);
      const format = otherFormat(bytes);
      const odd = pieces.find((piece) => piece.bytes.length % 2 === 1);
      if (format !== undefined && odd === undefined) {
        return failed(
          `What it sent is noise, and a voice if it is read as ${format}`,
          'Send signed samples of 16 bits, little endian, mono, without a header.',
        );
      }
      if (odd !== undefined && (format !== undefined || sizeOf(pieces) % 2 === 1)) {
        return failed(
          `Half a sample is missing: it sent a piece of ${odd.bytes.length} bytes, and the other half never came`,
          'Cut audio at whole samples: an even number of bytes.',
        );
      }
    }
    const odd = said.flat().filter((piece) => piece.bytes.length % 2 === 1).length;
    if (odd === 0) return passed('Every piece was of whole samples');
    return passed(
      `${odd} pieces ended in half a sample, and the next one brought the rest`,
      'Cut audio at whole samples: clear drops the half that waits.',
    );
  },
};

/** The pieces of each thing that was said on a line: no clear and no long pause is within. */
function utterancesOf(line: AgentLine): Piece[][] {
  const clears = new Set(
    line.commands.filter(({ command }) => command?.type === 'clear').map(({ piecesBefore }) => piecesBefore),
  );
  const all: Piece[][] = [];
  for (const [i, piece] of line.pieces.entries()) {
    const before = line.pieces[i - 1];
    if (before === undefined || clears.has(i) || piece.at - before.at > APART_MS) all.push([]);
    all.at(-1)?.push(piece);
  }
  return all;
}

const sizeOf = (pieces: readonly Piece[]) => pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
