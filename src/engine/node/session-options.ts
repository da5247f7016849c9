// The options of every session. Sequential execution and one thread pool, so that the same inputs give the same bits.

import type { InferenceSession } from 'onnxruntime-node';
import type { CoreSettings } from './messages.ts';

/** ONNX Runtime's options for these settings. */
export function sessionOptions(settings: CoreSettings): InferenceSession.SessionOptions {
  return {
    executionProviders: [settings.provider],
    graphOptimizationLevel: settings.optimization,
    intraOpNumThreads: settings.threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    // Fatal only: an error is thrown as well, and a caller that expects one should not find it on standard error.
    logSeverityLevel: 4,
    // Spinning between the operators of a run is what helps; between runs it only takes the cores from others.
    extra: { session: { intra_op: { allow_spinning: settings.spinning ? '1' : '0' }, force_spinning_stop: '1' } },
  };
}
