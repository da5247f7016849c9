// Reads a study's data on Node: lists them, opens what a site was dealt, opens what is to be predicted.

import { assert } from '../../base/index.ts';
import type { ListRecords, OpenSiteData, OpenUnlabelled } from '../listing.ts';
import { listSynthetic, openSynthetic, openUnlabelledSynthetic } from '../synthetic/source.ts';
import { listImages } from './list-images.ts';
import { listTable } from './list-table.ts';
import { openImages, openUnlabelledImages } from './open-images.ts';
import { openTableData, openUnlabelledTable } from './open-table.ts';

/** @see ListRecords */
export const listRecords: ListRecords = async (settings, path, options) => {
  switch (settings.kind) {
    case 'images':
      return listImages(settings, path, options);
    case 'table':
      return listTable(settings, path, options);
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
      return openImages(settings, path, manifest, options);
    case 'table':
      return openTableData(settings, path, manifest);
    case 'synthetic':
      return openSynthetic(settings, manifest, options);
  }
};

/** @see OpenUnlabelled */
export const openUnlabelled: OpenUnlabelled = async (settings, path, options) => {
  switch (settings.kind) {
    case 'images':
      return openUnlabelledImages(settings, path, options);
    case 'table':
      return openUnlabelledTable(settings, path);
    case 'synthetic':
      return openUnlabelledSynthetic(settings, options);
  }
};
