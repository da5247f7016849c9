// Values that must not leave, in every form in which they might, and the search for them.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What is searched, by what it is: a capture, a file, what a process said. */
export type Places = ReadonlyMap<string, Buffer>;

/** One form of a value. */
interface Form {
  readonly value: string;
  readonly form: string;
  readonly bytes: Buffer;
}

/** A text as UTF-8, UTF-16, hexadecimal, base64 and percent-encoded. */
export function textForms(text: string): readonly Form[] {
  const utf8 = Buffer.from(text);
  const form = (name: string, bytes: Buffer): Form => ({ value: text, form: name, bytes });
  return [
    form('utf8', utf8),
    form('utf16', Buffer.from(text, 'utf16le')),
    form('hex', Buffer.from(utf8.toString('hex'))),
    form('percent', Buffer.from(encodeURIComponent(text))),
    // Where in a base64 text it begins is not known: of each way the middle, which is the same whatever stands around.
    ...[0, 1, 2].map((before) => {
      const padded = Buffer.concat([Buffer.alloc(before), utf8]).toString('base64');
      return form(`base64+${before}`, Buffer.from(padded.slice(before === 0 ? 0 : 4, -4)));
    }),
  ];
}

/** A number as float32 and float64 in both byte orders, and as text with a point or a comma. */
export function numberForms(value: number): readonly Form[] {
  const made = (name: string, length: number, write: (bytes: Buffer) => void): Form => {
    const bytes = Buffer.alloc(length);
    write(bytes);
    return { value: String(value), form: name, bytes };
  };
  return [
    made('float32le', 4, (bytes) => bytes.writeFloatLE(value)),
    made('float32be', 4, (bytes) => bytes.writeFloatBE(value)),
    made('float64le', 8, (bytes) => bytes.writeDoubleLE(value)),
    made('float64be', 8, (bytes) => bytes.writeDoubleBE(value)),
    { value: String(value), form: 'text', bytes: Buffer.from(String(value)) },
    { value: String(value), form: 'comma', bytes: Buffer.from(String(value).replace('.', ',')) },
  ];
}

/** Bytes as they are. */
export function rawForm(value: string, bytes: Uint8Array): Form {
  return { value, form: 'raw', bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

/** Where the forms are found: `PLACE: VALUE as FORM`. */
export function found(places: Places, forms: readonly Form[]): readonly string[] {
  return [...places].flatMap(([place, content]) =>
    forms.filter(({ bytes }) => content.includes(bytes)).map(({ value, form }) => `${place}: ${value} as ${form}`),
  );
}

/** Every file below a folder, and the files' own names. */
export function filesBelow(folder: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    const path = join(entry.parentPath, entry.name);
    files.set(`name of ${path}`, Buffer.from(path.slice(folder.length)));
    if (entry.isFile()) files.set(path, readFileSync(path));
  }
  return files;
}
