export { atomicWriteFile, makeFolder } from './atomic-file.ts';
export {
  openFileActivationStore,
  type FileActivationStore,
  type FileActivationStoreOptions,
} from './file-activation-store.ts';
export { openFileCommitStore } from './file-commit-store.ts';
export { openFileLedger, type FileLedgerOptions } from './file-ledger.ts';
export { openFileLog, readFileLog, type FileLogOptions } from './file-log.ts';
export { openKeyFile, readPrivateFile, type SigningKey, verifySignature, writePrivateFile } from './key-file.ts';
export type { RecordedEntry } from './ledger-chain.ts';
export { readLedger, verifyLedger, type LedgerCheck } from './verify-ledger.ts';
export { lockOwner, takeLock } from './lock-file.ts';
export { openSqliteRegistry } from './sqlite-registry.ts';
