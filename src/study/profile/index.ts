export { type ProfileSettings, Recorder, seenCommit } from './recorder.ts';
export { type ProfileRow, type ProfileTable } from './table.ts';
export { writeProfile } from './write-profile.ts';
