// What a user's model file may hold. A file comes from outside: its operators are held against a list, so that one that Septum learns to
// read for its own use is not thereby let in, and its memory against a bound before anything of its size is made.

import type { Allowance } from '../onnx/index.ts';

/** Operators of ONNX's own domain. All are functions of their inputs alone: none branches, loops, draws at random or reads a file. */
const operators = `
  Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast CastLike Ceil Celu
  Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace Div Dropout Elu Equal Erf Exp
  Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater
  GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization IsInf IsNaN LRN
  LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul Max MaxPool Mean Min
  Mish Mod Mul Neg Not OneHot Or PRelu Pad Pow Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
  ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round ScatterElements
  ScatterND Selu Shape Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub
  Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Where Xor`;

/** Bytes that one run of a user's network on one record may take: VGG-19 at 224 x 224 pixels takes 0.7 GB of it, weights included. */
const recordBytesMax = 4 * 2 ** 30;

/** What a model file is held against, in the form that Septum trains. */
export const allowedModels: Allowance = {
  operators: new Set(operators.trim().split(/\s+/)),
  bytesMax: recordBytesMax,
  symbols: { N: 1 },
};

/** Bytes that one run of one of a study's graphs may take, where the network is a user's: on a whole batch, with gradients and updates. */
export const graphBytesMax = 32 * 2 ** 30;
