import { type Clock, DataError } from '../base/index.ts';
import type { Registry } from '../store/index.ts';

/** How often the registry is asked whether somebody else has written. */
const watchMs = 250;

/**
 * Calls `look` after another process has written to the registry, until the signal aborts. While the registry cannot be read nothing is
 * called; it is asked again.
 */
export async function watchRegistry(
  registry: Registry,
  look: () => void,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  let seen: number | undefined;
  while (!signal.aborted) {
    try {
      const version = registry.version();
      if (version !== seen) look();
      seen = version;
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
    }
    await clock.sleep(watchMs, signal).catch(() => undefined);
  }
}
