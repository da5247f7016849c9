// What ends a course whose study goes on from a commit.

import { SeptumError } from '../base/index.ts';

export class GoingBack extends SeptumError {
  /** The site that is no longer waited for, if that is why. */
  readonly straggler: number | undefined;

  constructor(reason: string, straggler?: number) {
    super('going-back', reason);
    this.straggler = straggler;
  }
}
