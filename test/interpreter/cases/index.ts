// The table of gradient cases: every operator that has a rule occurs in it.

import type { GradientCase } from '../scenario.ts';
import { activationCases } from './activations.ts';
import { arithmeticCases } from './arithmetic.ts';
import { compoundCases } from './compound.ts';
import { movementCases } from './movement.ts';
import { normalizationCases } from './normalization.ts';
import { productCases } from './products.ts';
import { reductionCases } from './reductions.ts';
import { windowCases } from './windows.ts';

export const gradientCases: readonly GradientCase[] = [
  ...activationCases,
  ...arithmeticCases,
  ...productCases,
  ...windowCases,
  ...normalizationCases,
  ...movementCases,
  ...reductionCases,
  ...compoundCases,
];
