// Opens an engine over onnxruntime-node: in a worker thread unless told otherwise.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { EngineError } from '../../base/index.ts';
import { blockFrom, blockProbe } from '../../lower/index.ts';
import { GraphBuilder } from '../../onnx/index.ts';
import type { Engine, EngineInfo, Provider } from '../engine.ts';
import type { Channel } from './channel.ts';
import { gateWords, guardExit } from './exit-gate.ts';
import type { CoreSettings, Optimization, ThreadStart } from './messages.ts';
import { type Lowering, NodeEngine } from './node-engine.ts';
import { providerMissing, providersHere } from './providers.ts';
import { silenceRuntime } from './silence.ts';
import type { TriedForms } from './tried-forms.ts';
import { WorkerChannel } from './worker-channel.ts';

export interface EngineOptions {
  /** Default `cpu`. */
  readonly provider?: Provider;
  /**
   * Threads of one graph run, or where a run is taken in units as many threads that each take their own; default: as many as the process
   * may use. Another number gives other last bits.
   */
  readonly threads?: number;
  /** Idle threads spin: faster for one session with long operators, ruinous for several processes on the same cores. Default false. */
  readonly spinning?: boolean;
  /** `auto` (default): graphs are rewritten for the provider's fastest kernels where it has any. Another lowering gives other last bits. */
  readonly lowering?: 'auto' | 'none';
  /** `auto` (default): a lowering computes convolutions of 3 x 3 in Winograd's transformed domain where that is less work; `direct`: none. */
  readonly convolution?: 'auto' | 'direct';
  /** Told when a graph that was lowered runs as it is after all, and why. */
  readonly onRefusal?: (graph: string, reason: string) => void;
  /** Lowered forms that were tried before, which are taken as they are; and where those that pass are kept. Without it all are tried. */
  readonly tried?: TriedForms | undefined;
  /** How far ONNX Runtime rewrites graphs. Another level gives other last bits. Default `all`. */
  readonly optimization?: Optimization;
  /** `worker` (default) never blocks the caller; `inline` runs in the caller's thread, for networks of microseconds. */
  readonly placement?: 'worker' | 'inline';
  /** Bound on resident tensors and loaded files together, bytes; default half of the machine's memory. */
  readonly bytesMax?: number;
  /**
   * Files in Chrome's trace format, two for each session, say when each operator ran and when runs began (profiled.ts). Their names begin
   * with `prefix`, then `~` and the thread.
   */
  readonly profile?: { readonly prefix: string; readonly until: AbortSignal } | undefined;
  /** When it aborts, the engine is closed. */
  readonly signal?: AbortSignal;
}

/**
 * Opens an engine. Throws EngineError `provider-missing` when the provider is not in this build or finds no device, `load-failed`
 * when the worker cannot start, and the signal's reason when it aborts first.
 */
export async function openEngine(options: EngineOptions = {}): Promise<Engine> {
  const { signal } = options;
  signal?.throwIfAborted();
  silenceRuntime();
  const settings = settingsOf(options);
  if (settings.provider !== 'cpu') {
    const here = await providersHere();
    if (!here.some((one) => one.provider === settings.provider)) throw providerMissing(settings.provider, here);
  }
  const inline = options.placement === 'inline';
  const channel = inline ? await inlineChannel(settings) : workerChannel(settings);
  const bare = new NodeEngine(infoOf(settings, {}, 1), channel);
  let block: number | undefined;
  try {
    await probe(bare);
    if (settings.provider === 'cpu' && options.lowering !== 'none') block = await blockOf(bare);
    signal?.throwIfAborted();
  } catch (error) {
    await bare.close();
    throw error;
  }
  const workers = inline || block === undefined ? 1 : settings.threads;
  let lanes = 0;
  const openLane = (): Channel => {
    lanes += 1;
    const profilePrefix = options.profile && `${options.profile.prefix}~engine ${lanes + 1}`;
    return workerChannel({ ...settings, threads: 1, profilePrefix });
  };
  const lowering = {
    block,
    winograd: block !== undefined && options.convolution !== 'direct',
    onRefusal: options.onRefusal,
    tried: options.tried,
    openLane,
  };
  const engine = new NodeEngine(infoOf(settings, lowering, workers), channel, lowering);
  signal?.addEventListener('abort', () => void engine.close(), { once: true });
  // An engine that is closed by then has written them.
  options.profile?.until.addEventListener('abort', () => void engine.endProfile().catch(() => undefined), {
    once: true,
  });
  return engine;
}

