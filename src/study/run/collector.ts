// How V8 collects garbage in a process that passes tensors on.

import { setFlagsFromString } from 'node:v8';

/**
 * To be called once, when a server's or site's process starts. Tensors live outside V8's heap, but their bytes count: after every 64 MB
 * V8 marks the whole heap in small steps between other work, which costs many times what marking so small a heap at once does (`septum bench
 * --network ct-cnn` on two busy cores: the server collected for 43 ms of each step, 6 ms without the small steps).
 */
export function collectAtOnce(): void {
  setFlagsFromString('--no-incremental-marking');
}
