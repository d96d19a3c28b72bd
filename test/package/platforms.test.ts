import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { CHECKS } from '../platforms/checks.js';
import { RELEASES as DEBIANS } from '../platforms/debian.js';
import { RELEASES as NODES } from '../platforms/node.js';

it('the table of platforms has every Node in every Debian, as last tested', () => {
  const page = readFileSync(new URL('../../docs/platforms.md', import.meta.url), 'utf8');
  const [, table = ''] = page.split(/^<!-- \/?platforms -->\n/m);
  const [head, , ...rows] = table.split('\n').flatMap((line) => (line ? [line.split(' | ')] : []));
  expect(head?.slice(3)).toHaveLength(CHECKS.length);
  expect(rows.map(([node, debian]) => `${node?.replace('| ', '')} on ${debian}`)).toEqual(
    NODES.flatMap((node) => DEBIANS.map(({ release, codename }) => `${node} on ${release} ${codename}`)),
  );
  // What did not work is in bold.
  expect(table).not.toContain('**');
});
