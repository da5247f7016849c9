// A study file's text as a tree of values whose lines are known, so that every problem can name its place.

import { isMap, isNode, isScalar, LineCounter, parseDocument, type Document } from 'yaml';

export type Path = readonly (string | number)[];

/** A parsed YAML text. */
export class StudyDocument {
  readonly fileName: string;
  /** What is wrong with the YAML itself, each with its place. */
  readonly problems: readonly string[];
  /** The values as plain JavaScript; undefined when the YAML is broken. */
  readonly value: unknown;
  readonly #document: Document;
  readonly #lines = new LineCounter();

  constructor(text: string, fileName: string) {
    this.fileName = fileName;
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
    const problems = [...this.#document.errors, ...this.#document.warnings];
    this.problems = problems.map(({ pos, message }) => `${fileName}:${this.#lines.linePos(pos[0]).line}: ${message}`);
    if (problems.length === 0) this.value = this.#document.toJS();
  }

  /** `study.yaml:12` for the value at `path`, or for the nearest one above it that is written. With `key` the place of its last key. */
  placeOf(path: Path, key = false): string {
    const offset = this.#offsetOf(path, key);
    return offset === undefined ? this.fileName : `${this.fileName}:${this.#lines.linePos(offset).line}`;
  }

  /** The value at `path`; undefined when it is not written. */
  valueAt(path: Path): unknown {
    let value = this.value;
    for (const key of path) {
      if (value === null || typeof value !== 'object') return undefined;
      value = (value as Record<string | number, unknown>)[key];
    }
    return value;
  }

  #offsetOf(path: Path, key: boolean): number | undefined {
    for (let length = path.length; length > 0; length--) {
      const parent = length === 1 ? this.#document.contents : this.#document.getIn(path.slice(0, length - 1), true);
      const name = path[length - 1];
      if (isMap(parent)) {
        const pair = parent.items.find((item) => isScalar(item.key) && String(item.key.value) === String(name));
        if (pair && isScalar(pair.key) && pair.key.range) {
          // A scalar's own line; a section's or list's first line, where its key stands.
          const value = pair.value;
          return key || length < path.length || !isScalar(value) || !value.range ? pair.key.range[0] : value.range[0];
        }
      } else {
        const node = this.#document.getIn(path.slice(0, length), true);
        if (isNode(node) && node.range) return node.range[0];
      }
    }
    return undefined;
  }
}

/** A path as a study file's author writes it: `data.inputs[2].unit`. */
export function pathText(path: Path): string {
  return path.map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index > 0 ? '.' : ''}${key}`)).join('');
}
