export { atomicWriteFile } from './atomic-file.ts';
export {
  openFileActivationStore,
  type FileActivationStore,
  type FileActivationStoreOptions,
} from './file-activation-store.ts';
export { openFileCommitStore } from './file-commit-store.ts';
export { openFileLog, readFileLog, type FileLogOptions } from './file-log.ts';
export { openKeyFile, readPrivateFile, type SigningKey, verifySignature, writePrivateFile } from './key-file.ts';
export { openSqliteRegistry } from './sqlite-registry.ts';
