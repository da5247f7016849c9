// The plans that a site's operator has approved, kept in the site's folder so that a restart does not ask again.

import { join } from 'node:path';
import { z } from 'zod';
import { DataError } from '../../base/index.ts';
import { readPrivateFile, writePrivateFile } from '../../store/node/index.ts';

const schema = z.strictObject({
  format: z.literal(1),
  approved: z.array(
    z.strictObject({ study: z.string(), plan: z.string().regex(/^[0-9a-f]{64}$/), at: z.iso.datetime() }),
  ),
});
type Approved = z.infer<typeof schema>;

const approvedFile = (stateDir: string): string => join(stateDir, 'approved.json');

/** Whether the plan of this hash was approved before. Throws DataError `bad-file`. */
export async function isApproved(stateDir: string, plan: string): Promise<boolean> {
  return (await readApproved(stateDir)).approved.some((entry) => entry.plan === plan);
}

/** Keeps that a plan was approved; the folder must be there. Throws DataError `bad-file`. */
export async function rememberApproved(stateDir: string, study: string, plan: string): Promise<void> {
  const { approved } = await readApproved(stateDir);
  if (approved.some((entry) => entry.plan === plan)) return;
  const all: Approved = { format: 1, approved: [...approved, { study, plan, at: new Date().toISOString() }] };
  await writePrivateFile(approvedFile(stateDir), `${JSON.stringify(all, null, 2)}\n`);
}

async function readApproved(stateDir: string): Promise<Approved> {
  const path = approvedFile(stateDir);
  let text: string;
  try {
    text = await readPrivateFile(path);
  } catch (error) {
    if (error instanceof DataError && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT')
      return { format: 1, approved: [] };
    throw error;
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new DataError('bad-file', `${path}: it is not a list of approved plans; remove it to be asked again`, {
      cause,
    });
  }
}
