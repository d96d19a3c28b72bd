import type { SentCommand } from '../agent-line.js';
import { type Check, failed, NotApplicable, passed, type Verdict } from '../check.js';
import type { Utterance } from '../simulated-call.js';

/** Longest wait for a mark after the audio before it, where nothing of that is left to be played. */
const LATEST_MS = 500;

interface Mark extends SentCommand {
  readonly name: string;
}

export const marks: Check = {
  name: 'marks',
  wants: 'Sends a mark with a new name right after the audio of an answer.',
  needsAnswer: true,
  run({ lines, utterances }) {
    for (const { commands } of lines) {
      const twice = usedTwice(commands);
      if (twice !== undefined) {
        return failed(
          `It sent the mark ${JSON.stringify(twice)} again while the first was still to be reached`,
          'Count in the names: answer-1, answer-2.',
        );
      }
    }
    const heard = utterances.filter(({ isWhole }) => isWhole);
    if (heard.length === 0) throw new NotApplicable('No answer was heard to its end');
    const verdicts = heard.map(verdictOf);
    return verdicts.find(({ result }) => result === 'failed') ?? (verdicts[0] as Verdict);
  },
};

function verdictOf({ line, askedAt, from, to }: Utterance): Verdict {
  const all = marksOf(line.commands);
  const last = line.pieces.slice(from, to).findLastIndex(({ hasSound }) => hasSound) + from;
  // A mark that is late may come after the next question only: it marks what was said before that.
  const isEarly = all.some(({ piecesBefore, at }) => piecesBefore === from && at >= askedAt);
  const mark = all.find(({ piecesBefore }) => piecesBefore > last);
  if (mark !== undefined && mark.piecesBefore <= to && !(isEarly && mark.piecesBefore === to)) {
    const lateMs = mark.at - (line.pieces[mark.piecesBefore - 1]?.at ?? mark.at);
    if (lateMs <= LATEST_MS || mark.playsUntil > mark.at) return passed('A mark followed each answer');
    return failed(
      `Its mark came ${lateMs.toFixed(0)} ms after the last audio, when all of it had been heard`,
      'Send the mark right after the last piece: the gateway answers it when that was heard.',
    );
  }
  if (isEarly) {
    return failed(
      'Its mark came before the audio of the answer',
      'Send the mark after the audio that it marks.',
    );
  }
  return failed(
    'It sent no mark after its answer',
    'Send {"type":"mark","name":"…"} after each answer: its event says when the caller has heard it, or what was cleared.',
  );
}

function marksOf(commands: readonly SentCommand[]): Mark[] {
  return commands.flatMap((sent) =>
    sent.command?.type === 'mark' ? [{ ...sent, name: sent.command.name }] : [],
  );
}

/** A name that two marks have at a time. */
function usedTwice(commands: readonly SentCommand[]): string | undefined {
  let pending: Mark[] = [];
  for (const sent of commands) {
    const { command, at } = sent;
    pending = command?.type === 'clear' ? [] : pending.filter(({ playsUntil }) => playsUntil > at);
    if (command?.type !== 'mark') continue;
    if (pending.some(({ name }) => name === command.name)) return command.name;
    pending.push({ ...sent, name: command.name });
  }
  return undefined;
}
