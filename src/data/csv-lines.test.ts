import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scanCsv } from './csv-lines.ts';

async function scan(text: string, delimiter = ',', chunkSize = 1_000_000) {
  async function* chunks() {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length; at += chunkSize) yield bytes.subarray(at, at + chunkSize);
  }
  return scanCsv(chunks(), delimiter);
}

describe('the scan of a CSV file', () => {
  it.each([
    ['a,b\n1,2\n3,4\n', [2, 3], [2, 2]],
    ['a,b\n1,2\n3,4', [2, 3], [2, 2]],
    ['a,b\r\n1,2\r\n\r\n3,4\r\n', [2, 4], [2, 2]],
    ['a,b\r1,2\r3,4', [2, 3], [2, 2]],
    ['\n\na,b\n1,2\n', [4], [2]],
    ['a,b\n"1\n\n",2\n3,4\n', [2, 5], [2, 2]],
    ['a,b\r\n"1\r\n2",2\r\n3,4\r\n', [2, 4], [2, 2]],
    ['a,b\n"x ""y, z""",2\n3,4\n', [2, 3], [2, 2]],
    ['a,b\nx"y,2\n3,4\n', [2, 3], [2, 2]],
    ['a,b\n1\n2,3,4\n', [2, 3], [1, 3]],
    ['a\n1\n\n3\n', [2, 3, 4], [1, 1, 1]],
    ['a,b\n', [], []],
    ['', [], []],
  ])('%j: lines %j, fields %j', async (text, lines, fields) => {
    expect(await scan(text)).toMatchObject({ lines, fields, openQuoteLine: 0 });
  });

  it('reads the header: byte order mark, quotes, another delimiter', async () => {
    expect((await scan('\uFEFFid,"a ""b"", c",d\n')).header).toEqual(['id', 'a "b", c', 'd']);
    expect((await scan('id;tc,mgdl\n', ';')).header).toEqual(['id', 'tc,mgdl']);
    expect((await scan('Größe,Σ\n', ',', 1)).header).toEqual(['Größe', 'Σ']);
  });

  it('tells where a quote opens that is never closed', async () => {
    expect((await scan('a,b\n1,2\n3,"4\n5,6\n')).openQuoteLine).toBe(3);
  });

  it('does not depend on how the bytes are cut', async () => {
    const pieces = fc.array(fc.constantFrom('a', '"', ',', '\n', '\r\n', '\r', '""', 'é'), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(pieces, fc.integer({ min: 1, max: 5 }), async (parts, size) => {
        const text = `h,i\n${parts.join('')}`;
        expect(await scan(text, ',', size)).toEqual(await scan(text));
      }),
    );
  });
});
