// Where sites come in: the listener of a server, and with keys the door behind it.

import type { ServerEvent } from '../../server/index.ts';
import type { Registry } from '../../store/index.ts';
import { defaultAddressLimits, listenWebSocket, type WebSocketListener } from '../../transport/node/index.ts';
import { Door, type DoorOptions } from '../enrolment/index.ts';
import type { Closing } from './closing.ts';
import { requireOpenFiles } from './open-files.ts';

export interface FrontOptions {
  /** Holds the server's identity. */
  readonly stateDir: string;
  /** Default 127.0.0.1 and any free port. */
  readonly listen?: { readonly host: string; readonly port: number } | undefined;
  /** With it sites come in over TLS and with a key, from anywhere; without it by their names, from this machine only. */
  readonly door?: DoorOptions | undefined;
  /** How many sites there are, over all studies. */
  readonly siteCount: number;
  /** Told of peers that are refused before they have said what they want. */
  readonly onRefused: (event: ServerEvent & { readonly kind: 'refused' }) => void;
}

export interface Front {
  readonly listener: WebSocketListener;
  readonly door: Door | undefined;
}

/** Connections beside one for each site: those that are about to end, and strangers. */
const spareConnections = 64;

/** Opens listener and door, which `closing` closes. `registry` says who may come in at the door. */
export async function openFront(
  { stateDir, listen, door: doorOptions, siteCount, onRefused }: FrontOptions,
  registry: Registry | undefined,
  closing: Closing,
): Promise<Front> {
  const door = doorOptions && registry && closing.use(await Door.open(stateDir, registry, doorOptions));
  const connections = siteCount + spareConnections;
  requireOpenFiles(connections);
  // All sites may share one address.
  const roomFor = (usual: number): number => Math.max(usual, connections);
  const listener = closing.use(
    await listenWebSocket({
      ...listen,
      ...door?.listening((refused) => onRefused({ kind: 'refused', ...refused })),
      connectionsMax: roomFor(1024),
      connectionsPerAddressMax: roomFor(defaultAddressLimits.connectionsPerAddressMax),
      attemptsPerAddressMax: 2 * roomFor(defaultAddressLimits.connectionsPerAddressMax),
      onTurnedAway: ({ address, reason, times }) =>
        onRefused({ kind: 'refused', remote: address, reason: `${reason} (${times} times)`, code: 'refused' }),
    }),
  );
  door?.keepFresh(listener);
  return { listener, door };
}
