// A network may be cut wherever everything passes through one value. However it is cut, a step is the uncut network's.

import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/base/index.ts';
import { openEngine } from '../../src/engine/node/index.ts';
import { cutsOf, cutsWithHead, namedNetwork, networkNames } from '../../src/models/index.ts';
import { mlp, planStudy, runInMemory, smallCnn, type TestStudy } from '../harness/study.ts';
import { trainUncut, uncutUnion } from '../reference/uncut.ts';
import { expectMoved, expectSameNetwork, splitParameters } from './compare.ts';

const network = namedNetwork(smallCnn.name, smallCnn.options);
const places = [
  ...cutsOf(network).map((cut) => ({ cut, labels: 'server' as const })),
  ...cutsWithHead(network).map((cut) => ({ cut, labels: 'site' as const })),
];

describe('ct-cnn', () => {
  it('can be cut after each of its layers but the last, and with the head at the site before the last two with parameters', () => {
    const convolutions = ['conv1', 'conv2', 'conv3'].flatMap((name) => [name, `${name}.relu`, `${name}.pool`]);
    expect(cutsOf(network)).toEqual([...convolutions, 'flat', 'dropout1', 'fc1', 'fc1.relu', 'dropout2']);
    expect(cutsWithHead(network)).toEqual([...convolutions, 'flat', 'dropout1']);
  });

  it.each(places)('cut at $cut with labels at the $labels makes the step of the uncut network', async (place) => {
    const { cut, labels } = place;
    const test: TestStudy = {
      network: { ...smallCnn, cut },
      counts: [6, 4],
      choices: { labels },
      training: { batch: 10, epochs: 1, learningRate: 0.05, select: 'last' },
    };
    const planned = planStudy(test);
    expect(planned.plan.network.cut).toBe(cut);
    const split = await runInMemory(planned);
    await using engine = await openEngine({ placement: 'inline', threads: 1 });
    const uncut = await trainUncut(planStudy(test), engine, uncutUnion);
    expect(uncut.losses.length).toBe(1);
    expectMoved(uncut.start, uncut.end, 1e-4);
    for (const site of [0, 1]) expectSameNetwork(splitParameters(planned.plan, split, site), uncut.end, 1e-5);
  });
});

it.each(networkNames)('%s can be cut where it is cut unless told', (name) => {
  const usual = namedNetwork(name);
  expect(cutsWithHead(usual)).toContain(usual.cut);
  expect(cutsOf(usual)).toContain(usual.headCut);
});

describe('a cut that cannot be is refused, in words that say what can', () => {
  const expectRefused = (test: TestStudy, words: RegExp) => {
    expect(() => planStudy(test)).toThrow(ConfigError);
    expect(() => planStudy(test)).toThrow(words);
  };
  const at = (cut: string, headCut?: string): TestStudy => ({ network: { ...mlp, cut, headCut } });
  const site: TestStudy = { choices: { labels: 'site' } };
  const [first, second, third, last] = cutsOf(namedNetwork('lipid-mlp')) as [string, string, string, string];

  it.each(['nowhere', 'x', 'y', 'fc1.weight'])('%s', (cut) =>
    expectRefused(
      at(cut),
      new RegExp(
        `^network lipid-mlp: it cannot be cut at "${cut}"; it can at ${[first, second, third, last].join(', ')}$`,
      ),
    ),
  );

  it('a head that begins where the segment ends, or with nothing to learn', () => {
    for (const headCut of [second, 'y', 'nowhere'])
      expectRefused(
        { ...at(second, headCut), ...site },
        new RegExp(`^network lipid-mlp: its head cannot begin at "${headCut}"; it can at ${third}, ${last}$`),
      );
  });

  it('too late for a trunk and a head', () =>
    expectRefused(
      { ...at(last), ...site },
      new RegExp(
        `^network lipid-mlp: after the cut at "${last}" too little is left .*; cut at ${first}, ${second}, or set labels: server$`,
      ),
    ));

  it('and the same with the labels at the server is allowed', () => {
    expect(planStudy(at(last)).plan.network.cut).toBe(last);
  });
});
