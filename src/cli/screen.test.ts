import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import type { SiteEvent } from '../site/index.ts';
import { Screen } from './screen.ts';
import { SiteProgress } from './site-progress.ts';

/** A terminal of so many columns, and what was written to it. */
function terminal(columns: number): { readonly screen: Screen; readonly written: () => string } {
  const stream = Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY: true, columns });
  const screen = new Screen({ stream: stream as unknown as NodeJS.WriteStream });
  return { screen, written: () => (stream.read() as string | null) ?? '' };
}

it.each([
  [40, 39],
  [0, 79], // Some terminals do not say how wide they are.
])('on a terminal of %i columns the changing line has %i characters at most', (columns, width) => {
  const { screen, written } = terminal(columns);
  screen.show(() => 'x'.repeat(200), 1000);
  expect(written()).toBe('x'.repeat(width));
});

it('a site that cannot connect says so once, and again when something changed', () => {
  const { screen, written } = terminal(80);
  const progress = new SiteProgress(screen, 'site-1');
  const event = (kind: 'connected' | 'lost', detail: string): SiteEvent => ({ kind, detail, code: '' });
  const [refused, here] = [event('lost', 'connection refused'), event('connected', 'ws://127.0.0.1:1')];
  for (const each of [refused, refused, refused, here, refused, refused]) progress.take(each);
  expect(written()).toBe(
    'no connection: connection refused\nconnected to ws://127.0.0.1:1\nno connection: connection refused\n',
  );
});
