import Table from 'cli-table3';

/** A plain table for terminals and logs: no colours, a line a row. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const plain = new Table({
    head: [...head],
    style: { head: [], border: [], compact: true },
    colAligns: head.map((_, i) => (i === 0 ? 'left' : 'right')),
  });
  plain.push(...rows.map((row) => [...row]));
  return plain.toString();
}
