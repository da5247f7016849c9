// The protobuf header of a frame (septum.proto), written and read field by field: by way of the generated descriptors it would take longer
// than a small network's run. Fields go out in the order of their numbers, and zeros do not: as the descriptors have it, byte for byte.

import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

export interface TensorHeader {
  name: string;
  /** ONNX's TensorProto.DataType numbers. */
  dtype: number;
  dims: readonly number[];
}

export interface ProofHeader {
  challenge: Uint8Array;
  key: Uint8Array;
  token: Uint8Array;
  signature: Uint8Array;
}

export interface Header {
  kind: number;
  sequence: bigint;
  epoch: number;
  step: number;
  part: number;
  chunk: number;
  scalars: readonly number[];
  tensors: readonly TensorHeader[];
  site: string;
  plan: Uint8Array;
  text: string;
  digest: Uint8Array;
  proof?: ProofHeader | undefined;
}

const { Varint, Bit64, LengthDelimited } = WireType;
const none = new Uint8Array();
const proofFields = ['challenge', 'key', 'token', 'signature'] as const;

/** The header's bytes. Throws for a number that is not in its field's range. */
export function writeHeader(header: Header): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter();
  writeNumber(writer, 1, header.kind);
  if (header.sequence !== 0n) writer.tag(2, Varint).uint64(header.sequence);
  writeNumber(writer, 3, header.epoch);
  writeNumber(writer, 4, header.step);
  writeNumber(writer, 5, header.part);
  writeNumber(writer, 6, header.chunk);
  if (header.scalars.length > 0) {
    writer.tag(7, LengthDelimited).uint32(8 * header.scalars.length);
    for (const scalar of header.scalars) writer.double(scalar);
  }
  for (const { name, dtype, dims } of header.tensors) {
    writer.tag(8, LengthDelimited).fork();
    if (name !== '') writer.tag(1, LengthDelimited).string(name);
    writeNumber(writer, 2, dtype);
    if (dims.length > 0) {
      writer.tag(3, LengthDelimited).fork();
      for (const dim of dims) writer.uint32(dim);
      writer.join();
    }
    writer.join();
  }
  if (header.site !== '') writer.tag(9, LengthDelimited).string(header.site);
  writeBytes(writer, 10, header.plan);
  if (header.text !== '') writer.tag(11, LengthDelimited).string(header.text);
  writeBytes(writer, 12, header.digest);
  if (header.proof) {
    writer.tag(15, LengthDelimited).fork();
    for (const [index, field] of proofFields.entries()) writeBytes(writer, index + 1, header.proof[field]);
    writer.join();
  }
  return writer.finish();
}

function writeNumber(writer: BinaryWriter, field: number, value: number): void {
  if (value !== 0) writer.tag(field, Varint).uint32(value);
}

function writeBytes(writer: BinaryWriter, field: number, value: Uint8Array): void {
  if (value.length > 0) writer.tag(field, LengthDelimited).bytes(value);
}

/**
 * The header in these bytes; undefined where it has a field that is not known. Throws for bytes that are no such message. As protobuf has
 * it, a field that comes again replaces what it said before, and numbers of a list may come one by one.
 */
export function readHeader(bytes: Uint8Array): Header | undefined {
  const reader = new BinaryReader(bytes);
  const scalars: number[] = [];
  const tensors: TensorHeader[] = [];
  const header: Header = {
    kind: 0,
    sequence: 0n,
    epoch: 0,
    step: 0,
    part: 0,
    chunk: 0,
    scalars,
    tensors,
    site: '',
    plan: none,
    text: '',
    digest: none,
    proof: undefined,
  };
  const isKnown = readFields(reader, bytes.length, (field, type) => {
    switch (field) {
      case 1:
        header.kind = readNumber(reader, type);
        return true;
      case 2:
        header.sequence = readSequence(reader, type);
        return true;
      case 3:
        header.epoch = readNumber(reader, type);
        return true;
      case 4:
        header.step = readNumber(reader, type);
        return true;
      case 5:
        header.part = readNumber(reader, type);
        return true;
      case 6:
        header.chunk = readNumber(reader, type);
        return true;
      case 7:
        return readList(reader, type, Bit64, () => scalars.push(reader.double()));
      case 8: {
        const dims: number[] = [];
        const tensor = { name: '', dtype: 0, dims };
        tensors.push(tensor);
        return readTensor(reader, type, tensor, dims);
      }
      case 9:
        header.site = readText(reader, type);
        return true;
      case 10:
        header.plan = readBytes(reader, type);
        return true;
      case 11:
        header.text = readText(reader, type);
        return true;
      case 12:
        header.digest = readBytes(reader, type);
        return true;
      case 15:
        header.proof ??= { challenge: none, key: none, token: none, signature: none };
        return readProof(reader, type, header.proof);
      default:
        return false;
    }
  });
  return isKnown ? header : undefined;
}

/** Reads `length` bytes of fields. `read` reads one, or says that it is not known; then the fields after it do not matter. */
function readFields(reader: BinaryReader, length: number, read: (field: number, type: WireType) => boolean): boolean {
  const end = reader.pos + length;
  while (reader.pos < end) {
    const [field, type] = reader.tag();
    if (read(field, type)) continue;
    reader.pos = end;
    return false;
  }
  if (reader.pos !== end) throw new RangeError('a field reaches beyond its message');
  return true;
}

function readTensor(reader: BinaryReader, type: WireType, tensor: TensorHeader, dims: number[]): boolean {
  requireType(type, LengthDelimited);
  return readFields(reader, reader.uint32(), (field, own) => {
    switch (field) {
      case 1:
        tensor.name = readText(reader, own);
        return true;
      case 2:
        tensor.dtype = readNumber(reader, own);
        return true;
      case 3:
        return readList(reader, own, Varint, () => dims.push(reader.uint32()));
      default:
        return false;
    }
  });
}

function readProof(reader: BinaryReader, type: WireType, proof: ProofHeader): boolean {
  requireType(type, LengthDelimited);
  return readFields(reader, reader.uint32(), (field, own) => {
    const name = proofFields[field - 1];
    if (name !== undefined) proof[name] = readBytes(reader, own);
    return name !== undefined;
  });
}

/** Numbers of a list: several together, or one. */
function readList(reader: BinaryReader, type: WireType, ofOne: WireType, read: () => void): true {
  if (type === LengthDelimited) {
    const end = reader.uint32() + reader.pos;
    while (reader.pos < end) read();
    if (reader.pos !== end) throw new RangeError('a number reaches beyond its list');
  } else {
    requireType(type, ofOne);
    read();
  }
  return true;
}

function readNumber(reader: BinaryReader, type: WireType): number {
  requireType(type, Varint);
  return reader.uint32();
}

function readSequence(reader: BinaryReader, type: WireType): bigint {
  requireType(type, Varint);
  return BigInt(reader.uint64());
}

function readText(reader: BinaryReader, type: WireType): string {
  requireType(type, LengthDelimited);
  return reader.string(true);
}

function readBytes(reader: BinaryReader, type: WireType): Uint8Array {
  requireType(type, LengthDelimited);
  return reader.bytes();
}

function requireType(type: WireType, expected: WireType): void {
  if (type !== expected) throw new TypeError(`a field of type ${type}, expected ${expected}`);
}
