import { createRequire } from 'node:module';

/** The versions that a result depends on: of Septum, Node and ONNX Runtime. */
export function versions(): Record<string, string> {
  const read = createRequire(import.meta.url);
  const own = read('../../../package.json') as { version: string };
  const runtime = read('onnxruntime-node/package.json') as { version: string };
  return {
    septum: own.version,
    node: process.version,
    onnxruntime: runtime.version,
    platform: `${process.platform}-${process.arch}`,
  };
}
