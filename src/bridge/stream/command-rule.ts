/** Decides whether a user in a Stream call may command its phones, by user id and role at Stream. */
export type CommandRule = (userId: string, role: string) => boolean;

/** `user:<id>` or `role:<name>`, in which a trailing `*` stands for anything. */
const COMMANDER = /^(user|role):[A-Za-z0-9_@-]{1,255}\*?$/;

/** Whether a text is a valid commander: `user:<id>` or `role:<name>`. */
export function isCommander(text: unknown): text is string {
  return typeof text === 'string' && COMMANDER.test(text);
}

/** A rule from `all`, or from a list of which one entry must match; an empty list allows nobody. */
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

/** Decides whether a caller may be transferred to a number; without it, everybody who can send events could dial anywhere. */
export type TransferRule = (to: string) => boolean;

/**
 * A rule from a list of numbers. A trailing `*` matches a prefix; `*` alone matches every number. An empty list allows none.
 */
export function transferRule(numbers: readonly string[]): TransferRule {
  return (to) =>
    numbers.some((number) => (number.endsWith('*') ? to.startsWith(number.slice(0, -1)) : to === number));
}
