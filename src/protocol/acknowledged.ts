// How far the server may be ahead of what it knows to have arrived. What a side sends it keeps until the other speaks. A site that sits
// out many steps of `mirrored` would say nothing for as long, so the script has it speak in between.

import { type Exchange, type Lines, tensorBytes } from './lines.ts';

/** Messages that the server sends in a row, at most, before the site acknowledges them. */
export const MESSAGES_UNACKNOWLEDGED = 64;
/** Bytes of the tensors in these messages, at most, unless one message alone has more. */
export const BYTES_UNACKNOWLEDGED = 16 << 20;

/** The lines of a script, with `acknowledge` from the site wherever the next line down would be one too many, or its bytes. */
export function* acknowledged(lines: Lines, script: Iterable<Exchange>): Generator<Exchange, void, undefined> {
  let messages = 0;
  let bytes = 0;
  let last: Exchange | undefined;
  for (const line of script) {
    if (line.direction === 'up') {
      messages = bytes = 0;
    } else {
      const more = tensorBytes(line.tensors);
      const tooMany = messages === MESSAGES_UNACKNOWLEDGED || bytes + more > BYTES_UNACKNOWLEDGED;
      if (last?.direction === 'down' && tooMany) {
        const { epoch, step, part, chunk } = last;
        yield lines.line('up', 'acknowledge', { epoch, step, part, chunk });
        messages = bytes = 0;
      }
      messages += 1;
      bytes += more;
    }
    yield line;
    last = line;
  }
}
