// The server of a study as a process runs it: engine, stores and clock of this machine, handed to the StudyServer.

import { join } from 'node:path';
import { systemClock } from '../../base/node/index.ts';
import type { EngineInfo } from '../../engine/index.ts';
import { openEngine } from '../../engine/node/index.ts';
import {
  type Reception,
  type ServerEvent,
  type ServerOptions,
  type ServerResult,
  StudyServer,
} from '../../server/index.ts';
import type { PlannedStudy } from '../../split/index.ts';
import { asJson, type Log, type Registry } from '../../store/index.ts';
import { openFileActivationStore, openFileCommitStore, openFileLog } from '../../store/node/index.ts';
import { enterStudy, openRegistry } from '../enrolment/index.ts';
import { Closing } from './closing.ts';
import { type Front, type FrontOptions, openFront } from './front.ts';
import { followOrders } from './orders.ts';
import { type EngineChoice, enginePlacement } from './placement.ts';
import type { Recorder } from '../profile/index.ts';
import type { StepTimer } from './step-times.ts';
import { openTriedForms } from './tried-forms.ts';

export interface ServeOptions extends EngineChoice {
  readonly planned: PlannedStudy;
  /** Holds commits/, in `detached` activations/, and with `arrival` order.jsonl, and where not all sites have to take part members.jsonl. */
  readonly stateDir: string;
  readonly timeoutMs: number;
  /** How long the study waits for a site that has not connected yet. Default: until it comes. */
  readonly joinTimeoutMs?: number;
  /** How long after a commit another is written within an epoch. Default: a minute. */
  readonly commitEveryMs?: number;
  readonly signal: AbortSignal;
  /** Where the study's operator says what it is to do, and which sites have withdrawn. */
  readonly registry?: Registry | undefined;
  /** Times the steps. */
  readonly timer?: StepTimer | undefined;
  /** Records what is done and when. */
  readonly recorder?: Recorder | undefined;
  /** How long a site that is lost is waited for once the results are kept. Default: `timeoutMs`. */
  readonly handOverTimeoutMs?: number | undefined;
  /** Keeps what the study ended with, before any site hears that it is over; with the sites that are to. */
  readonly keep?: ServerOptions['keep'];
  readonly onEngine?: (info: EngineInfo) => void;
  /** Told when a graph runs as it is because its faster form was refused. */
  readonly onNotLowered?: (graph: string, reason: string) => void;
  readonly onEvent?: (event: ServerEvent) => void;
  /** Called now and then with the bytes that came and went. */
  readonly onTraffic?: (traffic: { readonly bytesUp: number; readonly bytesDown: number }) => void;
}

/** What a server with one study is told of its listener. */
export type ListenChoice = Pick<FrontOptions, 'listen' | 'door'>;

/**
 * Serves a study to its end, with a listener of its own. With a door, `stateDir` holds identity and registry as well. Throws what
 * StudyServer.run and the opening of engine, listener and stores throw.
 */
export async function serveStudy(options: ServeOptions & ListenChoice): Promise<ServerResult> {
  const { planned, stateDir, onEvent } = options;
  const closing = new Closing();
  try {
    const registry = options.door && closing.use(await openRegistry(stateDir));
    const about = {
      ...options,
      siteCount: planned.plan.sites.length,
      onRefused: (event: ServerEvent) => onEvent?.(event),
    };
    const front = await openFront(about, registry, closing);
    if (registry) enterStudy(registry, planned.plan, { address: front.listener.address });
    return await serveAt(front, options);
  } finally {
    await closing.close();
  }
}

/** Serves a study to its end where its sites come in: at a reception that other studies share, or at a listener that is the study's own. */
export async function serveAt(
  front: Front & { readonly reception?: Reception },
  options: ServeOptions,
): Promise<ServerResult> {
  return served(front, options, (server) => server.run());
}

/** Serves the end of a study whose results are kept to these sites, as `StudyServer.runOver`. */
export async function serveOverAt(
  front: Front & { readonly reception?: Reception },
  options: ServeOptions,
  awaited: readonly string[],
): Promise<void> {
  await served(front, options, (server) => server.runOver(awaited));
}

async function served<T>(
  front: Front & { readonly reception?: Reception },
  options: ServeOptions,
  work: (server: StudyServer) => Promise<T>,
): Promise<T> {
  const closing = new Closing();
  try {
    return await work(await serverOf(front, options, closing));
  } catch (error) {
    // When all is made to end, the first to fail may be the engine, which says no more than that it is closed.
    options.signal.throwIfAborted();
    throw error;
  } finally {
    await closing.close();
  }
}

async function serverOf(
  { listener, door, reception }: Front & { readonly reception?: Reception },
  options: ServeOptions,
  closing: Closing,
): Promise<StudyServer> {
  const { planned, stateDir, signal, registry, recorder, onEvent, onTraffic } = options;
  const { plan, study } = planned;
  closing.defer(async () => recorder?.close());
  const commits = await openFileCommitStore(join(stateDir, 'commits'));
  const activations =
    plan.choices.when === 'detached'
      ? closing.use(await openFileActivationStore(join(stateDir, 'activations'), plan.network.cutDims))
      : undefined;
  const order =
    plan.choices.order === 'arrival' ? closing.use(await openFileLog(join(stateDir, 'order.jsonl'))) : undefined;
  const members =
    plan.quorum === undefined ? undefined : closing.use(await openFileLog(join(stateDir, 'members.jsonl')));
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
    reception,
    gate: door?.gate,
    clock: systemClock,
    signal,
    timeoutMs: options.timeoutMs,
    joinTimeoutMs: options.joinTimeoutMs,
    handOverTimeoutMs: options.handOverTimeoutMs,
    keep: options.keep,
    ...(activations ? { activations } : {}),
    ...(order ? { logOrder: (entry) => writeThrough(order, entry) } : {}),
    ...(members ? { logMembers: (entry) => writeThrough(members, asJson({ ...entry })) } : {}),
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
  if (registry) {
    const over = new AbortController();
    const following = followOrders(registry, plan, server, systemClock, over.signal);
    closing.defer(() => {
      over.abort();
      return following;
    });
  }
  const ticking = setInterval(() => onTraffic?.(server.traffic), 250);
  closing.defer(() => clearInterval(ticking));
  return server;
}

/** What follows from the entry may begin when it is on disk. */
async function writeThrough(log: Log, entry: Parameters<Log['write']>[0]): Promise<void> {
  await log.write(entry);
  await log.sync();
}
