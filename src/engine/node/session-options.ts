// The options of every session. Sequential execution and one thread pool, so that the same inputs give the same bits.

import type { InferenceSession } from 'onnxruntime-node';
import type { CoreSettings } from './messages.ts';

/**
 * ONNX Runtime's options for these settings. A lowered graph is in the layout that it shall have: the levels that change layouts are left
 * out for it.
 */
export function sessionOptions(
  settings: CoreSettings,
  form: 'standard' | 'lowered' = 'standard',
): InferenceSession.SessionOptions {
  const { optimization } = settings;
  const changesLayout = optimization === 'all' || optimization === 'layout';
  return {
    executionProviders: [settings.provider],
    graphOptimizationLevel: form === 'lowered' && changesLayout ? 'extended' : optimization,
    // A pattern holds a second copy of everything that lives through a run: 2.5 GB instead of 1.7 for a step of VGG-19, and no faster;
    // for networks of microseconds it is twice as fast.
    enableMemPattern: form === 'standard',
    intraOpNumThreads: settings.threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    // Fatal only: an error is thrown as well, and a caller that expects one should not find it on standard error.
    logSeverityLevel: 4,
    // Spinning between the operators of a run is what helps; between runs it only takes the cores from others.
    extra: { session: { intra_op: { allow_spinning: settings.spinning ? '1' : '0' }, force_spinning_stop: '1' } },
  };
}
