import type { Json } from '../../store/index.ts';

/** A value as JSON holds it: what is not finite becomes null, what is undefined is left out. */
export function asJson(value: unknown): Json {
  return JSON.parse(JSON.stringify(value, (_key, inner: unknown) => (Object.is(inner, -0) ? 0 : inner))) as Json;
}
