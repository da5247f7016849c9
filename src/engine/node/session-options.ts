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
    // 3: errors only. Warnings about names and unused initializers would go to standard error.
    logSeverityLevel: 3,
    extra: { session: { intra_op: { allow_spinning: settings.spinning ? '1' : '0' } } },
  };
}
