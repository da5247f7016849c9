// A session of ONNX Runtime, made and run at once in the calling thread. onnxruntime-node's own session would wait for the next turn of the
// event loop before each run, and look at names and values that are held against the graph's declaration here already: for a small network
// that takes longer than its run. So its binding is called, which is the same in every release of the version that package.json pins.

import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { binding, initOrt } from 'onnxruntime-node/dist/binding.js';

export type Values = Readonly<Record<string, OrtTensor>>;
/** The outputs that a run is to give; a tensor is filled where the runtime can. */
export type Fetches = Readonly<Record<string, OrtTensor | null>>;

const noOptions = {};

export class Session {
  readonly #native: InstanceType<typeof binding.InferenceSession>;
  readonly #all: Fetches;
  /** Called before each run. */
  onRun: (() => void) | undefined;

  /** Throws what ONNX Runtime throws at a graph that it cannot load. */
  constructor(bytes: Uint8Array<ArrayBuffer>, options: InferenceSession.SessionOptions) {
    initOrt();
    this.#native = new binding.InferenceSession();
    this.#native.loadModel(bytes.buffer, bytes.byteOffset, bytes.byteLength, options);
    this.#all = Object.fromEntries(this.#native.outputMetadata.map(({ name }) => [name, null]));
  }

  /** Computes the outputs that `fetches` names, one or more; all of them without it. Their buffers belong to the caller. */
  run(feeds: Values, fetches = this.#all): Values {
    this.onRun?.();
    return this.#native.run(feeds, fetches, noOptions);
  }

  endProfiling(): void {
    this.#native.endProfiling();
  }

  release(): void {
    this.#native.dispose();
  }
}
