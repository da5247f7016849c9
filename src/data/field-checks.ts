// Checks across the fields of a section, so that they find what they can even when other fields are wrong.

import type { z } from 'zod';

/** A check that reads only these fields runs whenever they are themselves right, whatever is wrong elsewhere: all problems at once. */
export function reading(...keys: string[]): z.core.$ZodSuperRefineParams {
  return {
    when: ({ value, issues }) =>
      typeof value === 'object' &&
      value !== null &&
      !issues.some(({ path }) => path !== undefined && keys.includes(String(path[0]))),
  };
}
