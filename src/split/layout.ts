// How a part's parameters travel in and out of its graphs. Every tensor costs a run about 5 µs (DESIGN.md), so a small part's parameters
// are packed end to end in one tensor; a large part's go one by one, for packing would copy them at every step.

import { assert, type Seed } from '../base/index.ts';
import { initialise, type ParameterSpec } from '../models/index.ts';
import type { GraphBuilder } from '../onnx/index.ts';
import type { ParameterGroup, PartLayout } from '../protocol/index.ts';
import { stateTensors } from '../protocol/index.ts';
import { elementCount, type Tensor, zeros } from '../tensor/index.ts';

const packedElementsMax = 1 << 16;

/** The layout of a part with these parameters and running statistics. */
export function layoutOf(
  parameters: readonly ParameterSpec[],
  statistics: readonly ParameterSpec[],
  slots: number,
): PartLayout {
  return { groups: groupsOf(parameters), statistics: groupsOf(statistics), slots };
}

function groupsOf(specs: readonly ParameterSpec[]): ParameterGroup[] {
  const total = specs.reduce((sum, spec) => sum + elementCount(spec.dims), 0);
  if (specs.length < 2 || total > packedElementsMax) {
    return specs.map(({ name, dims }) => ({ name, dims: [...dims], members: [{ name, dims: [...dims], offset: 0 }] }));
  }
  let offset = 0;
  const members = specs.map(({ name, dims }) => {
    const member = { name, dims: [...dims], offset };
    offset += elementCount(dims);
    return member;
  });
  return [{ name: 'packed', dims: [total], members }];
}

/** A tensor for each group, from its members' tensors (copied). */
export function packGroups(
  groups: readonly ParameterGroup[],
  values: Pick<ReadonlyMap<string, Tensor>, 'get'>,
): Tensor<'float32'>[] {
  return groups.map((group) => {
    const packed = zeros('float32', group.dims);
    for (const member of group.members) {
      const value = values.get(member.name);
      assert(
        value?.dtype === 'float32' && value.data.length === elementCount(member.dims),
        `parameter ${member.name} fits its group`,
      );
      packed.data.set(value.data as Float32Array, member.offset);
    }
    return packed;
  });
}

/** The members' tensors (copied) from the groups' tensors. */
export function unpackGroups(
  groups: readonly ParameterGroup[],
  packed: readonly Tensor[],
): Map<string, Tensor<'float32'>> {
  const values = new Map<string, Tensor<'float32'>>();
  groups.forEach((group, index) => {
    const data = packed[index]?.data as Float32Array<ArrayBuffer>;
    for (const { name, dims, offset } of group.members) {
      values.set(name, { dtype: 'float32', dims, data: data.slice(offset, offset + elementCount(dims)) });
    }
  });
  return values;
}

/** A part's state by tensor name (`stateTensors`), as `values` has the parameters and statistics, with the optimizer's slots at zero. */
export function stateFrom(
  part: string,
  layout: PartLayout,
  values: Pick<ReadonlyMap<string, Tensor>, 'get'>,
): Record<string, Tensor> {
  const known: Record<string, Tensor> = {};
  packGroups(layout.groups, values).forEach((value, index) => (known[`${part}.w${index}`] = value));
  packGroups(layout.statistics, values).forEach((value, index) => (known[`${part}.r${index}`] = value));
  return Object.fromEntries(
    stateTensors(part, layout, true).map(({ name, dims }) => [name, known[name] ?? zeros('float32', dims)]),
  );
}

/** A part's parameters and statistics by their own names, from its state. */
export function valuesFrom(
  part: string,
  layout: PartLayout,
  state: Readonly<Record<string, Tensor>>,
): Map<string, Tensor<'float32'>> {
  const take = (kind: 'w' | 'r', groups: readonly ParameterGroup[]) =>
    unpackGroups(
      groups,
      groups.map((_, index) => state[`${part}.${kind}${index}`] as Tensor),
    );
  return new Map([...take('w', layout.groups), ...take('r', layout.statistics)]);
}

/** A part's state at the start of training: the initial values that its specifications draw from `seed`. */
export function initialState(
  part: {
    readonly part: string;
    readonly layout: PartLayout;
    readonly parameters: readonly ParameterSpec[];
    readonly statistics: readonly ParameterSpec[];
  },
  seed: Seed,
): Record<string, Tensor> {
  const specs = new Map([...part.parameters, ...part.statistics].map((spec) => [spec.name, spec]));
  // One at a time: of a large network all of them beside their copies in the state are hundreds of megabytes.
  const get = (name: string): Tensor | undefined => {
    const spec = specs.get(name);
    return spec && initialise([spec], seed).get(name);
  };
  return stateFrom(part.part, part.layout, { get });
}

/** Declares a part's groups as inputs of a graph. Returns the parameters' and statistics' values by their own names. */
export function openPart(builder: GraphBuilder, part: string, layout: PartLayout): Map<string, string> {
  const values = new Map<string, string>();
  const declare = (kind: 'w' | 'r', groups: readonly ParameterGroup[]) =>
    groups.forEach((group, index) => {
      const input = builder.input(`${part}.${kind}${index}`, 'float32', group.dims);
      if (group.members.length === 1 && group.members[0]) {
        values.set(group.members[0].name, input);
        return;
      }
      const pieces = builder.split(
        input,
        0,
        group.members.map((member) => elementCount(member.dims)),
      );
      group.members.forEach((member, place) => {
        values.set(member.name, builder.add('Reshape', [pieces[place] ?? '', builder.integers(member.dims)]));
      });
    });
  declare('w', layout.groups);
  declare('r', layout.statistics);
  return values;
}
