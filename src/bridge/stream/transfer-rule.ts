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
