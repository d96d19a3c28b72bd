import { describe } from '../../errors.js';
import { type Check, failed, passed } from '../check.js';

export const commands: Check = {
  name: 'commands',
  wants: 'Sends only valid commands as text.',
  needsAnswer: true,
  run({ lines, calls }) {
    const sent = lines.flatMap((line) => line.commands);
    const wrong = sent.find(({ command }) => command === undefined);
    if (wrong !== undefined) {
      return failed(
        `It sent ${describe(wrong.text)}, which is no command`,
        'Send JSON as docs/raw-leg.schema.json describes it.',
      );
    }
    const [refused] = calls.flatMap((call) => call.errors);
    if (refused !== undefined) return failed(`A command was refused: ${refused}`, 'Handle the event error.');
    if (sent.length === 0) return passed('It sent no command');
    return passed(`All of its ${sent.length} commands are valid`);
  },
};
