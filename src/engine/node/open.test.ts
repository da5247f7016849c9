import { spawnSync } from 'node:child_process';
import { readdir, stat } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { EngineError } from '../../base/index.ts';
import { GraphBuilder } from '../../onnx/index.ts';
import { float32, tensor } from '../../tensor/index.ts';
import { openEngine, providersHere } from './index.ts';
import { NodeEngine } from './node-engine.ts';
import { WorkerChannel } from './worker-channel.ts';

describe('opening an engine', () => {
  test('it says what a commit must record', async () => {
    await using engine = await openEngine({ threads: 1 });
    expect(engine.info).toEqual({
      runtime: 'onnxruntime-node',
      version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
      provider: 'cpu',
      threads: 1,
      workers: 1,
      lowering: expect.stringMatching(/^(none|blocks of (8|16), winograd)$/) as string,
      optimization: 'all',
    });
  });

  test('a provider that is not in this build is refused with what is here and what to do', async () => {
    const here = (await providersHere()).map((one) => one.provider);
    expect(here).toContain('cpu');
    for (const provider of (['dml', 'coreml', 'cuda', 'webgpu'] as const).filter((one) => !here.includes(one))) {
      const opening = openEngine({ provider });
      await expect(opening).rejects.toBeInstanceOf(EngineError);
      await expect(opening).rejects.toMatchObject({
        code: 'provider-missing',
        message: expect.stringMatching(
          new RegExp(`provider ${provider} .*this build has .*cpu.*use provider cpu`),
        ) as string,
      });
    }
    expect(here.includes('dml') && here.includes('coreml')).toBe(false);
  });

  test('thread counts that mean nothing are refused', async () => {
    for (const threads of [0, -1, 1.5, Number.NaN])
      await expect(openEngine({ threads })).rejects.toThrow(/threads must be a whole number of 1 or more/);
  });

  test('an aborted signal closes the engine', async () => {
    const controller = new AbortController();
    const engine = await openEngine({ threads: 1, signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(engine.get([])).rejects.toMatchObject({ code: 'engine-closed' });
    await engine.close();
    await expect(openEngine({ signal: controller.signal })).rejects.toThrow('enough');
  });

  test.each(['disabled', 'basic', 'extended', 'layout', 'all'] as const)(
    'optimization level %s is one that ONNX Runtime takes',
    async (optimization) => {
      await using engine = await openEngine({ threads: 1, placement: 'inline', optimization });
      const builder = new GraphBuilder('twice');
      builder.output(builder.add('Mul', [builder.input('x', 'float32', [1]), builder.scalar(2)]), 'y');
      const graph = await engine.load(builder.build());
      expect(await engine.run({ graph, feeds: { x: float32([4]) }, fetch: ['y'] })).toEqual({ y: float32([8]) });
      expect(engine.info.optimization).toBe(optimization);
    },
  );

  test('an engine that nobody closed does not keep the process alive', () => {
    const index = new URL('../../../dist/engine/node/index.js', import.meta.url).href;
    const program = `import { openEngine } from '${index}'; await openEngine({ threads: 1 }); console.log('opened');`;
    const ran = spawnSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 30_000 });
    expect([ran.status, ran.stdout.toString(), ran.stderr.toString()]).toEqual([0, 'opened\n', '']);
  });
});

describe('a process that ends while its engine computes', () => {
  test.each([
    ['process.exit', 'process.exit(3)', 3],
    ['an uncaught error', `throw new Error('lost')`, 1],
  ])('by %s, it ends with its own exit code', (_, end, code) => {
    const module = (path: string): string => new URL(`../../../dist/${path}`, import.meta.url).href;
    const program = `
      import { openEngine } from '${module('engine/node/index.js')}';
      import { GraphBuilder } from '${module('onnx/index.js')}';
      import { zeros } from '${module('tensor/index.js')}';
      const builder = new GraphBuilder('long');
      let value = builder.input('x', 'float32', [1024, 1024]);
      for (let index = 0; index < 16; index++) value = builder.add('MatMul', [value, 'x']);
      builder.output(value, 'y');
      const engine = await openEngine({ threads: 1 });
      const graph = await engine.load(builder.build());
      let over = 0;
      const runs = Array.from({ length: 3 }, () =>
        engine.run({ graph, feeds: { x: zeros('float32', [1024, 1024]) } }).then(() => over++),
      );
      await runs[0];
      setTimeout(() => { console.log(over); ${end}; }, 5);`;
    const ran = spawnSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 30_000 });
    // One run of three was over, so the process ended in the middle of the second.
    expect([ran.status, ran.signal, ran.stdout.toString()]).toEqual([code, null, '1\n']);
  });
});

