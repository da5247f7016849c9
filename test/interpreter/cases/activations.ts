// Functions of each element, and Softmax. Corners are kept away from; corners.test.ts says what holds on them.

import { float, int, text, type Attribute, type Dim } from '../../../src/onnx/index.ts';
import {
  apartFromZero,
  between,
  distinct,
  ordinary,
  positive,
  type GradientCase,
  type Scenario,
  type Values,
} from '../scenario.ts';

/** `[N, …]` with up to three more axes. */
export function someDims(s: Scenario): Dim[] {
  return [s.N, ...s.integers(s.integer(0, 3), 1, 4)];
}

/** Numbers from `low` to `high` that stay 0.05 away from the given corners. */
const aside =
  (low: number, high: number, ...corners: readonly number[]): Values =>
  (count, uniform) =>
    Array.from({ length: count }, () => {
      for (;;) {
        const x = low + (high - low) * uniform();
        if (corners.every((corner) => Math.abs(x - corner) > 0.05)) return x;
      }
    });

type Attributes = Readonly<Record<string, Attribute>>;

/** One operator of one input; `form` gives its attributes and the numbers it is tried on. */
function unary(op: string, values: Values, attributes: (s: Scenario) => Attributes = () => ({})): GradientCase {
  return {
    title: op,
    build: (s) => s.add(op, [s.input(someDims(s), values)], attributes(s)),
  };
}

const clip: GradientCase = {
  title: 'Clip: both bounds, one or none, fixed or with a gradient',
  build: (s) => {
    const bound = (value: number): string =>
      s.pick(
        () => s.builder.scalar(value),
        () => s.input([], () => [value]),
        () => '',
      )();
    return s.add('Clip', [s.input(someDims(s), distinct), bound(-0.403), bound(0.503)]);
  },
  runs: 16,
};

const hardSigmoid: GradientCase = {
  title: 'HardSigmoid: any slope',
  build: (s) => {
    const [alpha, beta] = [s.pick(0.2, 0.5, 1.5), s.pick(0.5, 0.25)];
    const x = s.input(someDims(s), aside(-4, 4, -beta / alpha, (1 - beta) / alpha));
    return s.add('HardSigmoid', [x], { alpha: float(alpha), beta: float(beta) });
  },
};

/** Steps: constant between their corners, so only the way past them has a gradient. */
const steps: GradientCase = {
  title: 'Ceil, Floor, Round, Sign: no gradient but that of the way past them',
  build: (s) => {
    const x = s.input(someDims(s), aside(-2, 2, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2));
    return s.add('Mul', [x, s.add('Sum', [x, ...['Ceil', 'Floor', 'Round', 'Sign'].map((op) => s.add(op, [x]))])]);
  },
};

const alongAxis = (op: string): GradientCase => ({
  title: `${op}: any axis`,
  build: (s) => {
    const dims = [s.N, ...s.integers(s.integer(1, 3), 1, 4)];
    const axis = s.integer(0, dims.length - 1);
    const x = s.input(dims, between(-4, 4));
    return s.add(op, [x], s.flag() ? { axis: int(s.flag() ? axis : axis - dims.length) } : {});
  },
});

/** PRelu: the slope broadcasts to the input. */
const pRelu: GradientCase = {
  title: 'PRelu: a slope of each channel, each element, or one',
  build: (s) => {
    const [channels, width] = s.integers(2, 1, 3) as [number, number];
    const x = s.input([s.N, channels, width], apartFromZero(0.05));
    const slope = s.input(s.pick<Dim[]>([channels, 1], [channels, width], [1], [1, width]), between(0.1, 0.5));
    return s.add('PRelu', [x, slope]);
  },
};

/** The same function of several values in a row, as a network has it: gradients meet other gradients. */
const chain: GradientCase = {
  title: 'activations in a row',
  build: (s) => {
    const smooth = ['Sigmoid', 'Tanh', 'Softplus', 'Gelu', 'Erf', 'Exp', 'Neg'] as const;
    let value = s.input(someDims(s), between(-1, 1));
    for (let n = s.integer(2, 4); n > 0; n--) value = s.add('Tanh', [s.add(s.pick(...smooth), [value])]);
    return value;
  },
};

export const activationCases: readonly GradientCase[] = [
  unary('Abs', apartFromZero(0.05)),
  unary('Cos', ordinary),
  unary('Elu', apartFromZero(0.05), (s) => (s.flag() ? { alpha: float(0.7) } : {})),
  unary('Erf', ordinary),
  unary('Exp', ordinary),
  unary('Gelu', between(-4, 4), (s) => (s.flag() ? { approximate: text(s.pick('tanh', 'none')) } : {})),
  unary('HardSwish', aside(-5, 5, -3, 3)),
  unary('Identity', ordinary),
  unary('LeakyRelu', apartFromZero(0.05), (s) => (s.flag() ? { alpha: float(s.pick(0.3, 2)) } : {})),
  unary('Log', positive),
  unary('Neg', ordinary),
  unary('Reciprocal', apartFromZero(0.4)),
  unary('Relu', apartFromZero(0.05)),
  unary('Sigmoid', between(-8, 8)),
  unary('Sin', ordinary),
  unary('Softplus', between(-20, 20)),
  unary('Sqrt', positive),
  unary('Tanh', ordinary),
  clip,
  hardSigmoid,
  steps,
  alongAxis('Softmax'),
  alongAxis('LogSoftmax'),
  pRelu,
  chain,
];
