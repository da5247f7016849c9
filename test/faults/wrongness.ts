// Whether a frame is wrong where it stands, told from the honest frame in whose place it goes and from docs/PROTOCOL.md, without any code
// of sessions: what a script fixes is what the honest message has, so whatever differs from that is wrong. A frame that might be right is
// not used to attack.

import { codeOf, sha256Hex } from '../../src/base/index.ts';
import { decodeMessage, type Message, messageKinds } from '../../src/protocol/index.ts';
import { bytesOf, type Tensor } from '../../src/tensor/index.ts';

/** Who is to find it out: the decoder; who compares hello, welcome and refuse; the session, by the script; or who looks at the values. */
export type Stage = 'decoder' | 'handshake' | 'session' | 'inspection';

export type Verdict =
  | { readonly wrong: true; readonly stage: Stage; readonly fields: readonly string[] }
  /** The same bytes; another message that may stand here; or one of which this cannot be told. */
  | { readonly wrong: false; readonly why: 'identical' | 'valid' | 'undecided' };

const valid: Verdict = { wrong: false, why: 'valid' };
const undecided: Verdict = { wrong: false, why: 'undecided' };
const wrong = (stage: Stage, ...fields: readonly string[]): Verdict => ({ wrong: true, stage, fields });

const recordsBelow = 2 ** 24;
const countsBelow = 2 ** 31 - 1;
const float32Max = (2 - 2 ** -23) * 2 ** 127;
const refusalTextMost = 1000;
/** Positions that no study of a test comes near. */
const farAhead = 1000;

/** Judges a frame. Throws when the decoder throws anything but its own error. */
export function judge(honest: Message, honestFrame: Uint8Array, frame: Uint8Array<ArrayBuffer>): Verdict {
  if (Buffer.compare(honestFrame, frame) === 0) return { wrong: false, why: 'identical' };
  let found: Message;
  try {
    found = decodeMessage(frame.slice());
  } catch (error) {
    if (codeOf(error) === 'internal') throw error;
    return wrong('decoder', codeOf(error));
  }
  if (found.kind === 'refuse') return refusal(found);
  if (honest.kind === 'hello' || honest.kind === 'welcome') return greeting(honest, found);
  const fields = againstLine(honest, found);
  if (fields.length > 0) return wrong('session', ...fields);
  if (honest.digest !== '' && sha256Hex(...found.tensors.map(({ tensor }) => bytesOf(tensor))) !== found.digest)
    return wrong('session', 'digest');
  return byValues(honest, found);
}

/** Either side may refuse at any time, if it does so in order. */
function refusal(found: Message): Verdict {
  const [retry] = found.scalars;
  const others = (['sequence', 'epoch', 'step', 'part', 'chunk'] as const).filter((field) => found[field] !== 0);
  const texts = (['site', 'plan', 'digest'] as const).filter((field) => found[field] !== '');
  const fields: string[] = [...others, ...texts];
  if (found.tensors.length > 0) fields.push('tensors');
  if (found.scalars.length !== 1 || (retry !== 0 && retry !== 1)) fields.push('scalars');
  if (found.text.length > refusalTextMost) fields.push('text');
  return fields.length > 0 ? wrong('handshake', 'kind', ...fields) : valid;
}

function greeting(honest: Message, found: Message): Verdict {
  const fields: string[] = [];
  if (found.kind !== honest.kind) return wrong('handshake', 'kind');
  for (const field of ['epoch', 'step', 'part', 'chunk'] as const) if (found[field] !== 0) fields.push(field);
  // A hello's text tells the process: another one's is right where nobody stands yet.
  const isText = honest.kind === 'hello' ? /^[0-9a-z]{1,64}$/i.test(found.text) : found.text === '';
  if (!isText) fields.push('text');
  if (found.digest !== '') fields.push('digest');
  if (found.scalars.length > 0) fields.push('scalars');
  if (found.tensors.length > 0) fields.push('tensors');
  if (honest.kind === 'welcome' && found.site !== '') fields.push('site');
  if (found.plan !== honest.plan) fields.push('plan');
  // Another site's name may be right for that site, and where the peer stands may differ by what is under way.
  if (honest.kind === 'hello' && !/^[A-Z]$/.test(found.site)) fields.push('site');
  if (found.sequence >= honest.sequence + farAhead) fields.push('sequence');
  return fields.length > 0 ? wrong('handshake', ...fields) : undecided;
}

/** The fields that a script fixes, and values that no line allows. */
function againstLine(honest: Message, found: Message): string[] {
  const fields: string[] = [];
  for (const field of ['kind', 'sequence', 'epoch', 'step', 'part', 'chunk'] as const)
    if (found[field] !== honest[field]) fields.push(field);
  for (const field of ['site', 'plan', 'text'] as const) if (found[field] !== '') fields.push(field);
  if (found.digest.length !== honest.digest.length) fields.push('digest');
  if (found.scalars.length !== honest.scalars.length || !found.scalars.every(Number.isFinite)) fields.push('scalars');
  if (found.tensors.length !== honest.tensors.length) return [...fields, 'tensors'];
  found.tensors.forEach(({ name, tensor }, place) => {
    const expected = honest.tensors[place]!;
    if (name !== expected.name) fields.push('tensor name');
    if (tensor.dtype !== expected.tensor.dtype) fields.push('tensor type');
    else if (tensor.dims.join() !== expected.tensor.dims.join()) fields.push('tensor dims');
    else if (!isInRange(honest, expected.name, tensor)) fields.push('tensor values');
  });
  return fields;
}