/**
 * Room for a thread's young objects in MB. V8 lets it grow to 48 with time: over 2000 steps of `ct-cnn` the server's memory grew by a sixth,
 * and with this it does not.
 */
const maxYoungGenerationSizeMb = 6;

function settingsOf(options: EngineOptions): CoreSettings {
  const threads = options.threads ?? availableParallelism();
  if (!Number.isInteger(threads) || threads < 1)
    throw new EngineError('load-failed', `engine: threads must be a whole number of 1 or more, got ${threads}`);
  return {
    provider: options.provider ?? 'cpu',
    threads,
    spinning: options.spinning ?? false,
    optimization: options.optimization ?? 'all',
    profilePrefix: options.profile && `${options.profile.prefix}~engine`,
    bytesMax: options.bytesMax ?? Math.floor(totalmem() / 2),
  };
}

function infoOf(settings: CoreSettings, { block, winograd }: Lowering, workers: number): EngineInfo {
  const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string };
  const { provider, threads, optimization } = settings;
  return {
    runtime: 'onnxruntime-node',
    version,
    provider,
    threads,
    workers,
    lowering: block === undefined ? 'none' : `blocks of ${block}${winograd === true ? ', winograd' : ''}`,
    optimization,
  };
}

function workerChannel(settings: CoreSettings): Channel {
  const file = workerFile(import.meta.url);
  if (!existsSync(file))
    throw new EngineError('load-failed', `engine: ${fileURLToPath(file)} does not exist; run "npm run build" first`);
  // Not the process's own flags: some (--input-type, --eval) make no sense for a file.
  const start: ThreadStart = { settings, gate: gateWords() };
  const worker = new Worker(file, { workerData: start, execArgv: [], resourceLimits: { maxYoungGenerationSizeMb } });
  guardExit(worker, start.gate);
  return new WorkerChannel(worker);
}

// A worker thread runs JavaScript. When this file itself is run from the TypeScript sources (tests), the built one is taken.
function workerFile(here: string): URL {
  return here.endsWith('.ts') ? new URL('../../../dist/engine/node/worker.js', here) : new URL('./worker.js', here);
}

// Only an inline engine loads ONNX Runtime's library into the caller's thread.
async function inlineChannel(settings: CoreSettings): Promise<Channel> {
  const { InlineChannel } = await import('./inline-channel.ts');
  return new InlineChannel(settings);
}

/** Channels in a block of ONNX Runtime's image kernels on this processor; undefined where this build has none. */
async function blockOf(engine: Engine): Promise<number | undefined> {
  const { graph, x } = blockProbe();
  try {
    const loaded = await engine.load(graph);
    const { y } = await engine.run({
      graph: loaded,
      feeds: { x: { dtype: 'float32', dims: [1, 64, 1, 2], data: x } },
      fetch: ['y'],
    });
    await engine.unload(loaded);
    return y && blockFrom(y.data as Float32Array);
  } catch (error) {
    if (error instanceof EngineError && (error.code === 'unsupported-operator' || error.code === 'load-failed'))
      return undefined;
    throw error;
  }
}

// The smallest graph shows whether ONNX Runtime and its provider work here, when the engine is opened and not in the middle of a study.
async function probe(engine: Engine): Promise<void> {
  const builder = new GraphBuilder('probe');
  builder.output(builder.add('Neg', [builder.input('x', 'float32', [1])]));
  try {
    await engine.unload(await engine.load(builder.build()));
  } catch (error) {
    throw providerMissing(engine.info.provider, await providersHere().catch(() => []), error);
  }
}
