// A frame as bytes: a fixed prefix, the protobuf header, and the tensors raw (docs/PROTOCOL.md). Encoding never copies tensor data;
// decoding gives views into the frame. Everything about a frame that can be checked without knowing the study is checked here.

import { fromHex, ProtocolError, toHex } from '../base/index.ts';
import { type DType, bytesOf, bytesPerElement, elementCount, viewBytes } from '../tensor/index.ts';
import { type Header, type ProofHeader, readHeader, writeHeader } from './header.ts';
import { type Message, type MessageKind, messageKinds, type NamedTensor, type Proof } from './message.ts';

export const PROTOCOL_VERSION = 1;
const MAGIC = 0x4d545053; // "SPTM", little endian
const PREFIX_BYTES = 12;
const DATA_ALIGNMENT = 64;
const TENSOR_ALIGNMENT = 8;
const headerBytesMax = 256 << 10;
const tensorsMax = 4096;

const kindOf = new Map<number, MessageKind>(
  Object.entries(messageKinds).map(([kind, number]) => [number, kind as MessageKind]),
);
// ONNX's TensorProto.DataType.
const dtypeNumbers: Partial<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
};
const dtypeOf = new Map(Object.entries(dtypeNumbers).map(([dtype, number]) => [number, dtype as DType]));

/** The largest number of bytes that a frame adds to its tensors' bytes. */
export const frameOverheadBytesMax = PREFIX_BYTES + headerBytesMax + DATA_ALIGNMENT + tensorsMax * TENSOR_ALIGNMENT;

/** The parts of a frame, in order; the tensors' own bytes are among them, not copies. */
export function encodeMessage(message: Message): readonly Uint8Array<ArrayBuffer>[] {
  const { kind, epoch, step, part, chunk, scalars, site, text } = message;
  const header = writeHeader({
    kind: messageKinds[kind],
    sequence: BigInt(message.sequence),
    epoch,
    step,
    part,
    chunk,
    scalars,
    tensors: message.tensors.map(({ name, tensor: { dtype, dims } }) => ({
      name,
      dtype: dtypeNumbers[dtype] ?? 0,
      dims,
    })),
    site,
    plan: fromHex(message.plan),
    text,
    digest: fromHex(message.digest),
    proof: message.proof && encodeProof(message.proof),
  });
  const dataStart = aligned(PREFIX_BYTES + header.length, message.tensors.length > 0 ? DATA_ALIGNMENT : 1);
  const head = new Uint8Array(dataStart);
  const view = new DataView(head.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, PROTOCOL_VERSION, true);
  view.setUint32(8, header.length, true);
  head.set(header, PREFIX_BYTES);
  const parts = [head];
  let padding = 0;
  for (const { tensor } of message.tensors) {
    if (padding > 0) parts.push(new Uint8Array(padding));
    const bytes = bytesOf(tensor);
    parts.push(bytes);
    padding = aligned(bytes.length, TENSOR_ALIGNMENT) - bytes.length;
  }
  return parts;
}

/** The bytes of a whole frame of this message. */
export function frameBytes(message: Message): number {
  return encodeMessage(message).reduce((sum, part) => sum + part.length, 0);
}

/** The kind of message that the first part of a frame announces; undefined when it is none. */
export function kindOfFrame(start: Uint8Array): MessageKind | undefined {
  if (start.length < PREFIX_BYTES) return undefined;
  const headerLength = new DataView(start.buffer, start.byteOffset, start.byteLength).getUint32(8, true);
  try {
    return kindOf.get(parseHeader(start.subarray(PREFIX_BYTES, PREFIX_BYTES + headerLength)).kind);
  } catch {
    return undefined;
  }
}

/**
 * The message in a frame; its tensors are views into `frame`, whose start must be aligned to 8 bytes.
 * Throws ProtocolError `bad-version`, `bad-frame` or `bad-field`, never anything else.
 */
