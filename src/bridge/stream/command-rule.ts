/** Decides whether somebody in a Stream call may command its phones, by user id and by role at Stream. */
export type CommandRule = (userId: string, role: string) => boolean;

/** Who may: `user:<id>` or `role:<name>`, in which a trailing `*` stands for anything. */
const COMMANDER = /^(user|role):[A-Za-z0-9_@-]{1,255}\*?$/;

/** Whether a text names somebody who may command phones. */
export function isCommander(text: unknown): text is string {
  return typeof text === 'string' && COMMANDER.test(text);
}

/** A rule from `all`, or from a list of which one must fit; an empty list allows nobody. */
export function commandRule(commanders: 'all' | readonly string[]): CommandRule {
  if (commanders === 'all') return () => true;
  return (userId, role) => {
    const names = [`user:${userId}`, `role:${role}`];
    return commanders.some((commander) =>
      names.some((name) =>
        commander.endsWith('*') ? name.startsWith(commander.slice(0, -1)) : name === commander,
      ),
    );
  };
}

/** Decides whether a caller may be connected with a number: whoever may send events to a call could else dial the world. */
export type TransferRule = (to: string) => boolean;

/**
 * A rule from a list of numbers; one that ends in `*` stands for all that begin alike, `*` alone for every number.
 * An empty list allows none.
 */
export function transferRule(numbers: readonly string[]): TransferRule {
  return (to) =>
    numbers.some((number) => (number.endsWith('*') ? to.startsWith(number.slice(0, -1)) : to === number));
}
