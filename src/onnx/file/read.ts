// Reads an .onnx file that anyone may have made. Every part is checked before it is used; what Septum has no place for
// is refused by name. Whether the nodes fit their operators is a question for `validate`, once the graph is read.

import { create, fromBinary } from '@bufbuild/protobuf';
import { messageOf } from '../../base/index.ts';
import type { Tensor } from '../../tensor/index.ts';
import {
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  type StringStringEntryProto,
  TensorShapeProtoSchema,
  type ValueInfoProto,
} from '../gen/onnx_pb.ts';
import { withInferredOutputs } from '../edit.ts';
import type { Attribute, Dim, Graph, Node, ValueInfo } from '../graph.ts';
import { canonicalDim } from '../infer/dims.ts';
import { checkStructure } from '../structure.ts';
import { readAttribute } from './attribute-proto.ts';
import { badFile, readDType, readSize, readTensor } from './tensor-proto.ts';

/** What a file may hold. The defaults let every network of the papers through with room to spare. */
export interface ReadLimits {
  readonly nodesMax?: number;
  readonly valuesMax?: number;
  readonly weightBytesMax?: number;
  readonly rankMax?: number;
}

const defaults = { nodesMax: 50_000, valuesMax: 100_000, weightBytesMax: 2 ** 31, rankMax: 16 };

/** The oldest and newest operator sets of ONNX's own domain that are read. */
const opsetMin = 11;
const opsetMax = 23;

/**
 * The graph of an .onnx file, with tensors in memory of their own. Initializers that are also graph inputs (as older files have
 * them) are initializers only. A dimension without size and name gets the name of its value and axis.
 * Throws EngineError `bad-model-file`, whatever the bytes are.
 */
export function readModel(bytes: Uint8Array, limits: ReadLimits = {}): Graph {
  const model = decode(bytes);
  if (!model.graph) throw badFile('it holds no graph');
  if (model.functions.length > 0) throw badFile('it has functions of its own, which Septum does not read');
  return readGraph(model, model.graph, { ...defaults, ...limits });
}

function decode(bytes: Uint8Array): ModelProto {
  try {
    return fromBinary(ModelProtoSchema, bytes, { readUnknownFields: false });
  } catch (error) {
    throw badFile('it is not an ONNX model (protobuf)', error);
  }
}

function readGraph(model: ModelProto, proto: GraphProto, limits: Required<ReadLimits>): Graph {
  if (proto.node.length > limits.nodesMax) throw badFile(`${proto.node.length} nodes; at most ${limits.nodesMax}`);
  if (proto.input.length + proto.output.length + proto.initializer.length > limits.valuesMax)
    throw badFile(`more than ${limits.valuesMax} inputs, outputs and initializers`);
  if (proto.sparseInitializer.length > 0) throw badFile('it has sparse initializers, which Septum does not read');
  const initializers = readInitializers(proto, limits.weightBytesMax);
  const graph = {
    name: proto.name,
    opsets: readOpsets(model),
    inputs: proto.input.filter(({ name }) => !initializers.has(name)).map((value) => readValue(value, limits.rankMax)),
    outputs: proto.output.map((value) => readValue(withShape(value), limits.rankMax)),
    initializers,
    nodes: readNodes(proto.node),
    metadata: readMetadata(model.metadataProps),
  };
  checkStructure(graph, badFile);
  return proto.output.every(hasShape) ? graph : inferred(graph);
}

function hasShape(value: ValueInfoProto): boolean {
  return value.type?.tensorType?.shape !== undefined;
}

/** An output may come without a shape (never an input): it is read as a scalar until inference has given it its own. */
function withShape(value: ValueInfoProto): ValueInfoProto {
  const tensorType = value.type?.tensorType;
  if (!value.type || !tensorType || hasShape(value)) return value;
  return { ...value, type: { ...value.type, tensorType: { ...tensorType, shape: create(TensorShapeProtoSchema) } } };
}

function inferred(graph: Graph): Graph {
  try {
    return withInferredOutputs(graph);
  } catch (error) {
    throw badFile(`an output is declared without a shape, and it does not follow: ${messageOf(error)}`, error);
  }
}

function readOpsets(model: ModelProto): Record<string, number> {
  const opsets = new Map<string, number>();
  for (const { domain, version } of model.opsetImport) {
    const own = domain === 'ai.onnx' ? '' : domain;
    if (opsets.has(own)) throw badFile(`two operator sets of the domain "${own}"`);
    if (version < 1n || version > 1_000_000n) throw badFile(`operator set ${version} of the domain "${own}"`);
    opsets.set(own, Number(version));
  }
  const version = opsets.get('') ?? 1;
  if (version < opsetMin || version > opsetMax)
    throw badFile(`operator set ${version}; Septum reads ${opsetMin} to ${opsetMax}: export the model again`);
  return Object.fromEntries(opsets);
}

function readInitializers(proto: GraphProto, weightBytesMax: number): Map<string, Tensor> {
  const initializers = new Map<string, Tensor>();
  let total = 0;
  for (const entry of proto.initializer) {
    if (initializers.has(entry.name)) throw badFile(`two initializers are called "${entry.name}"`);
    const value = readTensor(entry, `initializer "${entry.name}"`);
    total += value.data.byteLength;
    if (total > weightBytesMax) throw badFile(`more than ${weightBytesMax} bytes of weights`);
    initializers.set(entry.name, value);
  }
  return initializers;
}

function readValue(proto: ValueInfoProto, rankMax: number): ValueInfo {
  const where = `"${proto.name}"`;
  const type = proto.type?.tensorType;
  if (!type) throw badFile(`${where} is not declared as a tensor`);
  if (!type.shape) throw badFile(`${where} is declared without a shape`);
  if (type.shape.dim.length > rankMax)
    throw badFile(`${where} has ${type.shape.dim.length} dimensions; at most ${rankMax}`);
  const dims = type.shape.dim.map(({ value }, axis): Dim => {
    const symbol = `${proto.name}_${axis}`;
    if (value.case === 'dimParam') return value.value.trim() === '' ? symbol : canonicalDim(value.value);
    // Some exporters write -1 where they mean a dimension that is not known.
    return value.case === undefined || value.value === -1n ? symbol : readSize(value.value, where);
  });
  return { name: proto.name, dtype: readDType(type.elemType, where), dims };
}

/** Nodes without a name, or with one that is taken, are named by operator and position. */
function readNodes(protos: readonly NodeProto[]): Node[] {
  const taken = new Set(protos.map(({ name }) => name));
  const used = new Set<string>();
  return protos.map((proto, index) => {
    let name = proto.name;
    if (name === '' || used.has(name)) name = `${proto.opType}_${index}`;
    while (used.has(name) || (name !== proto.name && taken.has(name))) name += '_';
    used.add(name);
    const domain = proto.domain === 'ai.onnx' ? '' : proto.domain;
    const attributes = readAttributes(proto, name);
    return { op: proto.opType, domain, name, inputs: proto.input, outputs: proto.output, attributes };
  });
}

function readAttributes(proto: NodeProto, node: string): Record<string, Attribute> {
  const attributes = new Map<string, Attribute>();
  for (const attribute of proto.attribute) {
    const where = `node ${node} (${proto.opType}): attribute "${attribute.name}"`;
    if (attributes.has(attribute.name)) throw badFile(`${where} is given twice`);
    attributes.set(attribute.name, readAttribute(attribute, where));
  }
  return Object.fromEntries(attributes);
}

function readMetadata(entries: readonly StringStringEntryProto[]): Record<string, string> {
  return Object.fromEntries(entries.map(({ key, value }) => [key, value]));
}
