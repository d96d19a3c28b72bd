import { type Check, failed, NotApplicable, passed } from '../check.js';

export const keys: Check = {
  name: 'keys',
  wants: 'Reacts to the keys that --keys names, by sound or a command.',
  async run(examination) {
    const { keys = '', timeoutMs } = examination.options;
    if (keys === '') throw new NotApplicable('No --keys were given');
    for (const key of keys) {
      const call = await examination.call();
      await call.calm();
      const { line } = call;
      const [pieces, commands] = [line.pieces.length, line.commands.length];
      const isThere = () =>
        line.commands.length > commands || line.pieces.slice(pieces).some(({ hasSound }) => hasSound);
      call.press(key);
      if (!(await call.until(isThere, timeoutMs)) && line.ended?.by !== 'agent') {
        return failed(
          `It did nothing for ${timeoutMs / 1_000} s after the key ${key}`,
          'Handle the event dtmf.',
        );
      }
    }
    return passed(`It reacted to ${keys.length === 1 ? 'the key' : 'each of the keys'} ${keys}`);
  },
};
