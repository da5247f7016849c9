// The server of a study as a process runs it: listener, engine, stores and clock of this machine, handed to the StudyServer.

import { join } from 'node:path';
import { systemClock } from '../../base/node/index.ts';
import type { EngineInfo } from '../../engine/index.ts';
import { openEngine } from '../../engine/node/index.ts';
import { type ServerEvent, type ServerResult, StudyServer } from '../../server/index.ts';
import type { PlannedStudy } from '../../split/index.ts';
import { openFileActivationStore, openFileCommitStore, openFileLog } from '../../store/node/index.ts';
import { defaultAddressLimits, listenWebSocket } from '../../transport/node/index.ts';
import { Door, type DoorOptions } from '../enrolment/index.ts';
import { Closing } from './closing.ts';
import { requireOpenFiles } from './open-files.ts';
import { type EngineChoice, enginePlacement } from './placement.ts';
import type { Recorder } from '../profile/index.ts';
import type { StepTimer } from './step-times.ts';
import { openTriedForms } from './tried-forms.ts';

export interface ServeOptions extends EngineChoice {
  readonly planned: PlannedStudy;
  /** Holds commits/, in `detached` activations/, and with `arrival` order.jsonl. */
  readonly stateDir: string;
  /** Default 127.0.0.1 and any free port. */
  readonly listen?: { readonly host: string; readonly port: number };
  /** With it sites come in over TLS and with a key, from anywhere; without it by their names, from this machine only. */
  readonly door?: DoorOptions | undefined;
  readonly timeoutMs: number;
  /** How long the study waits for a site that has not connected yet. Default: until it comes. */
  readonly joinTimeoutMs?: number;
  /** How long after a commit another is written within an epoch. Default: a minute. */
  readonly commitEveryMs?: number;
  readonly signal: AbortSignal;
  /** Times the steps. */
  readonly timer?: StepTimer | undefined;
  /** Records what is done and when. */
  readonly recorder?: Recorder | undefined;
  readonly onEngine?: (info: EngineInfo) => void;
  /** Told when a graph runs as it is because its faster form was refused. */
  readonly onNotLowered?: (graph: string, reason: string) => void;
  /** Told how people know the server's identity. */
  readonly onIdentity?: (fingerprint: string) => void;
  readonly onEvent?: (event: ServerEvent) => void;
  /** Called now and then with the bytes that came and went. */
  readonly onTraffic?: (traffic: { readonly bytesUp: number; readonly bytesDown: number }) => void;
}

/** Connections beside one for each site: those that are about to end, and strangers. */
const spareConnections = 64;

/** Serves a study to its end. Throws what StudyServer.run and the opening of engine, listener and stores throw. */
export async function serveStudy(options: ServeOptions): Promise<ServerResult> {
  const closing = new Closing();
  try {
    return await serve(options, closing);
  } finally {
    await closing.close();
  }
}

async function serve(options: ServeOptions, closing: Closing): Promise<ServerResult> {
  const { planned, stateDir, signal, recorder, onEvent, onTraffic } = options;
  const { plan, study } = planned;
  closing.defer(async () => recorder?.close());
  const door = options.door && closing.use(await Door.open(stateDir, plan, options.door));
  requireOpenFiles(plan.sites.length + spareConnections);
  // All sites of a study may share one address.
  const roomFor = (usual: number): number => Math.max(usual, plan.sites.length + spareConnections);
  const listener = closing.use(
    await listenWebSocket({
      ...options.listen,
      ...door?.listening((refused) => onEvent?.({ kind: 'refused', ...refused })),
      connectionsMax: roomFor(1024),
      connectionsPerAddressMax: roomFor(defaultAddressLimits.connectionsPerAddressMax),
      attemptsPerAddressMax: 2 * roomFor(defaultAddressLimits.connectionsPerAddressMax),
      onTurnedAway: ({ address, reason, times }) =>
        onEvent?.({ kind: 'refused', remote: address, reason: `${reason} (${times} times)`, code: 'refused' }),
    }),
  );
  door?.opened(listener);
  if (door) options.onIdentity?.(door.fingerprint);
  const commits = await openFileCommitStore(join(stateDir, 'commits'));
  const activations =
    plan.choices.when === 'detached'
      ? closing.use(await openFileActivationStore(join(stateDir, 'activations'), plan.network.cutDims))
      : undefined;
  const order =
    plan.choices.order === 'arrival' ? closing.use(await openFileLog(join(stateDir, 'order.jsonl'))) : undefined;
  const placement = enginePlacement(plan, 'server', options);
  const onRefusal = (graph: string, reason: string): void => options.onNotLowered?.(graph, reason);
  const profile = recorder?.engineProfile;
  const tried = openTriedForms(stateDir, 'server');
  const opened = closing.use(await openEngine({ ...placement, signal, onRefusal, profile, tried }));
  const timed = options.timer?.watch(opened) ?? opened;
  const engine = recorder?.watchEngine(timed) ?? timed;
  options.onEngine?.(engine.info);
  const server = new StudyServer({
    plan,
    study,
    engine,
    listener: recorder?.watchListener(listener) ?? listener,
    gate: door?.gate,
    clock: systemClock,
    signal,
    timeoutMs: options.timeoutMs,
    joinTimeoutMs: options.joinTimeoutMs,
    ...(activations ? { activations } : {}),
    ...(order
      ? {
          logOrder: async (entry) => {
            await order.write(entry);
            await order.sync();
          },
        }
      : {}),
    commits: recorder?.watchCommits(commits) ?? commits,
    commitEveryMs: options.commitEveryMs,
    onEvent: (event) => {
      if (event.kind === 'step') {
        options.timer?.step();
        recorder?.step();
      }
      if (event.kind === 'refused' && door)
        door.refused(event, (refused) => onEvent?.({ kind: 'refused', ...refused }));
      else onEvent?.(event);
    },
  });
  const ticking = setInterval(() => onTraffic?.(server.traffic), 250);
  closing.defer(() => clearInterval(ticking));
  return server.run();
}