describe('buffers that move', () => {
  test('a tensor whose buffer was transferred before is named', async () => {
    await using engine = await openEngine({ threads: 1 });
    const x = float32([1, 2]);
    await engine.put({ x }, { transfer: true });
    expect(x.data.length).toBe(0);
    const message = /"x": \[2\] needs 2 elements, got 0; its buffer may have been transferred/;
    await expect(engine.put({ x })).rejects.toThrow(message);
    await expect(engine.put({ x }, { transfer: true })).rejects.toThrow(message);
    expect(await engine.get(['x'])).toEqual({ x: float32([1, 2]) });
  });

  test("a slice of Node's pool of buffers is copied, and the pool stays whole", async () => {
    await using engine = await openEngine({ threads: 1 });
    const neighbour = Buffer.from('neighbour');
    const pooled = Buffer.from(Uint8Array.of(7, 8, 9));
    expect(pooled.buffer.byteLength).toBeGreaterThan(3);
    const x = tensor('uint8', [3], new Uint8Array(pooled.buffer, pooled.byteOffset, 3));
    await engine.put({ x }, { transfer: true });
    expect(await engine.get(['x'])).toEqual({ x: tensor('uint8', [3], Uint8Array.of(7, 8, 9)) });
    expect(neighbour.toString()).toBe('neighbour');
  });
});

describe('the built worker', () => {
  test('is not older than the sources that these tests run', async () => {
    const sources = new URL('./', import.meta.url);
    const built = new URL('../../../dist/engine/node/', import.meta.url);
    const stale: string[] = [];
    for (const name of (await readdir(sources)).filter((one) => one.endsWith('.ts') && !one.endsWith('.test.ts'))) {
      const source = await stat(new URL(name, sources));
      const output = await stat(new URL(name.replace('.ts', '.js'), built)).catch(() => undefined);
      if (!output || output.mtimeMs < source.mtimeMs) stale.push(name);
    }
    expect(stale, 'run "npm run build"').toEqual([]);
  });
});

describe('when the thread of an engine dies', () => {
  const info = { runtime: 'none', version: '0', provider: 'cpu', threads: 1, workers: 1, lowering: 'none' } as const;
  const engineOver = (program: string): NodeEngine =>
    new NodeEngine(info, new WorkerChannel(new Worker(program, { eval: true })));

  test('every pending and later call rejects with the cause, and close still settles', async () => {
    const engine = engineOver(
      `require('node:worker_threads').parentPort.on('message', () => { throw new RangeError('out of luck'); });`,
    );
    const pending = [engine.put({}), engine.get(['a']), engine.drop(['a'])];
    for (const settled of await Promise.allSettled(pending)) {
      expect(settled.status).toBe('rejected');
      const { reason } = settled as PromiseRejectedResult;
      expect(reason).toBeInstanceOf(EngineError);
      expect(reason).toMatchObject({
        code: 'engine-closed',
        message: expect.stringContaining('out of luck') as string,
      });
      expect((reason as Error).cause).toBeInstanceOf(RangeError);
    }
    await expect(engine.get(['a'])).rejects.toMatchObject({ code: 'engine-closed' });
    await engine.close();
    await engine.close();
  });

  test('a thread that just ends is reported with its exit code', async () => {
    const engine = engineOver(`require('node:worker_threads').parentPort.on('message', () => process.exit(7));`);
    await expect(engine.get(['a'])).rejects.toMatchObject({
      code: 'engine-closed',
      message: expect.stringContaining('code 7') as string,
    });
    await engine.close();
  });

  test('a call that was in work when its thread is stopped rejects', async () => {
    const worker = new Worker(`require('node:worker_threads').parentPort.on('message', () => {});`, { eval: true });
    const engine = new NodeEngine(info, new WorkerChannel(worker));
    const [settled] = await Promise.allSettled([engine.get(['a']), worker.terminate()]);
    expect(settled).toMatchObject({ status: 'rejected', reason: { code: 'engine-closed' } });
  });
});
