import { createHash } from 'node:crypto';
import { fork } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rename, rm, stat, truncate, writeFile, appendFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { DataError } from '../../base/index.ts';
import type { Ledger, SentMessage } from '../index.ts';
import { openFileLedger, type FileLedgerOptions } from './file-ledger.ts';
import { openKeyFile } from './key-file.ts';
import type { RecordedEntry } from './ledger-chain.ts';
import { chainHash, lineOf, noHash, volumeName } from './ledger-format.ts';
import { readLedger, verifyLedger } from './verify-ledger.ts';

const root = await mkdtemp(join(tmpdir(), 'septum-ledger-'));
afterAll(() => rm(root, { recursive: true }));
const key = await openKeyFile(join(root, 'site.key'));
let count = 0;
const newFolder = (): string => join(root, `ledger-${(count += 1)}`);

const message: SentMessage = {
  kind: 'activations',
  sequence: 0,
  epoch: 0,
  step: 0,
  part: 0,
  chunk: 0,
  tensors: ['cut float32 [2, 3]'],
  records: 2,
  again: false,
};

function send(ledger: Ledger, from: number, to: number): void {
  for (let step = from; step < to; step++)
    ledger.appendSent({ ...message, sequence: step, step }, [Uint8Array.of(step), Uint8Array.of(1, 2)]);
}

/** A closed ledger of sealed blocks. */
async function written(options: FileLedgerOptions = {}, blocks = 3, each = 4): Promise<string> {
  const folder = newFolder();
  await using ledger = await openFileLedger(folder, key, options);
  for (let block = 0; block < blocks; block++) {
    send(ledger, block * each, (block + 1) * each);
    await ledger.sync();
  }
  return folder;
}

const check = (folder: string, noted?: string) => verifyLedger(folder, key.publicKey, noted);
async function entriesIn(folder: string): Promise<RecordedEntry[]> {
  const entries: RecordedEntry[] = [];
  for await (const entry of readLedger(folder)) entries.push(entry);
  return entries;
}
const linesIn = async (path: string): Promise<string[]> => (await readFile(path, 'utf8')).split('\n').slice(0, -1);
const keep = (path: string, lines: readonly string[]) => writeFile(path, lines.map((line) => `${line}\n`).join(''));

test('holds every message with its length and hash, in order, over several openings, and is found in order', async () => {
  const folder = newFolder();
  for (let opening = 0; opening < 3; opening++) {
    await using ledger = await openFileLedger(folder, key, { now: () => 86_400_000 * opening });
    ledger.append({ what: 'approved', study: 's', plan: 'ab', how: 'flag' });
    send(ledger, 0, 3);
    ledger.appendSent({ ...message, again: true }, [new Uint8Array(70_000)]);
  }
  const entries = await entriesIn(folder);
  expect(entries.map(({ n }) => n)).toEqual(entries.map((_, index) => index + 1));
  const sent = entries.filter(({ what }) => what === 'sent');
  expect(sent).toHaveLength(12);
  expect(sent[1]).toMatchObject({
    at: '1970-01-01T00:00:00.000Z',
    step: 1,
    bytes: 3,
    records: 2,
    tensors: ['cut float32 [2, 3]'],
    sha256: createHash('sha256')
      .update(Uint8Array.of(1, 1, 2))
      .digest('hex'),
  });
  expect(sent[3]).toMatchObject({ again: true, bytes: 70_000 });
  expect(sent[4]?.at).toBe('1970-01-02T00:00:00.000Z');
  expect(await check(folder)).toMatchObject({ entries: entries.length, unsigned: 0, brokenBytes: 0, closed: true });
  expect(await check(folder)).not.toHaveProperty('problem');
});

