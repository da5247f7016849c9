// Attributes of a file: AttributeProto to Attribute and back. Graphs, sparse tensors and types inside attributes are refused in a file
// that is read; a graph is written where a lowering uses one.

import { create } from '@bufbuild/protobuf';
import { type AttributeProto, AttributeProtoSchema } from '../gen/onnx_pb.ts';
import type { Attribute, Graph } from '../graph.ts';
import { badFile, readTensor, writeTensor } from './tensor-proto.ts';

/** AttributeProto.AttributeType. */
const kinds = { float: 1, int: 2, string: 3, tensor: 4, graph: 5, floats: 6, ints: 7, strings: 8 } as const;

const foreignKinds: Readonly<Record<number, string>> = {
  0: 'no kind',
  5: 'a graph',
  9: 'tensors',
  10: 'graphs',
  11: 'a sparse tensor',
  12: 'sparse tensors',
  13: 'a type',
  14: 'types',
};

function readInteger(value: bigint, where: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw badFile(`${where} is ${value}, beyond the integers that Septum reads`);
  return number;
}

function readText(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw badFile(`${where} is not UTF-8`, error);
  }
}

/** The attribute of an AttributeProto. Throws EngineError `bad-model-file`; `where` names it in the message. */
export function readAttribute(proto: AttributeProto, where: string): Attribute {
  if (proto.refAttrName !== '') throw badFile(`${where} refers to a function's attribute`);
  switch (proto.type) {
    case kinds.float:
      return { kind: 'float', value: proto.f };
    case kinds.int:
      return { kind: 'int', value: readInteger(proto.i, where) };
    case kinds.string:
      return { kind: 'string', value: readText(proto.s, where) };
    case kinds.tensor:
      if (!proto.t) throw badFile(`${where} has no tensor`);
      return { kind: 'tensor', value: readTensor(proto.t, where) };
    case kinds.floats:
      return { kind: 'floats', value: proto.floats };
    case kinds.ints:
      return { kind: 'ints', value: proto.ints.map((value) => readInteger(value, where)) };
    case kinds.strings:
      return { kind: 'strings', value: proto.strings.map((value) => readText(value, where)) };
    default:
      throw badFile(`${where} holds ${foreignKinds[proto.type] ?? `kind ${proto.type}`}, which Septum does not read`);
  }
}

/** `writeGraph` gives a graph's bytes. */
export function writeAttribute(
  name: string,
  attribute: Attribute,
  writeGraph: (graph: Graph) => Uint8Array<ArrayBuffer>,
): AttributeProto {
  const proto = create(AttributeProtoSchema, { name, type: kinds[attribute.kind] });
  const encoder = new TextEncoder();
  switch (attribute.kind) {
    case 'float':
      proto.f = attribute.value;
      break;
    case 'int':
      proto.i = BigInt(attribute.value);
      break;
    case 'string':
      proto.s = encoder.encode(attribute.value);
      break;
    case 'tensor':
      proto.t = writeTensor(attribute.value, '');
      break;
    case 'graph':
      proto.g = writeGraph(attribute.value);
      break;
    case 'floats':
      proto.floats = [...attribute.value];
      break;
    case 'ints':
      proto.ints = attribute.value.map(BigInt);
      break;
    case 'strings':
      proto.strings = attribute.value.map((value) => encoder.encode(value));
      break;
  }
  return proto;
}
