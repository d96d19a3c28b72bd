import type { AgentLine, Piece } from '../agent-line.js';
import { type Check, failed, NotApplicable, passed } from '../check.js';
import { otherFormat } from '../sample-format.js';

/** Pieces further apart, in milliseconds, belong to different utterances. */
const APART_MS = 500;
/** Most bytes of an utterance that are analysed. */
const MOST_BYTES = 400_000;

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
          `Its audio is noise, but a voice when it is read as ${format}`,
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

/** The pieces of each utterance of a line: within one there is no clear and no long pause. */
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