describe('a check finds', () => {
  test('a change of any byte in any file', async () => {
    const folder = await written({ volumeBytes: 900 });
    const files = (await readdir(folder)).sort();
    expect(files.length).toBeGreaterThan(3);
    const places = await Promise.all(
      files.map(async (name) => ({ name, size: (await stat(join(folder, name))).size })),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...places),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (place, at, by) => {
          const path = join(folder, place.name);
          const bytes = await readFile(path);
          const changed = Buffer.from(bytes);
          changed[at % place.size]! ^= by;
          await writeFile(path, changed);
          const { problem } = await check(folder);
          await writeFile(path, bytes);
          expect(problem).toBeDefined();
        },
      ),
      { numRuns: 400, seed: 7 },
    );
    expect((await check(folder)).problem).toBeUndefined();
  });

  test('what was changed, taken out, put in, put twice or moved, and names the entry', async () => {
    const folder = await written();
    const path = join(folder, volumeName(1));
    const lines = await linesIn(path);
    const after = async (edited: readonly (string | undefined)[]): Promise<string | undefined> => {
      await keep(path, edited as string[]);
      return (await check(folder)).problem;
    };
    expect(await after(lines.with(4, lines[4]!.replace('"bytes":3', '"bytes":4')))).toMatch(/^entry 5 was changed/);
    expect(await after(lines.toSpliced(4, 1))).toBe('entry 5 is missing: entry 6 stands there');
    expect(await after(lines.toSpliced(4, 3))).toBe('entries 5 to 7 are missing: entry 8 stands there');
    expect(await after(lines.toSpliced(5, 0, lines[4]!))).toMatch(/^entry 6 is not in its place: entry 5 stands/);
    expect(await after(lines.with(4, lines[5]!).with(5, lines[4]!))).toMatch(/^entry 5 is missing: entry 6/);
    expect(await after(lines.toSpliced(4, 0, 'garbage'))).toMatch(/^entry 5 was changed: the line is no entry/);
    expect(await after([...lines, lines[4]!])).toMatch(/is not in its place: entry 5 stands there/);
    expect(await after(lines)).toBeUndefined();
  });

  test('the end cut off at any line, or inside one', async () => {
    const folder = await written();
    const path = join(folder, volumeName(1));
    const lines = await linesIn(path);
    for (let left = 0; left < lines.length; left++) {
      await keep(path, lines.slice(0, left));
      expect((await check(folder)).problem).toBe(
        `entries ${left + 1} to ${lines.length} are missing: the ledger was cut off`,
      );
    }
    await keep(path, lines);
    await truncate(path, (await stat(path)).size - 20);
    expect((await check(folder)).problem).toBe(`entry ${lines.length} is cut off`);
  });

  test('entries that were made up with hashes that fit, by one who has not the key', async () => {
    const folder = await written();
    const path = join(folder, volumeName(1));
    const lines = await linesIn(path);
    let hash = noHash;
    const forged = lines.map((line, index) => {
      const json = index === 7 ? line.slice(65).replace('"bytes":3', '"bytes":1') : line.slice(65);
      hash = chainHash(hash, json);
      return lineOf(hash, json).trimEnd();
    });
    await keep(path, forged);
    // Seals are entries 2, 7 and 12.
    expect((await check(folder)).problem).toBe(
      'the seal in entry 12 does not hold: something between entries 8 and 12 was changed',
    );
    await keep(path, forged.toSpliced(11));
    expect((await check(folder)).problem).toMatch(/are missing: the ledger was cut off/);
  });

  test('a ledger that somebody else made and signed', async () => {
    const folder = newFolder();
    const other = await openKeyFile(join(root, 'other.key'));
    await (await openFileLedger(folder, other)).close();
    expect((await check(folder)).problem).toMatch(/^the ledger is signed by another key/);
    await expect(openFileLedger(folder, key)).rejects.toThrow(/signed by another key/);
  });

  test('a missing file, a missing tip, an older tip', async () => {
    const folder = await written({ volumeBytes: 900 });
    const [, second, third] = (await readdir(folder)).filter((name) => name.endsWith('.jsonl')).sort();
    await rename(join(folder, second!), join(root, 'away'));
    expect((await check(folder)).problem).toBe(
      `entries ${Number.parseInt(second!, 10)} to ${Number.parseInt(third!, 10) - 1} are missing`,
    );
    await rename(join(root, 'away'), join(folder, second!));
    const tip = await readFile(join(folder, 'tip.json'));
    await rm(join(folder, 'tip.json'));
    expect((await check(folder)).problem).toMatch(/the tip is missing/);
    await expect(openFileLedger(folder, key)).rejects.toThrow(/tip\.json is missing/);
    await writeFile(join(folder, 'tip.json'), tip);
    await (await openFileLedger(folder, key)).close();
    const newTip = await readFile(join(folder, 'tip.json'));
    await writeFile(join(folder, 'tip.json'), tip);
    expect((await check(folder)).problem).toMatch(/was added after the ledger was closed/);
    await expect(openFileLedger(folder, key)).rejects.toThrow(/goes on after it was closed/);
    await writeFile(join(folder, 'tip.json'), newTip);

    const open = newFolder();
    await using ledger = await openFileLedger(open, key);
    const early = await readFile(join(open, 'tip.json'));
    for (let block = 0; block < 3; block++) {
      send(ledger, block, block + 1);
      await ledger.sync();
    }
    await writeFile(join(open, 'tip.json'), early);
    expect((await check(open)).problem).toMatch(/the tip is older than the seal in entry 6: it was put back/);
  });

  test('an older ledger in place of a newer one, when an entry of the newer was noted', async () => {
    const folder = newFolder();
    await (await openFileLedger(folder, key)).close();
    const older = newFolder();
    await cp(folder, older, { recursive: true });
    await (await openFileLedger(folder, key)).close();
    const { hash } = await check(folder);
    expect((await check(folder, hash)).problem).toBeUndefined();
    expect((await check(older)).problem).toBeUndefined();
    expect((await check(older, hash)).problem).toMatch(/an older ledger was put in its place/);
  });
});

