// Which places to cut a network at are meant, and whether it can be cut there: between site segment, server trunk and head each part
// must have parameters, or a site would send its input, or a part would have nothing to learn.

import { ConfigError } from '../base/index.ts';
import { type Graph, inferTypes } from '../onnx/index.ts';
import type { Network } from './network.ts';
import { type Separator, separators } from './separators.ts';

/** Where to cut a network, by its values' names. */
export interface Cuts {
  /** The activations. */
  readonly cut: string;
  /** Where the head begins; without it `usualHeadCut` if it can begin there, else the head is as short as it can be and have a parameter. */
  readonly headCut?: string | undefined;
  readonly usualHeadCut?: string | undefined;
}

/** A network's name, graph and parameters, and what values are called in it that the user's file calls otherwise. */
export interface Uncut {
  readonly name: string;
  readonly graph: Graph;
  readonly parameters: ReadonlySet<string>;
  readonly names?: ReadonlyMap<string, string>;
}

/**
 * The cuts, where the network can be cut so. In a network too short for a trunk and a head both are the same place. Throws ConfigError
 * `bad-study`; the message lists where it can be cut.
 */
export function chooseCuts(uncut: Uncut, cuts: Cuts): { readonly cut: string; readonly headCut: string } {
  const { name, names = new Map<string, string>() } = uncut;
  const fileNames = new Map([...names].map(([from, to]) => [to, from]));
  const list = (found: readonly Separator[]) =>
    found.map(({ value }) => fileNames.get(value) ?? value).join(', ') || '(nowhere)';
  const find = (found: readonly Separator[], wanted: string) =>
    found.find(({ value }) => value === (names.get(wanted) ?? wanted));

  const { cutPlaces, headPlacesAfter } = places(uncut);
  const cut = find(cutPlaces, cuts.cut);
  if (!cut)
    throw new ConfigError(
      'bad-study',
      `network ${name}: it cannot be cut at "${cuts.cut}"; it can at ${list(cutPlaces)}`,
    );
  const headPlaces = headPlacesAfter(cut);
  if (cuts.headCut !== undefined) {
    const headCut = find(headPlaces, cuts.headCut);
    if (headCut) return { cut: cut.value, headCut: headCut.value };
    throw new ConfigError(
      'bad-study',
      `network ${name}: its head cannot begin at "${cuts.headCut}"; it can at ${list(headPlaces)}`,
    );
  }
  const usual = cuts.usualHeadCut === undefined ? undefined : find(headPlaces, cuts.usualHeadCut);
  return { cut: cut.value, headCut: (usual ?? headPlaces.at(-1) ?? cut).value };
}

/** The network, cut elsewhere. Throws ConfigError as `chooseCuts` does. */
export function cutAt(
  network: Network,
  { cut, headCut }: { readonly cut?: string | undefined; readonly headCut?: string | undefined },
): Network {
  const usualHeadCut = network.headCut;
  return { ...network, ...chooseCuts(uncutOf(network), { cut: cut ?? network.cut, headCut, usualHeadCut }) };
}

/** The places at which a network can be cut so that a trunk lies between segment and head, in order. */
export function cutsWithHead(network: Network): readonly string[] {
  const { cutPlaces, headPlacesAfter } = places(uncutOf(network));
  return cutPlaces.filter((cut) => headPlacesAfter(cut).length > 0).map(({ value }) => value);
}

/** The places at which a network can be cut into segment and trunk, in order. */
export function cutsOf(network: Network): readonly string[] {
  return places(uncutOf(network)).cutPlaces.map(({ value }) => value);
}

function uncutOf({ name, graph, parameters }: Network): Uncut {
  return { name, graph, parameters: new Set(parameters.map((spec) => spec.name)) };
}

function places({ graph, parameters }: Uncut) {
  const types = inferTypes(graph);
  const batched = separators(graph, 'x', 'y', parameters).filter(({ value }) => {
    const type = types.get(value);
    return type?.dtype === 'float32' && type.dims[0] === 'N';
  });
  const cutPlaces = batched.filter(({ before, after }) => before.length > 0 && after.length > 0);
  const headPlacesAfter = (cut: Separator) => cutPlaces.filter(({ before }) => before.length > cut.before.length);
  return { cutPlaces, headPlacesAfter };
}
