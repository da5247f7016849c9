// The options of a study's network: those that are written, and those that follow from the data.

import { type DataSettings, describeInputs, targetOf } from '../data/index.ts';
import { networkOptions } from '../models/index.ts';

/** A named network's options; those that it has and the study leaves out follow from the data. */
export function optionsOf(
  network: { readonly name?: string | undefined; readonly options: Readonly<Record<string, number>> },
  data: DataSettings,
): Record<string, number> {
  const options = network.name === undefined ? undefined : networkOptions(network.name);
  if (!options) return { ...network.options };
  const { dims, columns } = describeInputs(data);
  const target = targetOf(data);
  const [channels, height, width] = dims;
  const followed: Record<string, number | undefined> = {
    inputs: columns.length > 0 ? columns.length : undefined,
    channels: dims.length === 3 ? channels : undefined,
    size: height === width ? height : undefined,
    classes: target.kind === 'classification' && target.classes.length > 2 ? target.classes.length : undefined,
  };
  const taken = Object.entries(followed).filter(([option, value]) => options.includes(option) && value !== undefined);
  return { ...(Object.fromEntries(taken) as Record<string, number>), ...network.options };
}
