// `septum ledger show` and `septum ledger verify`.

import { createPublicKey } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { ConfigError, messageOf, toHex } from '../base/index.ts';
import { type LedgerCheck, readLedger, verifyLedger } from '../store/node/index.ts';
import { formerKeys, ledgerFolder, siteKeyFile } from '../study/index.ts';
import type { LedgerShowFlags, LedgerVerifyFlags } from './commands/ledger.ts';
import { bytesText, countText } from './amounts.ts';
import { fail } from './exit.ts';
import { LedgerSums } from './ledger-sums.ts';

export async function showLedger({ state, json }: LedgerShowFlags): Promise<number> {
  try {
    requireLedger(state);
    const sums = new LedgerSums();
    for await (const entry of readLedger(ledgerFolder(state))) sums.add(entry);
    process.stdout.write(json ? `${JSON.stringify(sums)}\n` : `${wordsOf(sums).join('\n')}\n`);
    return 0;
  } catch (error) {
    return fail(error);
  }
}

export async function checkLedger({ state, key, noted }: LedgerVerifyFlags): Promise<number> {
  try {
    requireLedger(state);
    if (noted !== undefined && !/^[0-9a-f]{64}$/.test(noted))
      throw new ConfigError('bad-usage', `--noted ${noted}: expected 64 hexadecimal digits`);
    const check = await checkWith(state, await publicKeyOf(key ?? siteKeyFile(state)), key === undefined, noted);
    const { problem, entries, hash, unsigned, brokenBytes, closed } = check;
    if (problem !== undefined) {
      process.stdout.write(`WRONG: ${problem}\n`);
      process.stdout.write(`${countText(entries)} entries before it are in order, up to the hash ${hash}\n`);
      return 1;
    }
    const lines = [`OK: ${countText(entries)} entries, each as it was written; the last one’s hash is ${hash}`];
    if (!closed) lines.push('the ledger is in use, or its process did not end in order');
    if (unsigned > 0)
      lines.push(`the last ${countText(unsigned)} are not signed yet: the next start signs them as they are then`);
    if (brokenBytes > 0) lines.push(`${brokenBytes} bytes after them are of an entry that was not finished`);
    process.stdout.write(`${lines.join('\n')}\n`);
    return 0;
  } catch (error) {
    return fail(error);
  }
}

/** A ledger that was not opened since the site's key was replaced is signed by the one before. */
async function checkWith(state: string, key: Uint8Array, mayBeFormer: boolean, noted?: string): Promise<LedgerCheck> {
  const check = await verifyLedger(ledgerFolder(state), key, noted);
  if (check.signedBy === undefined || !mayBeFormer) return check;
  const former = (await formerKeys(state)).find((one) => toHex(one) === check.signedBy);
  return former ? verifyLedger(ledgerFolder(state), former, noted) : check;
}

function requireLedger(state: string): void {
  if (!existsSync(ledgerFolder(state)))
    throw new ConfigError(
      'bad-usage',
      `--state ${state}: there is no ledger; a site that is given this folder keeps one`,
    );
}

/** The 32 bytes of an Ed25519 public key: from 64 hexadecimal digits, or a file of them or of a key in PEM. */
async function publicKeyOf(text: string): Promise<Uint8Array> {
  const digits = /^[0-9a-f]{64}$/i;
  if (digits.test(text)) return Buffer.from(text, 'hex');
  let content: string;
  try {
    content = (await readFile(text, 'utf8')).trim();
  } catch (cause) {
    throw new ConfigError('bad-usage', `${text}: cannot read the key: ${messageOf(cause)}; give --key`, { cause });
  }
  if (digits.test(content)) return Buffer.from(content, 'hex');
  try {
    const { crv, x } = createPublicKey(content).export({ format: 'jwk' });
    if (crv === 'Ed25519' && x !== undefined) return Buffer.from(x, 'base64url');
  } catch {
    // What went wrong may quote the key.
  }
  throw new ConfigError('bad-usage', `${text}: expected an Ed25519 key in PEM, or 64 hexadecimal digits`);
}

function wordsOf(sums: LedgerSums): readonly string[] {
  const { days, events, refusals } = sums.toJSON();
  const lines = days.flatMap(({ day, kinds }) => [
    `${day} (UTC)`,
    ...kinds.map(({ kind, messages, records, bytes, again }) => {
      const what = [`${countText(messages)} ${messages === 1 ? 'message' : 'messages'}`];
      if (records > 0) what.push(`of ${countText(records)} records`);
      what.push(`with ${bytesText(bytes)}`);
      if (again > 0) what.push(`(${countText(again)} of them sent again after a broken connection)`);
      return `  ${kind.padEnd(18)}  ${what.join(' ')}`;
    }),
  ]);
  if (lines.length === 0) lines.push('nothing has left');
  for (const { at, text } of events) lines.push(`${at}  ${text}`);
  for (const { code, times } of refusals) lines.push(`refused ${code}: ${countText(times)} times`);
  lines.push('these are the sums of what stands there; septum ledger verify says whether it is what was written');
  return lines;
}
