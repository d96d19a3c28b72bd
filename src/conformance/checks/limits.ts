import { type Check, failed, passed } from '../check.js';

export const limits: Check = {
  name: 'limits',
  wants: 'Stays below 1 MiB a message, 16 KiB a command, and 1,000 messages or 4 MB a second.',
  needsAnswer: true,
  run({ lines }) {
    for (const { ended, errors } of lines) {
      const isTooLong = errors.some((error) => /max payload/i.test(error));
      if (ended?.code === 1009 || isTooLong) {
        return failed(
          ended?.by === 'gateway' ? ended.reason : 'It sent a message of more than 2 MiB',
          'Send audio in pieces of at most 1 MiB, for example 20 ms each.',
        );
      }
      if (ended?.by === 'gateway' && ended.code === 1008) {
        return failed(`A gateway closes with 1008: ${ended.reason}`, 'Send larger pieces, and less often.');
      }
    }
    return passed('No message was too long, and there were not too many');
  },
};
