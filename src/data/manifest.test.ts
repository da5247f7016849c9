import { describe, expect, it } from 'vitest';
import { deal } from './deal.ts';
import { parseManifest } from './manifest.ts';

const record = { part: 'train', label: 1, group: 'g', id: 'images/a.png', row: 3 } as const;
const [manifest] = deal(
  { records: [record], classes: ['no', 'yes'], synthetic: false, skipped: [], warnings: [] },
  [1, 1],
);
const json = JSON.stringify(manifest);

describe('a manifest', () => {
  it('comes back from JSON as it was dealt', () => {
    expect(parseManifest(JSON.parse(json), 'm.json')).toEqual(manifest);
  });

  it.each([
    ['"images/a.png"', '""', 'm.json: parts.train.ids.0'],
    ['"rows":[3]', '"rows":[3,4]', 'm.json: parts.train has lists of unequal length'],
    ['"labels":[1]', '"labels":[2]', 'has a label that is none of its classes'],
    ['"site":0', '"site":2', 'is of a site that is not one of the sites'],
    ['"version":1', '"version":2', 'm.json: version'],
    ['"groups":[0]', '"groups":[-1]', 'm.json: parts.train.groups.0'],
  ])('with %s as %s is refused', (from, to, problem) => {
    expect(json).toContain(from);
    expect(() => parseManifest(JSON.parse(json.replace(from, to)), 'm.json')).toThrow(problem);
  });
});
