// Every error that Septum throws on purpose. A caller branches on the class (what it can do) and on `code` (which case).

/** The base of all of Septum's errors. `code` is stable and may be branched on; `message` is for people. */
export class SeptumError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The study file, a flag or an option is wrong: its author can mend it. `problems` lists every one that was found. */
export class ConfigError extends SeptumError {
  readonly problems: readonly string[];
  constructor(code: ConfigErrorCode, problems: string | readonly string[], options?: { cause?: unknown }) {
    const list = typeof problems === 'string' ? [problems] : problems;
    super(code, list.join('\n'), options);
    this.problems = list;
  }
}
export type ConfigErrorCode =
  'bad-study' | 'bad-usage' | 'combination-refused' | 'unknown-network' | 'folder-not-empty';

/** Records, labels or files of data are wrong: the site's data manager can mend them. `problems` lists every one that was found. */
export class DataError extends SeptumError {
  readonly problems: readonly string[];
  constructor(code: DataErrorCode, problems: string | readonly string[], options?: { cause?: unknown }) {
    const list = typeof problems === 'string' ? [problems] : problems;
    super(code, list.join('\n'), options);
    this.problems = list;
  }
}
export type DataErrorCode = 'bad-data' | 'missing-data' | 'too-few-records' | 'too-few-sites' | 'bad-file';

/** A graph cannot be built, differentiated, loaded or run. */
export class EngineError extends SeptumError {
  constructor(code: EngineErrorCode, message: string, options?: { cause?: unknown }) {
    super(code, message, options);
  }
}
export type EngineErrorCode =
  | 'bad-graph'
  | 'bad-model-file'
  | 'no-gradient-rule'
  | 'unsupported-operator'
  | 'unsafe-in-place'
  | 'provider-missing'
  | 'load-failed'
  | 'run-failed'
  | 'engine-closed';

/** A connection failed or closed. Another attempt may succeed. */
export class TransportError extends SeptumError {
  constructor(code: TransportErrorCode, message: string, options?: { cause?: unknown }) {
    super(code, message, options);
  }
}
export type TransportErrorCode = 'closed' | 'connect-failed' | 'cut-off' | 'too-large' | 'refused';

/** A peer sent something that its place in the study does not allow. It costs that connection and nothing else. */
export class ProtocolError extends SeptumError {
  constructor(code: ProtocolErrorCode, message: string, options?: { cause?: unknown }) {
    super(code, message, options);
  }
}
export type ProtocolErrorCode =
  | 'bad-frame'
  | 'bad-version'
  | 'bad-field'
  | 'bad-shape'
  | 'not-finite'
  | 'out-of-order'
  | 'plan-mismatch'
  | 'unknown-site'
  | 'already-connected'
  | 'going-back'
  | 'study-went-back'
  | 'study-stopped'
  | 'refused-by-peer'
  | 'not-admitted'
  | 'no-proof'
  | 'bad-proof'
  | 'wrong-key'
  | 'wrong-certificate'
  | 'wrong-identity'
  | 'revoked'
  | 'withdrawn'
  | 'key-replaced'
  | 'unknown-token'
  | 'token-expired'
  | 'token-spent';

/** A deadline passed. */
export class TimeoutError extends SeptumError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('timeout', message, options);
  }
}

/** States what must hold if the program itself is right. Never used on data from a peer, a file or a user. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw defect(message);
}

/** What `assert` throws, for a check that is made so often that its words are put together only when it fails. */
export function defect(message: string): Error {
  return new Error(`internal: ${message}`);
}

/** An error's message, or the thing itself as text, for joining into another message. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** An error's code, or `internal` for one that Septum does not throw on purpose. */
export function codeOf(error: unknown): string {
  return error instanceof SeptumError ? error.code : 'internal';
}
