import { describe, expect, it } from 'vitest';
import { GraphBuilder, int } from '../onnx/index.ts';
import { checkInPlace } from './in-place.ts';
import { addUpdate, type Optimizer } from './optimizer.ts';

/** An update graph of one parameter `p`, the new one being `next`. */
function updateOf(optimizer: Optimizer, more: (builder: GraphBuilder) => void = () => {}) {
  const builder = new GraphBuilder('update');
  const slots = optimizer.kind === 'sgd' ? ['v'] : ['m', 'v'];
  for (const name of ['p', 'g', ...slots]) builder.input(name, 'float32', [3, 3]);
  const group = { parameter: 'p', gradient: 'g', slots };
  const [updated] = addUpdate(builder, optimizer, [group], builder.input('hyper', 'float32', [4]));
  builder.output(updated!.parameter, 'next');
  updated!.slots.forEach((slot, index) => builder.output(slot, `next:${slots[index]}`));
  more(builder);
  return builder.build();
}

const sgd: Optimizer = { kind: 'sgd', momentum: 0.9, nesterov: true, weightDecay: 0.1 };
const adam: Optimizer = { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1 };

describe('writing an output over an input', () => {
  it('is safe for parameters and state of every optimizer', () => {
    checkInPlace(updateOf(sgd), { next: 'p', 'next:v': 'v' });
    checkInPlace(updateOf(adam), { next: 'p', 'next:m': 'm', 'next:v': 'v' });
    checkInPlace(updateOf({ ...adam, kind: 'adamw' }), { next: 'p', 'next:m': 'm', 'next:v': 'v' });
  });

  it('is refused where another node may read the input afterwards, and names both', () => {
    const graph = updateOf(sgd, (builder) => {
      builder.addNode({ op: 'Relu', domain: '', name: 'bystander', inputs: ['p'], outputs: ['other'], attributes: {} });
      builder.output('other');
    });
    expect(() => checkInPlace(graph, { next: 'p' })).toThrow(
      expect.objectContaining({ code: 'unsafe-in-place', message: expect.stringMatching(/"p".*bystander \(Relu\)/) }),
    );
  });

  it('is refused where the reader sees the input through a view', () => {
    const graph = updateOf(sgd, (builder) => {
      const view = builder.add('Flatten', ['p'], { axis: int(0) });
      builder.output(builder.add('Abs', [view]), 'other');
    });
    expect(() => checkInPlace(graph, { next: 'p' })).toThrow(/Abs/);
  });

  it('is refused where the writing node reads elements that it has already written', () => {
    const builder = new GraphBuilder('product');
    builder.input('p', 'float32', [3, 3]);
    builder.output(builder.add('MatMul', ['p', 'p']), 'next');
    expect(() => checkInPlace(builder.build(), { next: 'p' })).toThrow(/does not work element by element/);
  });

  it('is refused where the output is no node’s work', () => {
    const builder = new GraphBuilder('nothing');
    builder.input('p', 'float32', [3]);
    builder.output(builder.input('q', 'float32', [3]), 'next');
    expect(() => checkInPlace(builder.build(), { missing: 'p' })).toThrow(/no node computes/);
  });
});
