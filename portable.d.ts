// What Node and browsers both offer beyond the language itself: all that the portable rooms may use.
// Only `tsconfig.portable.json` sees this file, so that a portable file that reaches for more does not compile.

interface AbortSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  throwIfAborted(): void;
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}
declare class AbortController {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
}
declare const TextEncoder: { new (): { encode(text: string): Uint8Array } };
declare const TextDecoder: {
  new (label?: string, options?: { fatal?: boolean }): { decode(bytes: Uint8Array): string };
};
declare function queueMicrotask(task: () => void): void;
declare function structuredClone<T>(value: T): T;
