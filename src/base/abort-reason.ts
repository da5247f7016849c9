// Why a signal was aborted, as an error.

/** The signal's reason itself if it is an Error, as it is unless the caller chose otherwise. */
export function abortReason(signal: AbortSignal): Error {
  const { reason } = signal;
  return reason instanceof Error ? reason : new Error(`aborted: ${String(reason)}`, { cause: reason });
}
