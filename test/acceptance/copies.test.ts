// How often a step's tensors are copied, counted where JavaScript copies: with real sockets and engines in threads of their own. What
// docs/ARCHITECTURE.md says of copies is what is held here.

import { describe, expect, it, vi } from 'vitest';
import { openEngine } from '../../src/engine/node/index.ts';
import { elementCount } from '../../src/tensor/index.ts';
import { connectWebSocket, listenWebSocket } from '../../src/transport/node/index.ts';
import { planStudy, runInMemory } from '../harness/study.ts';

/** Copies of fewer bytes are not of tensors that matter. */
const largeBytes = 1 << 16;
type Array8 = Uint8Array & { set(source: ArrayLike<number>, offset?: number): void };
const arrays = Object.getPrototypeOf(Uint8Array.prototype) as Array8;

describe('the large copies of a step', () => {
  it('are one for each message where it comes in, one where a site joins its gradient, one of the batch', async () => {
    const network = { name: 'ct-cnn', options: { size: 64, dropout: 0 }, loss: 'softmax-cross-entropy' } as const;
    const training = { batch: 96, epochs: 1, select: 'last' } as const;
    const choices = { segments: 'private' } as const;
    const planned = planStudy({ network, choices, training, counts: [160, 160, 160] });
    const { cutDims, inputDims } = planned.plan.network;
    const listener = await listenWebSocket({ port: 0 });
    const copied: Record<string, number>[] = [];
    const counts = countCopies();
    try {
      await runInMemory(
        planned,
        { onEvent: (event) => event.kind === 'step' && copied.push(counts.taken()) },
        {
          listener,
          connect: (signal) => connectWebSocket(listener.address, { signal }),
          openEngine: (role) => openEngine({ threads: role === 'server' ? 2 : 1 }),
        },
      );
    } finally {
      counts.stop();
    }
    const cut = 4 * 96 * elementCount(cutDims);
    const input = 4 * 96 * elementCount(inputDims);
    expect(copied.length).toBe(5);
    // From the end of the first step to that of the last. Messages come in by `set`, activations and gradients once each; sites join the
    // gradient's pieces by `set`; and the batch goes to the engine's thread by `slice`, for the next step perhaps before this one's end.
    const total = (how: string): number => copied.slice(1).reduce((sum, bytes) => sum + (bytes[how] ?? 0), 0);
    expect(total('set')).toBeGreaterThan(4 * 1.5 * cut);
    expect(total('set')).toBeLessThan((4 * 3 + 0.7) * cut);
    expect(total('slice')).toBeGreaterThanOrEqual(3 * input);
    expect(total('slice')).toBeLessThan(4.7 * input);
  }, 60_000);
});

/** Counts the bytes of large copies by `set` and `slice` of any typed array in this thread. */
function countCopies(): { taken(): Record<string, number>; stop(): void } {
  let bytes: Record<string, number> = {};
  const add = (name: string, more: number): void => {
    if (more >= largeBytes) bytes[name] = (bytes[name] ?? 0) + more;
  };
  // oxlint-disable-next-line unbound-method -- called with the array that they are of
  const { set, slice } = arrays;
  const setting = vi.spyOn(arrays, 'set').mockImplementation(function (this: Uint8Array, source, offset) {
    add('set', source.length * this.BYTES_PER_ELEMENT);
    set.call(this, source, offset);
  });
  const slicing = vi.spyOn(arrays, 'slice').mockImplementation(function (this: Uint8Array, start, end) {
    const result = slice.call(this, start, end);
    add('slice', result.byteLength);
    return result;
  });
  return {
    taken: () => {
      const all = bytes;
      bytes = {};
      return all;
    },
    stop: () => {
      setting.mockRestore();
      slicing.mockRestore();
    },
  };
}
