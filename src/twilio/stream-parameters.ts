import { z } from 'zod';
import { isXmlText } from './xml-text.js';

/** Name and value together stay below this. Source: twilio.com/docs/voice/twiml/stream#custom-parameters. */
const TOO_LONG = 500;

/** Checks the custom parameters of a stream; no name or value is shown beyond its place. */
export const StreamParameters = z.record(z.string(), z.string()).superRefine((parameters, context) => {
  for (const [name, value] of Object.entries(parameters)) {
    const length = name.length + value.length;
    const refuse = (message: string) =>
      context.addIssue({ code: 'custom', path: [name.slice(0, 60)], message });
    if (name === '') refuse('a parameter without a name');
    if (!isXmlText(name + value)) refuse('characters that XML cannot carry');
    if (length >= TOO_LONG) refuse(`${length} characters with its name, not fewer than ${TOO_LONG}`);
  }
});
