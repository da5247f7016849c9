import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deal, manifestCounts } from './deal.ts';
import type { ListedRecord, Listing } from './listing.ts';
import { parts, type Part } from './records.ts';

function listingOf(
  records: readonly { part?: Part; label: number; group: string }[],
  classes: readonly string[] | null = ['no', 'yes'],
): Listing {
  const listed = records.map(({ part = 'train', label, group }, row): ListedRecord => ({
    part,
    label,
    group,
    id: `r${row}`,
    row,
  }));
  return { records: listed, classes, synthetic: false, skipped: [], warnings: [] };
}

function group(name: string, no: number, yes: number, part: Part = 'train') {
  return [
    ...Array.from({ length: no }, () => ({ part, label: 0, group: name })),
    ...Array.from({ length: yes }, () => ({ part, label: 1, group: name })),
  ];
}

const randomListing = fc
  .array(
    fc.record({ part: fc.constantFrom(...parts), label: fc.integer({ min: 0, max: 2 }), number: fc.nat({ max: 30 }) }),
    { minLength: 1, maxLength: 200 },
  )
  .map((records) =>
    listingOf(
      records.map(({ part, label, number }) => ({ part, label, group: `${part}-${number}` })),
      ['a', 'b', 'c'],
    ),
  );
const ratios = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });

describe('dealing', () => {
  it('follows a case worked by hand', () => {
    // Due at 2:1 of 4 no and 2 yes: 8/3 and 4/3 to the first, 4/3 and 2/3 to the second.
    // C (2 no, 1 yes) goes first: 2·(8/3)+4/3 = 20/3 outweighs 10/3, so to site 0; left there 2/3, 1/3.
    // A (1 yes): 1/3 against 2/3, so to site 1; B (1 no): 2/3 against 4/3, to site 1; D (1 no): 2/3 against 1/3, to site 0.
    const listing = listingOf([...group('A', 0, 1), ...group('B', 1, 0), ...group('C', 2, 1), ...group('D', 1, 0)]);
    const [first, second] = deal(listing, [2, 1]);
    expect(first?.parts.train.rows).toEqual([2, 3, 4, 5]);
    expect(second?.parts.train.rows).toEqual([0, 1]);
    expect(first?.parts.train.groups).toEqual([0, 0, 0, 1]);
    expect(manifestCounts(first!).train).toEqual([3, 1]);
  });

  it('gives a tie to the lower index', () => {
    const [first, second] = deal(listingOf(group('only', 1, 1)), [1, 1]);
    expect(first?.parts.train.rows).toEqual([0, 1]);
    expect(second?.parts.train.rows).toEqual([]);
  });

  it('takes groups of one size by id, whatever the order of the records', () => {
    const [forward] = deal(listingOf([...group('b', 1, 0), ...group('a', 1, 0)]), [1, 1]);
    const [backward] = deal(listingOf([...group('a', 1, 0), ...group('b', 1, 0)]), [1, 1]);
    expect(forward?.parts.train.ids).toEqual(['r1']);
    expect(backward?.parts.train.ids).toEqual(['r0']);
  });

  it('counts a regression as one class', () => {
    const listing = listingOf(
      Array.from({ length: 10 }, (_, index) => ({ label: index * 1.5, group: `g${index}` })),
      null,
    );
    expect(deal(listing, [7, 2, 1]).map((site) => manifestCounts(site).train)).toEqual([[7], [2], [1]]);
  });

  it('deals every record once, groups whole, whatever the number of sites', () => {
    fc.assert(
      fc.property(randomListing, ratios, (listing, ratio) => {
        const sites = deal(listing, ratio);
        for (const part of parts) {
          const rows = sites.flatMap((site) => site.parts[part].rows);
          const expected = listing.records.filter((record) => record.part === part).map(({ row }) => row);
          expect(rows.toSorted((a, b) => a - b)).toEqual(expected);
          const siteOfGroup = new Map<string, number>();
          sites.forEach((site, index) =>
            site.parts[part].rows.forEach((row) => {
              const name = listing.records[row]!.group;
              expect(siteOfGroup.get(name) ?? index).toBe(index);
              siteOfGroup.set(name, index);
            }),
          );
        }
      }),
    );
  });

  it('equals the rule read word for word: each group where Σ (count - due)² falls most', () => {
    fc.assert(
      fc.property(randomListing, ratios, (listing, ratio) => {
        const sites = deal(listing, ratio);
        for (const part of parts)
          expect(sites.map((site) => site.parts[part].rows)).toEqual(dealBySums(listing, part, ratio));
      }),
    );
  });

  it.each([[[]], [[0, 1]], [[1.5]], [[1, -2]]])('refuses the ratio %j', (ratio) => {
    expect(() => deal(listingOf(group('a', 1, 1)), ratio)).toThrow(/ratio/);
  });
});

/** The rule as SEMANTICS.md has it, with sums over all sites, scaled to integers by the ratio's total. */
function dealBySums(listing: Listing, part: Part, ratio: readonly number[]): number[][] {
  const records = listing.records.filter((record) => record.part === part);
  const classes = listing.classes!.map((_, label) => label);
  const shares = ratio.reduce((sum, share) => sum + share, 0);
  const total = (label: number) => records.filter((record) => record.label === label).length;
  const names = [...new Set(records.map((record) => record.group))];
  const members = (name: string) => records.filter((record) => record.group === name);
  names.sort((a, b) => members(b).length - members(a).length || (a < b ? -1 : 1));
  const sites = ratio.map((): ListedRecord[] => []);
  const distance = (dealt: readonly (readonly ListedRecord[])[]) =>
    dealt.reduce(
      (sum, site, index) =>
        sum +
        classes.reduce((inner, label) => {
          const count = site.filter((record) => record.label === label).length;
          return inner + (shares * count - total(label) * ratio[index]!) ** 2;
        }, 0),
      0,
    );
  for (const name of names) {
    const after = sites.map((_, index) =>
      distance(sites.map((site, at) => (at === index ? [...site, ...members(name)] : site))),
    );
    sites[after.indexOf(Math.min(...after))]!.push(...members(name));
  }
  return sites.map((site) => site.map(({ row }) => row).toSorted((a, b) => a - b));
}
