// A study between real processes over TLS: invite, join, train, revoke. What is secret stays in files that only their owner can read.

import { generateKeyPairSync } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { makeCertificate } from '../../src/transport/node/index.ts';
import { ConnectProxy } from '../faults/connect-proxy.ts';
import { folder, type Running, septum, start } from './septum.ts';
import { approval, table, tableStudy } from './studies.ts';

const listening = async (server: Running): Promise<string> =>
  (await server.says(/listens on wss:\/\/(\S+)$/m))[1] ?? '';

/** The invite for a site, from the command line. */
async function invited(site: string, state: string, ...more: string[]): Promise<string> {
  const { code, stdout, stderr } = await septum(['invite', site, '--state', state, ...more]);
  expect(stderr).toContain(`invite for ${site}`);
  expect(code).toBe(0);
  return stdout.trim();
}

/** What somebody without a certificate is answered who asks for a page. */
function answerOf(address: string): Promise<string> {
  const { hostname, port } = new URL(`https://${address}`);
  return new Promise((resolve) => {
    let text = '';
    const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false });
    socket.on('error', () => undefined).on('data', (bytes) => (text += bytes.toString('latin1')));
    socket.on('close', () => resolve(text));
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  });
}

/** A folder with the study, and each site's records. */
function studyOf(sites: number, rows: number): { place: string; study: string; state: string; data: string[] } {
  const place = folder();
  const data = Array.from({ length: sites }, (_, site) => {
    const path = join(place, `hospital-${site}.csv`);
    writeFileSync(path, table(rows, 1000 * site));
    return path;
  });
  return { place, study: tableStudy(place, sites), state: join(place, 'state'), data };
}