describe('after a crash', () => {
  /** A process that writes entries without a pause until it is killed. */
  async function killed(folder: string): Promise<number> {
    const program = join(root, 'writer.mjs');
    const dist = new URL('../../../dist/store/node/index.js', import.meta.url).href;
    await writeFile(
      program,
      `import { openFileLedger, openKeyFile } from ${JSON.stringify(dist)};
const ledger = await openFileLedger(${JSON.stringify(folder)}, await openKeyFile(${JSON.stringify(join(root, 'site.key'))}), { sealMs: 5 });
const frame = [new Uint8Array(1000)];
for (let step = 0; ; step++) {
  ledger.appendSent({ ...${JSON.stringify(message)}, step }, frame);
  process.send(step);
  if (step % 10 === 0) await new Promise((go) => setImmediate(go));
}`,
    );
    const child = fork(program, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    let last = -1;
    child.on('message', (step: number) => {
      last = step;
      if (step > 3000) child.kill('SIGKILL');
    });
    await new Promise((ended) => child.once('exit', ended));
    return last;
  }

  test('of the process no entry is lost, and the ledger goes on', { timeout: 30_000 }, async () => {
    const folder = newFolder();
    const last = await killed(folder);
    const before = await check(folder);
    expect(before).toMatchObject({ closed: false });
    expect(before.problem).toBeUndefined();
    const steps = (await entriesIn(folder)).filter(({ what }) => what === 'sent');
    expect(steps.length).toBeGreaterThan(last);
    await using ledger = await openFileLedger(folder, key);
    const after = await check(folder);
    expect(after).toMatchObject({ unsigned: 0, entries: before.entries + 2 });
    expect(after.problem).toBeUndefined();
    send(ledger, 0, 1);
  });

  test('what was not finished is put aside, and the ledger says so', async () => {
    const folder = newFolder();
    const path = join(folder, volumeName(1));
    const ledger = await openFileLedger(folder, key, { sealMs: 1e6 });
    send(ledger, 0, 5);
    const whole = (await linesIn(path)).length;
    await cp(folder, `${folder}-crashed`, { recursive: true });
    await rm(join(`${folder}-crashed`, 'lock'));
    await ledger.close();
    const crashed = `${folder}-crashed`;
    await appendFile(join(crashed, volumeName(1)), 'half an entry');
    expect(await check(crashed)).toMatchObject({ entries: whole, unsigned: 5, brokenBytes: 13 });
    expect((await check(crashed)).problem).toBeUndefined();
    await (await openFileLedger(crashed, key)).close();
    const opened = (await entriesIn(crashed)).findLast(({ what }) => what === 'opened');
    expect(opened).toMatchObject({ n: whole + 1, unsigned: 5, brokenBytes: 13 });
    expect(await readFile(join(crashed, `broken-after-${whole}-${volumeName(1)}`), 'utf8')).toBe('half an entry');
    expect((await check(crashed)).problem).toBeUndefined();
  });

  test('a ledger that is shorter than its tip is not written to', async () => {
    const folder = newFolder();
    await (await openFileLedger(folder, key)).close();
    await truncate(join(folder, volumeName(1)), 10);
    await expect(openFileLedger(folder, key)).rejects.toThrow(/does not reach to its tip/);
  });
});

test('one process at a time writes; a lock that a dead process left is taken over', async () => {
  const folder = newFolder();
  const ledger = await openFileLedger(folder, key);
  await expect(openFileLedger(folder, key)).rejects.toThrow(/uses the folder already/);
  await ledger.close();
  await writeFile(join(folder, 'lock'), String(process.ppid));
  await expect(openFileLedger(folder, key)).rejects.toThrow(`process ${process.ppid} uses the folder`);
  await writeFile(join(folder, 'lock'), '2147483647');
  await (await openFileLedger(folder, key)).close();
});

test('another key goes on where the former one is named', async () => {
  const folder = await written();
  const next = await openKeyFile(join(root, 'next.key'));
  await expect(openFileLedger(folder, next)).rejects.toThrow(/another key/);
  {
    await using ledger = await openFileLedger(folder, next, { formerKeys: [key.publicKey] });
    send(ledger, 0, 2);
  }
  expect((await verifyLedger(folder, next.publicKey)).problem).toBeUndefined();
  expect((await check(folder)).problem).toMatch(/another key/);
});

test('can be checked while it is written', async () => {
  const folder = newFolder();
  await using ledger = await openFileLedger(folder, key, { sealEntries: 20, volumeBytes: 20_000 });
  const writing = (async () => {
    for (let block = 0; block < 60; block++) {
      send(ledger, 0, 50);
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  for (let times = 0; times < 10; times++) expect((await check(folder)).problem).toBeUndefined();
  await writing;
});

test('after close, and for one whose folder is gone, nothing is recorded', async () => {
  const folder = newFolder();
  const ledger = await openFileLedger(folder, key);
  await ledger.close();
  await ledger.close();
  expect(() => send(ledger, 0, 1)).toThrow(DataError);
  const lost = await openFileLedger(newFolder(), key, { volumeBytes: 1 });
  await rm(join(root, `ledger-${count}`), { recursive: true });
  expect(() => send(lost, 0, 1)).toThrow(/cannot write the ledger/);
  expect(() => send(lost, 0, 1)).toThrow(/cannot write the ledger/);
  await expect(lost.close()).rejects.toThrow(/cannot write the ledger/);
});
