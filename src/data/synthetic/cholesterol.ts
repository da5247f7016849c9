// Synthetic lipid panels: seven plausible inputs and an LDL cholesterol that depends on them in a curved way. No person is behind them.
// The curve is in the manner of the published equations, which all subtract from total cholesterol the HDL and a share of the
// triglycerides: here that share falls as triglycerides rise (Martin and Hopkins, JAMA 2013, tabulate such a ratio) and, an invention,
// depends on sex, age and body mass index as well.

import type { RandomStream } from '../../base/index.ts';

/** One panel: the inputs in the order of `cholesterolInputs` (years, female 0 or 1, cm, kg, mg/dL, mg/dL, mg/dL), and LDL in mg/dL. */
export interface LipidPanel {
  readonly inputs: readonly [number, number, number, number, number, number, number];
  readonly ldl: number;
}

/** The standard deviation of the assay's error in the LDL, mg/dL: no model can be better. */
export const ldlNoiseMgdl = 2.5;

/**
 * The share of triglycerides (mg/dL) that is cholesterol carried by VLDL: 1/3.5 at low triglycerides to about 1/10 at high ones,
 * changed by up to two fifths either way by sex, age and body mass index.
 */
function vldlShare(tg: number, female: number, age: number, bmi: number): number {
  const ratio = 3.5 + 6.5 * (1 - Math.exp(-tg / 220));
  const lean = Math.tanh((bmi - 27) / 4);
  const old = Math.tanh((age - 52) / 14);
  return (1 + 0.4 * lean * (female === 1 ? old : -1)) / ratio;
}

/** The panel of a record: a function of the stream and the record's index. Inputs are rounded as laboratories report them. */
export function lipidPanel(stream: RandomStream, record: number): LipidPanel {
  const z = new Float64Array(10);
  stream.fillNormal(z, 0, record);
  const female = z[0]! > 0 ? 1 : 0;
  // Ages 20 to 90: the logistic curve keeps them inside without a pile at the ends.
  const age = Math.round(20 + 70 / (1 + Math.exp(-z[1]!)));
  const height = Math.round(female === 1 ? 163 + 6.5 * z[2]! : 176 + 7 * z[2]!);
  const bmi = 27 * Math.exp(0.17 * z[3]! + 0.0015 * (age - 52));
  const weight = Math.round(bmi * (height / 100) ** 2 * 10) / 10;
  const tg = Math.round(118 * Math.exp(0.55 * z[4]! + 0.015 * (bmi - 27)));
  const hdl = Math.round((female === 1 ? 58 : 48) * Math.exp(0.2 * z[5]!) * (tg / 118) ** -0.2);
  const trueLdl = 118 * Math.exp(0.28 * z[6]! + 0.002 * (age - 52));
  const tc = Math.round(trueLdl + hdl + tg * vldlShare(tg, female, age, bmi));
  const ldl = Math.round(10 * (trueLdl + ldlNoiseMgdl * z[7]!)) / 10;
  return { inputs: [age, female, height, weight, tc, hdl, tg], ldl };
}
