import { openEngine } from '../../src/engine/node/index.ts';
import { engineSuite } from './engine-suite.ts';

engineSuite('worker', { open: (options) => openEngine({ threads: 2, ...options }), blocks: false });
engineSuite('inline', { open: (options) => openEngine({ threads: 2, placement: 'inline', ...options }), blocks: true });
