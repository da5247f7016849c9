// The recorder of a process that a run has started with --profile.

import { Recorder } from '../study/index.ts';

export function recorderOf(
  process: string,
  { profileTo, profileSteps }: { readonly profileTo?: string; readonly profileSteps?: number[] },
): Recorder | undefined {
  const [from, to] = profileSteps ?? [];
  if (profileTo === undefined || from === undefined || to === undefined) return undefined;
  return new Recorder(process, { folder: profileTo, from, to });
}
