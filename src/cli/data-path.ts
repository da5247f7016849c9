import { ConfigError } from '../base/index.ts';
import type { ModelFolder } from '../study/index.ts';

/** The path of the records; only a model of synthetic records needs none. Throws ConfigError `bad-usage`. */
export function dataPathFor(model: ModelFolder, path: string | undefined): string {
  if (path === undefined && !model.description.input.synthetic)
    throw new ConfigError('bad-usage', '--data PATH is missing: the folder or file with the records');
  return path ?? '';
}