describe('sites that were invited', () => {
  it('join and train, under a certificate of the operator’s, through a proxy', { timeout: 240_000 }, async () => {
    const { place, study, state, data } = studyOf(2, 100);
    const other = generateKeyPairSync('ed25519').privateKey;
    const { cert, key } = makeCertificate(other, Date.now(), 3_600_000);
    const [certFile, keyFile] = [join(place, 'cert.pem'), join(place, 'key.pem')];
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key);
    const own = ['--cert', certFile, '--key', keyFile, '--timeout', '30'];
    const server = start(['server', '--study', study, '--state', state, ...own]);
    const address = await listening(server);

    const file = join(place, 'invite.txt');
    const [first, second] = [await invited('site-1', state), await invited('site-2', state)];
    writeFileSync(file, `${first}\n`);
    const joined = await septum(['join', file, '--state', join(place, 'site-1')]);
    expect(joined.stderr).toContain('site-1 has joined');
    expect(joined.code).toBe(0);
    const unsaid = await septum(['site', '--state', join(place, 'site-1'), '--data', data[0]!]);
    expect(unsaid.stderr).toContain(
      'study.yaml is not there: put the study file, which the coordinating centre has, there',
    );
    expect(unsaid.code).toBe(2);

    const proxy = await ConnectProxy.open('pass word');
    const wrong = await septum([
      'join',
      file,
      '--state',
      join(place, 'x'),
      '--proxy',
      proxy.url.replace('pass', 'fail'),
    ]);
    expect(wrong.stderr).toMatch(/through the proxy 127\.0\.0\.1:\d+: it answers HTTP 407/);
    expect(wrong.code).toBe(1);
    // An invite may be broken over lines, as mail does.
    const broken = second.replace(/(.{60})/g, '$1\n');
    const env = { HTTPS_PROXY: proxy.url, NO_PROXY: 'example.org' };
    const through = await septum(['join', '-', '--state', join(place, 'site-2')], { input: broken, env });
    expect(through.stderr).toContain('site-2 has joined');

    const approve = await approval(study);
    const sites = [
      start(['site', '--state', join(place, 'site-1'), '--study', study, '--data', data[0]!, ...approve]),
      start(['site', '--state', join(place, 'site-2'), '--study', study, '--data', data[1]!, ...approve], { env }),
    ];
    const ends = await Promise.all([server.ended, ...sites.map(({ ended }) => ended)]);
    expect(ends.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(proxy.targets).toEqual([address, address]);
    expect(proxy.refused).toBe(1);
    await proxy.close();
    const model = (at: string) => readFileSync(join(place, at, 'model/joined.onnx'));
    expect(model('site-1').equals(model('state'))).toBe(true);
    expect(model('site-2').equals(model('state'))).toBe(true);

    const said = [joined, wrong, through, ...ends].map(({ stdout, stderr }) => stdout + stderr).join('\n');
    for (const password of ['pass word', 'pass%20word', Buffer.from('septum:pass word').toString('base64')])
      expect(said).not.toContain(password);
  });

  it('lose everything at once when they are revoked, and nothing secret is told', { timeout: 240_000 }, async () => {
    const { place, study, state, data } = studyOf(2, 1000);
    writeFileSync(study, readFileSync(study, 'utf8').replace('epochs: 30', 'epochs: 100000'));
    const approve = await approval(study);
    const server = start(['server', '--study', study, '--state', state, '--timeout', '2']);
    const address = await listening(server);
    const invites: string[] = [];
    const joins: string[] = [];
    for (const site of ['site-1', 'site-2']) {
      const invite = await invited(site, state, '--address', address.replace('127.0.0.1', 'localhost'));
      invites.push(invite);
      const { stdout, stderr, code } = await septum(['join', '-', '--state', join(place, site)], { input: invite });
      joins.push(stdout + stderr);
      expect(code).toBe(0);
    }
    const sites = ['site-1', 'site-2'].map((site, index) =>
      start(['site', '--state', join(place, site), '--study', study, '--data', data[index]!, ...approve]),
    );
    await server.says(/epoch 1\/100000/);
    // Where there is such a list of processes.
    const commandLines = sites
      .map(({ child }) => `/proc/${child.pid}/cmdline`)
      .filter(existsSync)
      .map((path) => readFileSync(path, 'utf8'));

    const revoked = await septum(['revoke', 'site-2', '--state', state]);
    expect(revoked.stderr).toContain('site-2 is revoked');
    const atSite = await sites[1]!.ended;
    expect(atSite.stderr).toContain('the server refused: revoked: site site-2 was revoked');
    expect(atSite.code).toBe(1);
    const served = await server.ended;
    expect(served.stderr).toMatch(/site site-2 is lost: .*revoked/);
    const log = readFileSync(join(state, 'log.jsonl'), 'utf8');
    const events = log
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events).toContainEqual(expect.objectContaining({ event: 'enrolled', site: 'site-2' }));
    expect(events).toContainEqual(expect.objectContaining({ event: 'refused', code: 'revoked' }));
    const twice = await septum(['revoke', 'site-2', '--state', state]);
    expect(twice.stderr).toContain('nothing to revoke');

    const ended = await sites[0]!.ended;
    const told = [log, served, ended, atSite, ...joins, ...commandLines].map((one) => JSON.stringify(one)).join('\n');
    const invite = (text: string) => Buffer.from(text.slice('septum1-'.length), 'base64url').toString();
    const secrets = [
      ...invites,
      ...invites.map((text) => /"token":"([^"]{43})"/.exec(invite(text))![1]!),
      ...['state/identity.key', 'site-1/site.key', 'site-2/site.key'].map(
        (path) => readFileSync(join(place, path), 'utf8').split('\n')[1]!,
      ),
    ];
    for (const secret of secrets) {
      expect(secret.length).toBeGreaterThan(40);
      expect(told).not.toContain(secret);
    }
    // The registry has no token, only its hash.
    const registry = ['registry.db', 'registry.db-wal']
      .map((name) => join(state, name))
      .filter(existsSync)
      .map((path) => readFileSync(path, 'latin1'))
      .join('');
    expect(registry).toContain('site-2');
    for (const text of invites) {
      const token = Buffer.from(/"token":"([^"]{43})"/.exec(invite(text))![1]!, 'base64url');
      for (const form of ['hex', 'base64url', 'latin1'] as const) expect(registry).not.toContain(token.toString(form));
    }
  });

  it('show their key in the TLS handshake where the server demands it', { timeout: 240_000 }, async () => {
    const { place, study, state, data } = studyOf(2, 100);
    const server = start(['server', '--study', study, '--state', state, '--timeout', '30', '--mutual-tls']);
    const address = await listening(server);
    // A stranger, while invites are open.
    const [first, second] = [await invited('site-1', state), await invited('site-2', state)];
    expect(await answerOf(address)).toBe('');
    const proxy = await ConnectProxy.open('pass word');
    const env = { HTTPS_PROXY: proxy.url };
    const folders = [join(place, 'site-1'), join(place, 'site-2')];
    const joined = await septum(['join', '-', '--state', folders[0]!], { input: first });
    const through = await septum(['join', '-', '--state', folders[1]!], { input: second, env });
    expect([joined.code, through.code]).toEqual([0, 0]);
    const twice = await septum(['join', '-', '--state', join(place, 'thief')], { input: first });
    expect(twice.stderr).toContain('the server ended the connection with the TLS handshake');
    expect(twice.code).toBe(1);
    // A site that joins anew has another key; the folder with the former one serves no more.
    cpSync(folders[0]!, join(place, 'former'), { recursive: true });
    const rotated = await septum(['join', '-', '--state', folders[0]!], { input: await invited('site-1', state) });
    expect(rotated.code).toBe(0);

    const approve = await approval(study);
    const words = (at: string, own: string) => ['site', '--state', at, '--study', study, '--data', own, ...approve];
    const late = await septum([...words(join(place, 'former'), data[0]!), '--timeout', '1']);
    expect(late.stderr).toMatch(
      /no connection to the server within 1 s: .*it does not take this site’s key: .*replaced/,
    );
    expect(late.code).toBe(1);
    const sites = [start(words(folders[0]!, data[0]!)), start(words(folders[1]!, data[1]!), { env })];
    const ends = await Promise.all([server.ended, ...sites.map(({ ended }) => ended)]);
    expect(ends.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(proxy.targets).toEqual([address, address]);
    await proxy.close();
    const codes = readFileSync(join(state, 'log.jsonl'), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as { readonly event: string; readonly code?: string })
      .filter(({ event }) => event === 'refused')
      .map(({ code }) => code);
    expect([...new Set(codes)]).toEqual(['no-certificate', 'token-spent', 'key-replaced']);
  });

  it.skipIf(process.platform === 'win32')('keep keys in files for their owner only', { timeout: 60_000 }, async () => {
    const { place, study, state } = studyOf(1, 100);
    const server = start(['server', '--study', study, '--state', state]);
    await listening(server);
    const input = await invited('site-1', state);
    await septum(['join', '-', '--state', join(place, 'site-1')], { input });
    const modes = (at: string, names: RegExp) =>
      readdirSync(at)
        .filter((name) => names.test(name))
        .map((name) => [name, (statSync(join(at, name)).mode & 0o777).toString(8)]);
    expect(modes(state, /^(identity|registry)/)).toEqual([
      ['identity.key', '600'],
      ['registry.db', '600'],
      ['registry.db-shm', '600'],
      ['registry.db-wal', '600'],
    ]);
    expect(modes(join(place, 'site-1'), /./)).toEqual([
      ['site.json', '600'],
      ['site.key', '600'],
    ]);
    expect((statSync(join(place, 'site-1')).mode & 0o777).toString(8)).toBe('700');
    server.child.kill('SIGTERM');
    await server.ended;
  });

  it('hear which invite is wrong', { timeout: 60_000 }, async () => {
    const { place, study, state } = studyOf(1, 100);
    const server = start(['server', '--study', study, '--state', state]);
    await listening(server);
    const unknown = await septum(['invite', 'site-9', '--state', state]);
    expect(unknown.stderr).toContain('study table has no site site-9; its sites are site-1');
    expect(unknown.code).toBe(2);
    const invite = await invited('site-1', state);
    const mistyped = invite.slice(0, 50) + (invite[50] === 'A' ? 'B' : 'A') + invite.slice(51);
    const bad = await septum(['join', '-', '--state', join(place, 'site-1')], { input: mistyped });
    expect(bad.stderr).toContain('the invite is mistyped or not whole');
    expect(bad.stderr).not.toContain(invite.slice(60, 100));
    expect(bad.code).toBe(2);
    server.child.kill('SIGTERM');
    await server.ended;
  });
});

it('septum bench --tls times sites that have joined', { timeout: 240_000 }, async () => {
  const counts = ['--sites', '2', '--steps', '20', '--warm-up', '2'];
  const words = ['bench', '--network', 'lipid-mlp', ...counts, '--tls', '--split-only', '--json'];
  const { code, stdout, stderr } = await septum(words);
  expect(stderr).not.toContain('refused');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ samplesPerSecond: expect.any(Number), stepMs: expect.any(Number) });
});