function isInRange({ kind }: Message, name: string, { dtype, data }: Tensor): boolean {
  const numbers = data as Float64Array;
  if (dtype === 'float32') return numbers.every(Number.isFinite);
  if (dtype === 'float64') {
    const most = kind === 'parameter-gradient' || kind === 'gradient-sum' ? float32Max : Number.MAX_VALUE;
    return numbers.every((value) => Math.abs(value) <= most);
  }
  const isCount = kind === 'census' || (kind === 'pooled' && name === 'counts');
  // Of labels 0 and 1 are right in a study of two classes.
  const below = name === 'labels' ? 2 : isCount ? recordsBelow : countsBelow;
  return numbers.every((value) => value >= 0 && value < below);
}

/** Values that belong to no honest message, though the line allows them. */
function byValues(honest: Message, found: Message): Verdict {
  const of = (message: Message, name: string) =>
    message.tensors.find((named) => named.name === name)?.tensor.data as Float64Array | undefined;
  switch (honest.kind) {
    case 'verdict':
      return [0, 1].includes(found.scalars[0]!) ? valid : wrong('inspection', 'scalars');
    case 'weights':
      return found.scalars.every((updates) => Number.isSafeInteger(updates) && updates >= 0)
        ? valid
        : wrong('inspection', 'scalars');
    case 'trunk-output':
      return honest.scalars.length > 0 && found.scalars[0] !== honest.scalars[0]
        ? wrong('inspection', 'scalars')
        : valid;
    case 'activations':
      return of(found, 'groups')?.some((group) => group >= recordsBelow)
        ? wrong('inspection', 'tensor values')
        : of(found, 'groups')
          ? undecided
          : valid;
    case 'census': {
      if (!found.scalars.every((steps) => Number.isSafeInteger(steps) && steps >= 0))
        return wrong('inspection', 'scalars');
      const [counts, classes, sums] = [of(found, 'counts')!, of(found, 'classes')!, of(found, 'sums')!];
      const classCount = classes.length / 3;
      const added = [0, 1, 2].map((part) =>
        classes.subarray(part * classCount, (part + 1) * classCount).reduce((sum, one) => sum + one, 0),
      );
      const impossible = sums.some((value, place) => place % 3 === 2 && value < 0);
      return impossible || added.some((sum, part) => sum !== counts[part])
        ? wrong('inspection', 'tensor values')
        : undecided;
    }
    case 'pooled': {
      const [held, startStep] = found.scalars;
      // The sites here hold no commits.
      if (startStep !== 0) return wrong('inspection', 'scalars');
      // The study needs all sites, and none can enter at its start.
      if (of(found, 'members')!.some((membership) => membership !== 1)) return wrong('inspection', 'tensor values');
      const [before, after] = [of(honest, 'counts')!, of(found, 'counts')!];
      const allDiffer = before.every((count, place) => place % 3 !== 0 || count !== after[place]);
      if (allDiffer) return wrong('inspection', 'tensor values');
      return !Number.isInteger(held) || held! < 0 ? wrong('inspection', 'scalars') : undecided;
    }
    case 'report': {
      const [reported, last] = [of(found, 'statistics')![1]!, of(found, 'statistics')!.at(-1)];
      return (reported !== 0 && reported !== 1) || last !== 0 ? wrong('inspection', 'tensor values') : undecided;
    }
    default:
      return honest.kind in messageKinds ? valid : undecided;
  }
}

/** The message with values that no honest one has, though its line allows them; undefined for a kind that has none. */
export function impossibleValues(honest: Message): Message | undefined {
  const withValues = (name: string, change: (values: Float64Array) => void): Message => ({
    ...honest,
    tensors: honest.tensors.map((named) => {
      if (named.name !== name) return named;
      const data = named.tensor.data.slice() as Float64Array;
      change(data);
      return { name, tensor: { ...named.tensor, data } as Tensor };
    }),
  });
  switch (honest.kind) {
    case 'verdict':
      return { ...honest, scalars: [0.5, ...honest.scalars.slice(1)] };
    case 'weights':
      return { ...honest, scalars: honest.scalars.map(() => -1) };
    case 'trunk-output':
      return honest.scalars.length > 0 ? { ...honest, scalars: [honest.scalars[0]! + 1] } : undefined;
    case 'activations':
      return honest.tensors.some(({ name }) => name === 'groups')
        ? withValues('groups', (values) => (values[0] = recordsBelow + 7))
        : undefined;
    case 'census':
      return withValues('counts', (values) => (values[1]! += 1));
    case 'pooled':
      return withValues('counts', (values) => values.forEach((count, place) => (values[place] = count + 1)));
    case 'report':
      return withValues('statistics', (values) => (values[1] = 0.5));
    default:
      return undefined;
  }
}
