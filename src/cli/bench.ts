// `septum bench`.

import { availableParallelism, cpus } from 'node:os';
import {
  type BenchOptions,
  measureUncut,
  planOf,
  readStudy,
  splitSpeed,
  type SplitSpeed,
  uncutSpeed,
  underParent,
  versions,
} from '../study/index.ts';
import type { BenchFlags, BenchUncutFlags } from './commands/bench.ts';
import { bytesText, countText, figureText } from './amounts.ts';
import { profileLines } from './profile-lines.ts';
import { fail, interruption } from './exit.ts';
import { Screen } from './screen.ts';

/** Steps that take some ten seconds on two cores. */
const usualSteps: Readonly<Record<string, { readonly steps: number; readonly warmUp: number }>> = {
  'lipid-mlp': { steps: 4000, warmUp: 500 },
  'ct-cnn': { steps: 150, warmUp: 20 },
  'ct-1plus4': { steps: 20, warmUp: 3 },
  'vgg19-64': { steps: 8, warmUp: 2 },
  vgg19: { steps: 3, warmUp: 1 },
};

/** So that a bench of some ten seconds has a commit or two. */
const usualCommitMs = 5000;

export async function bench(flags: BenchFlags): Promise<number> {
  const screen = new Screen({ quiet: flags.json ?? false });
  try {
    const { network, sites, batch, segments, optimizer, serverThreads, provider, tls, profile, ledger } = flags;
    const profileFile = profile === true ? 'septum-profile.json' : profile;
    const usual = usualSteps[network] ?? { steps: 20, warmUp: 3 };
    const options: BenchOptions = {
      network,
      sites,
      batch,
      segments,
      optimizer,
      serverThreads,
      provider,
      tls,
      profileFile,
      ledger,
      commitEveryMs: flags.commits === true ? usualCommitMs : flags.commits,
      steps: flags.steps ?? usual.steps,
      warmUp: flags.warmUp ?? usual.warmUp,
      signal: interruption(),
    };
    screen.line(`${network}, ${sites} sites, ${batch} records a site and step, ${options.steps} steps`);
    if (flags.uncutOnly) {
      process.stdout.write(`${JSON.stringify({ uncut: await measureUncut(options) })}\n`);
      return 0;
    }
    const split = await splitSpeed(options);
    if (!flags.json) tellSplit(screen, segments, split);
    if (options.commitEveryMs !== undefined && split.commits === 0)
      screen.line('no commit fell into the timed steps: more --steps, or fewer seconds between commits');
    if (split.profile && !flags.json) {
      process.stdout.write(`${profileLines(split.profile).join('\n')}\ntrace: ${profileFile}\n`);
    }
    if (flags.splitOnly || split.profile) {
      if (flags.json) process.stdout.write(`${JSON.stringify(split)}\n`);
      return 0;
    }
    const mirrored = segments === 'mirrored' ? split : await splitSpeed({ ...options, segments: 'mirrored' });
    if (segments !== 'mirrored') tellSplit(screen, 'mirrored', mirrored);
    const uncut = await measureUncut(options);
    screen.line(`uncut     ${countText(uncut)} samples/s`);
    if (flags.json) {
      const { samplesPerSecond, ...rest } = split;
      const machine = { cores: availableParallelism(), cpu: cpus()[0]?.model ?? '', ...versions() };
      const result = { samplesPerSecond, mirrored: mirrored.samplesPerSecond, uncut, ...rest };
      const about = {
        network,
        sites,
        batch,
        segments,
        optimizer,
        provider: provider ?? 'cpu',
        ledger: ledger ?? false,
        tls: tls ?? false,
        commitEveryMs: options.commitEveryMs ?? null,
        steps: options.steps,
        warmUp: options.warmUp,
        machine,
      };
      process.stdout.write(`${JSON.stringify({ ...result, ...about })}\n`);
    }
    return 0;
  } catch (error) {
    return fail(error);
  }
}

/** The uncut network, in a process of its own. */
export function benchUncut(flags: BenchUncutFlags): Promise<number> {
  return underParent(async (tell) => {
    const planned = planOf(await readStudy(flags.study));
    tell({ kind: 'uncut', samplesPerSecond: await uncutSpeed(planned, flags.warmUp, flags.steps, flags.provider) });
  });
}

function tellSplit(screen: Screen, name: string, { samplesPerSecond, stepMs, where, ...rest }: SplitSpeed): void {
  const { site, wire, trunk, waiting } = where;
  screen.line(
    `${name.padEnd(9)} ${countText(samplesPerSecond)} samples/s; a step takes ${figureText(stepMs)} ms: site ${figureText(site)}, wire ${figureText(wire)}, trunk ${figureText(trunk)}, waiting ${figureText(waiting)}; up ${bytesText(rest.bytesUpPerStep)}, down ${bytesText(rest.bytesDownPerStep)} a step; server’s peak memory ${bytesText(rest.serverPeakBytes)}${rest.commits > 0 ? `; ${rest.commits} commits` : ''}`,
  );
}
