// The kinds of message between a site and the server, and one message as a value. What a kind may carry is fixed by the exchange that
// the study's script expects (script.ts); the bytes are codec.ts's business.

import type { DType, Tensor } from '../tensor/index.ts';

/** Every kind with its number on the wire. Numbers are never reused. */
export const messageKinds = {
  hello: 1,
  welcome: 2,
  refuse: 3,
  census: 4,
  pooled: 5,
  activations: 6,
  'cut-gradient': 7,
  'parameter-gradient': 8,
  'gradient-sum': 9,
  'trunk-output': 10,
  'output-gradient': 11,
  weights: 12,
  acknowledge: 13,
  report: 14,
  verdict: 15,
  turn: 16,
  finish: 17,
  challenge: 24,
  enrol: 25,
  enrolled: 26,
  withdraw: 27,
  withdrawn: 28,
} as const;

export type MessageKind = keyof typeof messageKinds;

/** A tensor with the name by which the receiver knows it. */
export interface NamedTensor {
  readonly name: string;
  readonly tensor: Tensor;
}

/** What proves who speaks (proof.ts). Each field is bytes in hexadecimal, or empty. */
export interface Proof {
  /** 32 random bytes of the one who speaks, for this connection. */
  readonly challenge: string;
  /** The Ed25519 public key of the one who speaks, 32 bytes. */
  readonly key: string;
  /** The token of an invite, 32 bytes: enrol only. */
  readonly token: string;
  /** The Ed25519 signature by that key, 64 bytes. */
  readonly signature: string;
}

/** One message. Fields that a kind does not use are zero or empty, and a receiver checks that. */
export interface Message {
  readonly kind: MessageKind;
  /** Position in the study's script; 0 for what stands outside it. */
  readonly sequence: number;
  readonly epoch: number;
  readonly step: number;
  readonly part: number;
  readonly chunk: number;
  readonly scalars: readonly number[];
  readonly tensors: readonly NamedTensor[];
  readonly site: string;
  readonly plan: string;
  readonly text: string;
  /** SHA-256 of the tensors' bytes where the receiver stores them; else empty. */
  readonly digest: string;
  /** Who speaks, where the connection asks for it: challenge, hello, welcome, enrol and enrolled only. */
  readonly proof?: Proof;
}

/** A message with everything that is not given left zero or empty. */
export function message(kind: MessageKind, fields: Partial<Omit<Message, 'kind'>> = {}): Message {
  const { sequence = 0, epoch = 0, step = 0, part = 0, chunk = 0, scalars = [], tensors = [] } = fields;
  const { site = '', plan = '', text = '', digest = '', proof } = fields;
  const all = { kind, sequence, epoch, step, part, chunk, scalars, tensors, site, plan, text, digest };
  return proof ? { ...all, proof } : all;
}

/** The declared name, type and dimensions of a tensor in a message. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: DType;
  readonly dims: readonly number[];
  /** Values must be integers or bytes in 0 … below-1. */
  readonly below?: number;
  /** Values of a float32 tensor must not be less. */
  readonly atLeast?: number;
  /** A float64 tensor whose values must be in float32's range: the receiver rounds them, or their sum, to float32. */
  readonly rounded?: true;
}
