// A site's part in a study as a state machine: a cursor over the site's script, held by both sides. It takes and gives messages and
// does no I/O, so it outlives connections. A message is accepted only if it is exactly the next line; after a reconnect each side tells
// the other its position, and what was sent but never arrived is sent again with the same bytes.
//
// Order: `accept` and `compose` advance the same cursor. An error leaves it where it was. Where a site may have several steps in flight, the
// server sends lines of an early step while lines of later ones, which the script has before them, are still to come (`place`): it is then
// ahead of its own cursor. The site goes by the script's order, and what it sends says how far it is.

import { defect, ProtocolError, sha256Hex } from '../base/index.ts';
import { bytesOf, type Tensor } from '../tensor/index.ts';
import type { Direction, Exchange } from './lines.ts';
import { message, type Message, type MessageKind, type TensorSpec } from './message.ts';

/** The values that fill a line of the script. */
export interface Values {
  readonly tensors?: Readonly<Record<string, Tensor>>;
  readonly scalars?: readonly number[];
  readonly digest?: string;
}

export class Session {
  readonly #outbound: Direction;
  readonly #script: Iterator<Exchange>;
  /** Lines that were taken from the script and have not passed. */
  readonly #ahead: Exchange[] = [];
  #position = 0;
  /** Lines from the cursor on that were sent ahead of it. */
  readonly #sentAhead = new Set<number>();
  /** What was sent since the peer last spoke of it: its next message proves that what it comes of arrived. */
  #unconfirmed: { readonly sent: Message; readonly line: Exchange }[] = [];

  constructor(role: 'site' | 'server', script: Iterator<Exchange>) {
    this.#outbound = role === 'site' ? 'up' : 'down';
    this.#script = script;
  }

  /** Lines of the script that have passed; of some after them that were sent ahead it does not speak. */
  get position(): number {
    return this.#position;
  }

  /** The next line, or undefined when the script is at its end. */
  get expected(): Exchange | undefined {
    return this.#line(0);
  }

  /** The line that this side may send, or undefined while it must wait for one. */
  get sendable(): Exchange | undefined {
    const place = this.#placeToSend;
    return place === undefined ? undefined : this.#line(place);
  }

  /** Whether there is a line that this side may send. */
  get mayCompose(): boolean {
    return this.sendable !== undefined;
  }

