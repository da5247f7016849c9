// One party of a bench's study in a process of its own: `fork`ed with its orders as JSON, it reports over the channel and ends with it.
//
// Orders: { role: 'server', study, state } or { role: 'site', study, site, url, records }; `study` is the text of a study file.

import { serveStudy } from '../../dist/study/run/serve-study.js';
import { takePart } from '../../dist/study/run/take-part.js';
import { planOf } from '../../dist/study/planned-study.js';
import { parseStudy } from '../../dist/study/study-file.js';

const orders = JSON.parse(process.argv[2]);
const study = parseStudy(orders.study, 'bench.yaml');
const planned = planOf(study);
const ending = new AbortController();
process.on('disconnect', () => process.exit());
// Time is told on the machine's monotonic clock, which its processes share.
const tell = (event, more = {}) => process.send({ event, atMs: Number(process.hrtime.bigint()) / 1e6, ...more });

try {
  if (orders.role === 'server') {
    const result = await serveStudy({
      planned,
      stateDir: orders.state,
      timeoutMs: 120_000,
      signal: ending.signal,
      onEvent: (event) => {
        if (event.kind === 'listening') tell('listening', { url: event.address });
        if (event.kind === 'counts') tell('counts');
        if (event.kind === 'step') tell('step');
        if (event.kind === 'uploaded') tell('uploaded', { site: event.site });
        if (event.kind === 'refused') tell('refused', { code: event.code, reason: event.reason });
      },
    });
    tell('done', { bytesUp: result.bytesUp, bytesDown: result.bytesDown });
  } else {
    await takePart({
      study,
      planned,
      site: orders.site,
      url: orders.url,
      data: '-',
      randomRecords: orders.records,
      timeoutMs: 120_000,
      signal: ending.signal,
    });
    tell('done');
  }
} catch (error) {
  tell('failed', { message: `${error?.code ?? ''} ${error?.message ?? error}` });
  process.exitCode = 1;
}
process.disconnect();
