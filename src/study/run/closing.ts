/** Things to be closed at the end, last opened first. An error of one does not keep the others open. */
export class Closing {
  readonly #steps: (() => unknown)[] = [];

  /** Has `resource` closed at the end, and gives it back. */
  use<T extends AsyncDisposable>(resource: T): T {
    this.#steps.push(() => resource[Symbol.asyncDispose]());
    return resource;
  }

  defer(step: () => unknown): void {
    this.#steps.push(step);
  }

  /** Rejects with the first error, when all is closed. */
  async close(): Promise<void> {
    const errors: unknown[] = [];
    for (const step of this.#steps.splice(0).toReversed()) {
      try {
        await step();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
