// Requests leave in the order of the calls that made them, also where one of them cannot leave yet.

interface Turn {
  post: (() => void) | undefined;
}

export class Turns {
  readonly #waiting: Turn[] = [];

  /** Calls `post` when everything before it has left, which may be at once, and gives what it gives. */
  take<T>(post: () => Promise<T>): Promise<T> {
    if (this.#waiting.length === 0) return post();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ post: () => void post().then(resolve, reject) });
    });
  }

  /** Keeps a place; what comes later waits until it is filled. */
  reserve(): (post: () => void) => void {
    const turn: Turn = { post: undefined };
    this.#waiting.push(turn);
    return (post) => {
      turn.post = post;
      this.#go();
    };
  }

  #go(): void {
    for (let next = this.#waiting[0]?.post; next; next = this.#waiting[0]?.post) {
      this.#waiting.shift();
      next();
    }
  }
}
