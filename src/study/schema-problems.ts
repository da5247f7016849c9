// What a schema finds wrong with a study file, in words for its author: `sites.count is "three"; expected a whole number`.

import type { z } from 'zod';
import { nearestOf } from './nearest.ts';
import { type Path, pathText, type StudyDocument } from './study-document.ts';
import { studyJsonSchema } from './study-schema.ts';

type Issue = z.core.$ZodIssue;

/** The problems of a parse, each with its place, in the file's order of lines. */
export function schemaProblems(document: StudyDocument, issues: readonly Issue[]): string[] {
  return issues.flatMap((issue) => problemsOf(document, issue));
}

function problemsOf(document: StudyDocument, issue: Issue): string[] {
  const path = issue.path.filter((key) => typeof key !== 'symbol');
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(document, path);
    return issue.keys.map((key) => {
      const whole = [...path, key];
      const nearest = nearestOf(key, known);
      const advice = nearest === undefined ? `known are ${known.join(', ')}` : `did you mean ${nearest}?`;
      return `${document.placeOf(whole, true)}: ${pathText(whole)} is not known; ${advice}`;
    });
  }
  const text = textOf(issue, document.valueAt(path), document, path);
  return [`${document.placeOf(path)}: ${pathText(path)} ${text}`.replace(':  ', ': ')];
}

function textOf(issue: Issue, got: unknown, document: StudyDocument, path: Path): string {
  switch (issue.code) {
    case 'invalid_type':
      return got === undefined
        ? 'is missing'
        : `is ${shown(got)}; expected ${typeNames[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return oneOf(got, issue.values.map(String));
    case 'invalid_union':
      return issue.discriminator === undefined
        ? got === undefined
          ? 'is missing'
          : `is ${shown(got)}; ${issue.message}`
        : oneOf(got, discriminated(document, path, issue.discriminator));
    case 'too_small':
    case 'too_big': {
      const bound = issue.code === 'too_small' ? issue.minimum : issue.maximum;
      const inclusive = issue.inclusive ?? true;
      const relation =
        issue.code === 'too_small' ? (inclusive ? 'at least' : 'more than') : inclusive ? 'at most' : 'less than';
      if (issue.origin === 'array')
        return `has ${Array.isArray(got) ? got.length : 0} entries; expected ${relation} ${bound}`;
      if (issue.origin === 'string') return `is ${shown(got)}; expected ${relation} ${bound} characters`;
      return `is ${shown(got)}; expected ${relation} ${bound}`;
    }
    case 'invalid_format':
      return `is ${shown(got)}; ${issue.message}`;
    default:
      return issue.message;
  }
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text (put a number or true/false in quotes)',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a section',
  array: 'a list',
  record: 'a section',
};

function oneOf(got: unknown, values: readonly string[]): string {
  if (got === undefined) return `is missing; give one of ${values.join(', ')}`;
  const nearest = typeof got === 'string' ? nearestOf(got, values) : undefined;
  return `is ${shown(got)}; expected one of ${values.join(', ')}${nearest === undefined ? '' : `; did you mean ${nearest}?`}`;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

interface JsonSchema {
  readonly const?: unknown;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
}

/**
 * A schema and its branches that the written value has not ruled out by the key that tells them apart, such as `kind`. Another wrong
 * value rules nothing out, and where `kind` itself is wrong no branch is.
 */
function branches(schema: JsonSchema, value: unknown): JsonSchema[] {
  const inner = [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])];
  const telling = Object.keys(inner[0]?.properties ?? {}).filter((key) =>
    inner.every((member) => allowedAt(member, key)),
  );
  const fitting = inner.filter((member) =>
    telling.every((key) => {
      const written = (value as Record<string, unknown> | null | undefined)?.[key];
      return written === undefined || allowedAt(member, key)?.includes(written);
    }),
  );
  const members = [...(fitting.length > 0 ? fitting : inner), ...(schema.allOf ?? [])];
  return [schema, ...members.flatMap((member) => branches(member, value))];
}

/** The only values that a key may have; undefined where it may have any. */
function allowedAt({ properties }: JsonSchema, key: string): readonly unknown[] | undefined {
  const property = properties?.[key];
  return property?.const === undefined ? property?.enum : [property.const];
}

function schemasAt(document: StudyDocument, path: Path): JsonSchema[] {
  let schemas = branches(studyJsonSchema(), document.value);
  path.forEach((key, index) => {
    const value = document.valueAt(path.slice(0, index + 1));
    schemas = schemas.flatMap((schema) => {
      const next = typeof key === 'number' ? schema.items : schema.properties?.[key];
      return next ? branches(next, value) : [];
    });
  });
  return schemas;
}

function knownKeys(document: StudyDocument, path: Path): string[] {
  return [...new Set(schemasAt(document, path).flatMap((schema) => Object.keys(schema.properties ?? {})))];
}

/** The values of the key that tells a union's members apart. */
function discriminated(document: StudyDocument, path: Path, discriminator: string): string[] {
  const at = path.at(-1) === discriminator ? path : [...path, discriminator];
  let schemas: JsonSchema[] = [studyJsonSchema()];
  const flat = (schema: JsonSchema): JsonSchema[] => [
    schema,
    ...(schema.anyOf ?? []).flatMap(flat),
    ...(schema.oneOf ?? []).flatMap(flat),
  ];
  for (const key of at)
    schemas = schemas
      .flatMap(flat)
      .flatMap((schema) => (typeof key === 'number' ? schema.items : schema.properties?.[key]) ?? []);
  return [
    ...new Set(
      schemas.flatMap((schema) => (schema.const === undefined ? (schema.enum ?? []) : [schema.const])).map(String),
    ),
  ];
}
