// `septum pause`, `septum resume` and `septum stop`.

import type { StudyStatus, StudyWish } from '../store/index.ts';
import { orderStudy } from '../study/index.ts';
import type { OrderFlags } from './commands/orders.ts';
import { fail } from './exit.ts';
import { Screen } from './screen.ts';

const wishes = { pause: 'pause', resume: 'run', stop: 'stop' } as const satisfies Record<string, StudyWish>;

export async function order(order: keyof typeof wishes, study: string, { state }: OrderFlags): Promise<number> {
  try {
    const { status, served } = await orderStudy(state, study, wishes[order]);
    new Screen().line(answer(order, status, served));
    return 0;
  } catch (error) {
    return fail(error);
  }
}

/** What will happen, and when. */
function answer(order: keyof typeof wishes, { name, wish }: StudyStatus, served: boolean): string {
  if (wish === wishes[order]) return `${name}: that is what was wanted of it already`;
  const when = served
    ? 'the server hears of it within a second'
    : 'no server runs with this folder: it takes effect when one is started';
  const what = {
    pause: 'it stands still after its next commit, and its sites wait',
    resume: 'it goes on',
    stop: 'it ends at its newest commit, with the best model so far, and is not begun again',
  }[order];
  return `${name}: ${what}; ${when}`;
}