  /** Whether the peer is to acknowledge before this side's next line. */
  get awaitsAcknowledge(): boolean {
    for (let place = 0; ; place++) {
      const line = this.#line(place);
      if (!line || (line.direction === this.#outbound && !this.#sentAhead.has(this.#position + place))) return false;
      if (line.direction !== this.#outbound && line.kind === 'acknowledge') return true;
      if (line.direction !== this.#outbound && line.place === undefined) return false;
    }
  }

  /** Whether the next line is the script's last. */
  get isLast(): boolean {
    return this.expected !== undefined && this.#line(1) === undefined;
  }

  /** The next message to send, and the cursor moves on. The values must fit the line: that is the caller's contract. */
  compose(kind: MessageKind, values: Values = {}): Message {
    const place = this.#placeToSend;
    const line = place === undefined ? undefined : this.#line(place);
    const sequence = this.#position + (place ?? 0);
    if (line?.kind !== kind) throw defect(`the script expects ${describe(line ?? this.expected)}, not to send ${kind}`);
    const tensors = line.tensors.map((spec) => {
      const value = values.tensors?.[spec.name];
      if (value && fits(value, spec)) return { name: spec.name, tensor: value };
      throw defect(
        `${kind}: tensor ${spec.name} is ${value ? shape(value) : 'missing'}, the script has ${shape(spec)}`,
      );
    });
    const scalars = values.scalars ?? [];
    if (scalars.length !== line.scalars)
      throw defect(`${kind}: ${scalars.length} scalars, the script has ${line.scalars}`);
    if (line.digest !== (values.digest !== undefined)) throw defect(`${kind}: digest`);
    const { epoch, step, part, chunk } = line;
    const composed = message(kind, {
      sequence,
      epoch,
      step,
      part,
      chunk,
      scalars,
      tensors,
      digest: values.digest ?? '',
    });
    this.#unconfirmed.push({ sent: composed, line });
    if (place === 0) this.#advance();
    else this.#sentAhead.add(sequence);
    return composed;
  }

  /**
   * Takes a message from the peer. Throws ProtocolError unless it is exactly the next line, with finite values in range. `inspect` may
   * throw as well, for what the script does not say of the values; the cursor then stays where it was.
   */
  accept(received: Message, inspect?: (received: Message) => void): Exchange {
    const line = this.expected;
    if (!line || line.direction === this.#outbound) {
      throw new ProtocolError(
        'out-of-order',
        `${received.kind} (message ${received.sequence}) came while ${line ? `${describe(line)} is to be sent` : 'the study is over'}`,
      );
    }
    if (received.kind !== line.kind || received.sequence !== this.#position) {
      throw new ProtocolError(
        'out-of-order',
        `expected ${describe(line)} as message ${this.#position}, got ${received.kind} as message ${received.sequence}`,
      );
    }
    for (const field of ['epoch', 'step', 'part', 'chunk'] as const) {
      if (received[field] !== line[field])
        throw new ProtocolError(
          'out-of-order',
          `${line.kind}: expected ${field} ${line[field]}, got ${received[field]}`,
        );
    }
    if (received.site !== '' || received.plan !== '' || received.text !== '' || received.proof) {
      throw new ProtocolError('bad-field', `${line.kind} carries site, plan, text or proof, which it must not`);
    }
    if (received.digest.length !== (line.digest ? 64 : 0))
      throw new ProtocolError('bad-field', `${line.kind}: digest of ${received.digest.length / 2} bytes`);
    if (received.scalars.length !== line.scalars) {
      throw new ProtocolError(
        'bad-field',
        `${line.kind}: expected ${line.scalars} scalars, got ${received.scalars.length}`,
      );
    }
    if (!received.scalars.every((scalar) => Number.isFinite(scalar)))
      throw new ProtocolError('not-finite', `${line.kind}: a scalar is not finite`);
    checkTensors(line, received);
    if (line.digest && sha256Hex(...received.tensors.map(({ tensor }) => bytesOf(tensor))) !== received.digest)
      throw new ProtocolError('bad-field', `${line.kind}: the tensors do not have the checksum that they came with`);
    inspect?.(received);
    this.#forget(line);
    this.#advance();
    return line;
  }

  /**
   * What must be sent again to a peer that stands at `peerPosition`. Throws ProtocolError `out-of-order` when the two cannot be brought
   * together: the peer lost what it had confirmed, or claims what was never sent.
   */
  resendFrom(peerPosition: number): readonly Message[] {
    const oldest = Math.min(this.#unconfirmed[0]?.sent.sequence ?? this.#position, this.#position);
    if (peerPosition < oldest || !this.#peerMayStandAt(peerPosition)) {
      throw new ProtocolError(
        'out-of-order',
        `the peer stands at message ${peerPosition}, this side at ${this.#position} and can send again from ${oldest} on`,
      );
    }
    return this.#unconfirmed.map(({ sent }) => sent).filter(({ sequence }) => sequence >= peerPosition);
  }

  /** A peer that is ahead has sent what never arrived here, so all lines up to where it stands must be its to send, or sent ahead. */
  #peerMayStandAt(peerPosition: number): boolean {
    for (let place = 0; this.#position + place < peerPosition; place++) {
      const line = this.#line(place);
      if (!line || (line.direction === this.#outbound && !this.#sentAhead.has(this.#position + place))) return false;
      // What follows `pooled` is known only to a side that has it.
      if (line.kind === 'pooled') return true;
    }
    return true;
  }

  /** The line `place` lines after the next, or undefined beyond the end. */
  #line(place: number): Exchange | undefined {
    while (this.#ahead.length <= place) {
      const step = this.#script.next();
      if (step.done === true) return undefined;
      this.#ahead.push(step.value);
    }
    return this.#ahead[place];
  }

  /**
   * How many lines after the next the first line is that this side has not sent, if it may: the server may before lines of the peer's that
   * are for a later place.
   */
  get #placeToSend(): number | undefined {
    if (this.expected?.direction === this.#outbound) return 0;
    if (this.#outbound === 'up') return undefined;
    let earliest = Number.POSITIVE_INFINITY;
    for (let place = 0; ; place++) {
      const line = this.#line(place);
      if (line?.place === undefined) return undefined;
      if (line.direction !== this.#outbound) earliest = Math.min(earliest, line.place);
      else if (!this.#sentAhead.has(this.#position + place)) return line.place < earliest ? place : undefined;
    }
  }

  /** Forgets what the peer shows that it has by sending the next line: all before it, but of a line with a place only what that comes of. */
  #forget({ direction, place }: Exchange): void {
    if (place === undefined) {
      this.#unconfirmed = [];
      return;
    }
    const arrived = this.#unconfirmed.findLastIndex(
      ({ sent, line }) =>
        sent.sequence < this.#position && (direction === 'up' || line.place === undefined || line.place <= place),
    );
    this.#unconfirmed.splice(0, arrived + 1);
  }

  /** The next line has passed, and with it what was sent ahead right after it. */
  #advance(): void {
    do {
      this.#position += 1;
      this.#ahead.shift();
    } while (this.#sentAhead.delete(this.#position));
  }
}

function checkTensors(line: Exchange, received: Message): void {
  if (received.tensors.length !== line.tensors.length) {
    throw new ProtocolError(
      'bad-shape',
      `${line.kind}: expected ${line.tensors.length} tensors, got ${received.tensors.length}`,
    );
  }
  line.tensors.forEach((spec, index) => {
    const named = received.tensors[index];
    if (named?.name !== spec.name)
      throw new ProtocolError('bad-field', `${line.kind}: expected tensor ${spec.name} at place ${index}`);
    if (!fits(named.tensor, spec)) {
      throw new ProtocolError(
        'bad-shape',
        `${line.kind}: tensor ${spec.name}: expected ${shape(spec)}, got ${shape(named.tensor)}`,
      );
    }
    checkValues(line.kind, spec, named.tensor);
  });
}

const FLOAT32_MAX = (2 - 2 ** -23) * 2 ** 127;

function checkValues(kind: MessageKind, spec: TensorSpec, value: Tensor): void {
  if (value.dtype === 'float32' || value.dtype === 'float64') {
    const finite =
      value.dtype === 'float32'
        ? allFinite32(value.data as Float32Array)
        : allWithin(value.data as Float64Array, spec.rounded ? FLOAT32_MAX : Number.MAX_VALUE);
    if (!finite) throw new ProtocolError('not-finite', `${kind}: tensor ${spec.name} has a value that is not finite`);
    const { atLeast } = spec;
    if (atLeast !== undefined && (value.data as Float32Array).some((element) => element < atLeast))
      throw new ProtocolError('bad-field', `${kind}: tensor ${spec.name} has a value below ${atLeast}`);
  } else if (spec.below !== undefined) {
    const data = value.data as Int32Array;
    for (let index = 0; index < data.length; index++) {
      const element = data[index] as number;
      if (element < 0 || element >= spec.below)
        throw new ProtocolError(
          'bad-field',
          `${kind}: tensor ${spec.name} has a value that is not one of 0 to ${spec.below - 1}`,
        );
    }
  }
}

/** Every message passes here: four sums side by side, because one alone waits for itself at each element. 0·x is NaN where x is not finite. */
function allFinite32(data: Float32Array): boolean {
  const none = 0;
  const end = data.length - (data.length % 4);
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let index = 0; index < end; index += 4) {
    a += data[index]! * none;
    b += data[index + 1]! * none;
    c += data[index + 2]! * none;
    d += data[index + 3]! * none;
  }
  for (let index = end; index < data.length; index++) a += data[index]! * none;
  return a + b + c + d === 0;
}

function allWithin(data: Float64Array, largest: number): boolean {
  for (let index = 0; index < data.length; index++) if (!(Math.abs(data[index]!) <= largest)) return false;
  return true;
}

function fits(value: Pick<Tensor, 'dtype' | 'dims'>, spec: TensorSpec): boolean {
  return (
    value.dtype === spec.dtype &&
    value.dims.length === spec.dims.length &&
    value.dims.every((dim, axis) => dim === spec.dims[axis])
  );
}

function shape(value: { dtype: string; dims: readonly number[] }): string {
  return `${value.dtype}[${value.dims.join(', ')}]`;
}

function describe(line: Exchange | undefined): string {
  return line ? `${line.kind} (${line.direction}, epoch ${line.epoch}, step ${line.step})` : 'the end';
}
