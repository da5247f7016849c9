// Writes a graph as an .onnx file. The same graph gives the same bytes: fields in the order of their numbers, attributes, operator
// sets and metadata in the order of their names, everything else in the graph's order.

import { create, toBinary } from '@bufbuild/protobuf';
import { EngineError, sha256Hex } from '../../base/index.ts';
import { codeOfDType } from '../data-type.ts';
import {
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  NodeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../gen/onnx_pb.ts';
import type { Graph, Node, ValueInfo } from '../graph.ts';
import { writeAttribute } from './attribute-proto.ts';
import { writeTensor } from './tensor-proto.ts';

/** IR version 10 goes with operator set 21. */
const irVersion = 10n;

/** Protobuf's limit on one message. */
const fileBytesMax = 2 ** 31 - 1;

function byName<T>(record: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

function writeNode(node: Node) {
  return create(NodeProtoSchema, {
    input: [...node.inputs],
    output: [...node.outputs],
    name: node.name,
    opType: node.op,
    attribute: byName(node.attributes).map(([name, attribute]) => writeAttribute(name, attribute, writeBody)),
    ...(node.domain !== '' && { domain: node.domain }),
  });
}

function writeValue(value: ValueInfo): ValueInfoProto {
  return create(ValueInfoProtoSchema, {
    name: value.name,
    type: {
      tensorType: {
        elemType: codeOfDType(value.dtype),
        shape: {
          dim: value.dims.map((dim) => ({
            value:
              typeof dim === 'number'
                ? { case: 'dimValue' as const, value: BigInt(dim) }
                : { case: 'dimParam' as const, value: dim },
          })),
        },
      },
    },
  });
}

function writeGraph(graph: Graph): GraphProto {
  return create(GraphProtoSchema, {
    node: graph.nodes.map(writeNode),
    name: graph.name,
    initializer: [...graph.initializers].map(([name, value]) => writeTensor(value, name)),
    input: graph.inputs.map(writeValue),
    output: graph.outputs.map(writeValue),
  });
}

function writeBody(graph: Graph): Uint8Array<ArrayBuffer> {
  return toBinary(GraphProtoSchema, writeGraph(graph));
}

function modelOf(graph: Graph): ModelProto {
  return create(ModelProtoSchema, {
    irVersion,
    producerName: 'septum',
    graph: writeGraph(graph),
    opsetImport: byName(graph.opsets).map(([domain, version]) => ({ domain, version: BigInt(version) })),
    metadataProps: byName(graph.metadata).map(([key, value]) => ({ key, value })),
  });
}

/** The graph as the bytes of an .onnx file, initializers included. Throws EngineError `bad-graph` when they would pass 2 GiB. */
export function writeModel(graph: Graph): Uint8Array<ArrayBuffer> {
  let weightBytes = 0;
  for (const value of graph.initializers.values()) weightBytes += value.data.byteLength;
  if (weightBytes > fileBytesMax)
    throw new EngineError(
      'bad-graph',
      `graph ${graph.name}: ${weightBytes} bytes of weights; an .onnx file holds 2 GiB`,
    );
  return toBinary(ModelProtoSchema, modelOf(graph));
}

/** SHA-256 of the written file in lower-case hexadecimal: the plan names graphs by it. */
export function graphHash(graph: Graph): string {
  return sha256Hex(writeModel(graph));
}
