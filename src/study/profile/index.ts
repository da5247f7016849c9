export { type ProfileSettings, Recorder } from './recorder.ts';
export { type ProfileRow, type ProfileTable } from './table.ts';
export { writeProfile } from './write-profile.ts';