export function decodeMessage(frame: Uint8Array<ArrayBuffer>): Message {
  if (frame.length < PREFIX_BYTES)
    throw new ProtocolError('bad-frame', `a frame has at least ${PREFIX_BYTES} bytes, this one has ${frame.length}`);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint32(0, true) !== MAGIC) throw new ProtocolError('bad-frame', 'the frame does not start with SPTM');
  const version = view.getUint32(4, true);
  if (version !== PROTOCOL_VERSION) {
    throw new ProtocolError(
      'bad-version',
      `the peer speaks protocol version ${version}, expected ${PROTOCOL_VERSION}: run the same Septum release on both sides`,
    );
  }
  const headerLength = view.getUint32(8, true);
  if (headerLength > headerBytesMax || PREFIX_BYTES + headerLength > frame.length) {
    throw new ProtocolError('bad-frame', `a header of ${headerLength} bytes does not fit the frame of ${frame.length}`);
  }
  const header = parseHeader(frame.subarray(PREFIX_BYTES, PREFIX_BYTES + headerLength));
  const kind = kindOf.get(header.kind);
  if (!kind) throw new ProtocolError('bad-field', `no kind of message has the number ${header.kind}`);
  if (header.sequence > BigInt(Number.MAX_SAFE_INTEGER))
    throw new ProtocolError('bad-field', `sequence ${header.sequence} is out of range`);
  if (header.tensors.length > tensorsMax)
    throw new ProtocolError(
      'bad-field',
      `${header.tensors.length} tensors in one message, at most ${tensorsMax} are allowed`,
    );
  const tensors: NamedTensor[] = [];
  let offset = PREFIX_BYTES + headerLength;
  let alignment = DATA_ALIGNMENT;
  for (const { name, dtype: number, dims } of header.tensors) {
    const dtype = dtypeOf.get(number);
    if (!dtype)
      throw new ProtocolError(
        'bad-field',
        `tensor ${JSON.stringify(name.slice(0, 40))} has the unknown type ${number}`,
      );
    if (dims.length > 8)
      throw new ProtocolError('bad-field', `a tensor has ${dims.length} dimensions, at most 8 are allowed`);
    const start = aligned(offset, alignment);
    const length = elementCount(dims);
    const end = start + length * bytesPerElement(dtype);
    if (!(end <= frame.length))
      throw new ProtocolError(
        'bad-frame',
        `tensor ${JSON.stringify(name.slice(0, 40))} of [${dims.join(', ')}] reaches beyond the frame`,
      );
    requireZeros(frame, offset, start);
    const absolute = frame.byteOffset + start;
    const data =
      absolute % bytesPerElement(dtype) === 0
        ? viewBytes(dtype, frame.buffer, absolute, length)
        : viewBytes(dtype, frame.slice(start, end).buffer, 0, length);
    tensors.push({ name, tensor: { dtype, dims, data } });
    offset = end;
    alignment = TENSOR_ALIGNMENT;
  }
  if (offset !== frame.length)
    throw new ProtocolError('bad-frame', `the frame has ${frame.length} bytes, its header accounts for ${offset}`);
  return {
    kind,
    sequence: Number(header.sequence),
    epoch: header.epoch,
    step: header.step,
    part: header.part,
    chunk: header.chunk,
    scalars: header.scalars,
    tensors,
    site: header.site,
    plan: toHex(header.plan),
    text: header.text,
    digest: toHex(header.digest),
    ...(header.proof && { proof: decodeProof(header.proof) }),
  };
}

function encodeProof({ challenge, key, token, signature }: Proof) {
  return { challenge: fromHex(challenge), key: fromHex(key), token: fromHex(token), signature: fromHex(signature) };
}

function decodeProof({ challenge, key, token, signature }: ProofHeader): Proof {
  return { challenge: toHex(challenge), key: toHex(key), token: toHex(token), signature: toHex(signature) };
}

function parseHeader(bytes: Uint8Array): Header {
  let header;
  try {
    header = readHeader(bytes);
  } catch (cause) {
    throw new ProtocolError('bad-frame', 'the header is not a valid protobuf message', { cause });
  }
  if (!header) throw new ProtocolError('bad-field', 'the header has a field that this version does not know');
  return header;
}

function aligned(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

function requireZeros(frame: Uint8Array, from: number, to: number): void {
  for (let index = from; index < to; index++) {
    if (frame[index] !== 0) throw new ProtocolError('bad-frame', 'the padding before a tensor is not zero');
  }
}
