// ONNX Runtime (1.30 on Linux) reports its use to its makers at mobile.events.data.microsoft.com, some seconds after its first session, and
// through whichever HTTPS_PROXY there is. A site sends what its plan says and nothing else, so it is told not to before it is loaded.

/** To be called before ONNX Runtime's library is loaded, in the process's main thread: the library reads the process's own environment. */
export function silenceRuntime(): void {
  process.env['ORT_DISABLE_TELEMETRY'] = '1';
}
