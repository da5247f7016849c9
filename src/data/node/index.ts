// Reads a study's data on Node: lists them, opens what a site was dealt, opens what is to be predicted. The image library and the
// database are large; each is loaded when its kind of data is read, and not in processes that read none.

import { assert } from '../../base/index.ts';
import type { ListRecords, OpenSiteData, OpenUnlabelled } from '../listing.ts';
import { listSynthetic, openSynthetic, openUnlabelledSynthetic } from '../synthetic/source.ts';

/** @see ListRecords */
export const listRecords: ListRecords = async (settings, path, options) => {
  switch (settings.kind) {
    case 'images':
      return (await import('./list-images.ts')).listImages(settings, path, options);
    case 'table':
      return (await import('./list-table.ts')).listTable(settings, path, options);
    case 'synthetic':
      return listSynthetic(settings, options);
  }
};

/** @see OpenSiteData */
export const openSiteData: OpenSiteData = async (settings, path, manifest, options) => {
  assert(
    manifest.synthetic === (settings.kind === 'synthetic'),
    'a manifest is opened with the settings it was dealt by',
  );
  switch (settings.kind) {
    case 'images':
      return (await import('./open-images.ts')).openImages(settings, path, manifest, options);
    case 'table':
      return (await import('./open-table.ts')).openTableData(settings, path, manifest);
    case 'synthetic':
      return openSynthetic(settings, manifest, options);
  }
};

/** @see OpenUnlabelled */
export const openUnlabelled: OpenUnlabelled = async (settings, path, options) => {
  switch (settings.kind) {
    case 'images':
      return (await import('./open-images.ts')).openUnlabelledImages(settings, path, options);
    case 'table':
      return (await import('./open-table.ts')).openUnlabelledTable(settings, path, options);
    case 'synthetic':
      return openUnlabelledSynthetic(settings, options);
  }
};
