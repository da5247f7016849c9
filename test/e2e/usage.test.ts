import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { folder, septum } from './septum.ts';
import { lipidStudy } from './studies.ts';

describe('septum', () => {
  it('says what it can do', async () => {
    const { code, stdout } = await septum(['--help']);
    expect(code).toBe(0);
    for (const command of [
      'demo',
      'study',
      'run',
      'server',
      'invite',
      'revoke',
      'join',
      'site',
      'evaluate',
      'predict',
      'bench',
    ])
      expect(stdout).toMatch(new RegExp(`^ {2}${command} `, 'm'));
    expect(stdout).not.toContain('bench-uncut');
    expect((await septum(['run', '--help'])).stdout).toContain('Examples:');
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect((await septum(['--version'])).stdout).toBe(`${version}\n`);
  });

  it.each([
    [['rnu'], /Did you mean run\?/],
    [['run'], /study/],
    [['run', 'study.yaml', '--epochz'], /unknown option/],
    [['run', 'missing.yaml', '--data', 'x'], /missing\.yaml: cannot be read/],
    [['run', 'study.yaml', '--ratio', '7:0'], /7:2:1/],
    [['run', 'study.yaml', '--ratio', '7:2', '--sites', '3'], /2 parts, but there are 3 sites/],
    [['run', 'study.yaml', '--sites', '2'], /add --ratio with 2 shares, 1:1 for equal ones/],
    [['run', 'study.yaml', '--resume', '--force'], /cannot be used/],
    [['run', 'study.yaml', '--resume'], /holds no run to go on with/],
    [['run', 'real.yaml'], /--data PATH is missing/],
    [['study', 'new', 'cholesterl'], /Allowed choices/],
    [['study', 'new', 'cholesterol', '--method', 'quue'], /expected one of septum, detached/],
    [['study', 'check', 'bad.yaml'], /bad\.yaml:3: sites\.ratio/],
    [['evaluate', '--model', '.'], /model\.json/],
    [['bench', '--commits', '0'], /number of seconds above 0/],
    [['bench', '--network', 'resnet'], /no network is called "resnet"/],
    [['server', '--state', 'x', '--study', 'study.yaml', '--listen', 'nowhere'], /HOST:PORT/],
    [['server', '--state', 'x', '--study', 'study.yaml', '--insecure', '--listen', '0.0.0.0:0'], /not this machine/],
    [['server', '--state', 'x', '--study', 'study.yaml', '--insecure', '--mutual-tls'], /--insecure speaks no TLS/],
    [['server', '--state', 'x', '--study', 'study.yaml', '--cert', 'cert.pem'], /--cert and --key go together/],
    [['invite', 'site-1', '--state', 'x'], /no server has run there/],
    [['invite', 'site-1', '--state', 'x', '--expires', '0'], /number of hours/],
    [['revoke', 'site-1', '--state', 'x'], /no server has run there/],
    [['join', 'missing.txt', '--state', 'x'], /missing\.txt: cannot be read/],
    [['join', 'study.yaml', '--state', 'x'], /this is no invite/],
    [['join', '--state', 'x'], /no terminal to ask for the invite/],
    [['join', 'septum1-AAAA', '--state', 'x'], /the invite stands on the command line/],
    [['site', '--state', 'x', '--data', 'y'], /no site has joined there/],
    [
      ['site', '--server', 'wss://127.0.0.1:1', '--name', 'a', '--study', 'study.yaml', '--data', 'y'],
      /after septum join/,
    ],
  ])('septum %j is bad usage: exit code 2 and %s', async (commandArguments, message) => {
    const cwd = folder();
    lipidStudy(cwd);
    const text = readFileSync(join(cwd, 'study.yaml'), 'utf8');
    writeFileSync(
      join(cwd, 'bad.yaml'),
      text
        .replace('choices:', 'sites: { count: 2, ratio: [1, 1, 1] }\nchoices:')
        .replace('sites: { ratio: [7, 2, 1] }\n', ''),
    );
    writeFileSync(
      join(cwd, 'real.yaml'),
      text.replace(
        /data: .*/,
        "data: { kind: table, inputs: [{ column: a, unit: '1' }], target: { column: y, unit: '1' } }",
      ),
    );
    const { code, stdout, stderr } = await septum(commandArguments, { cwd });
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/^ {4}at /m);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });

  it('tells every problem of a study file at once', async () => {
    const cwd = folder();
    const text = readFileSync(lipidStudy(cwd), 'utf8')
      .replace('batch: 64', 'batsh: 64')
      .replace('lipid-mlp', 'lipid-mpl');
    writeFileSync(join(cwd, 'study.yaml'), text.replace('labels: server', 'labels: nowhere'));
    const { code, stderr } = await septum(['study', 'check', 'study.yaml'], { cwd });
    expect(stderr).toMatch(/study\.yaml:3: choices\.labels/);
    expect(stderr).toMatch(/study\.yaml:5: no network is called "lipid-mpl"/);
    expect(stderr).toMatch(/study\.yaml:6: training\.batsh .*did you mean batch\?/);
    expect(code).toBe(2);
  });

  it('writes a study file that it finds in order', async () => {
    const cwd = folder();
    expect(
      (await septum(['study', 'new', 'covid-ct', '--method', 'detached', '--out', 'new.yaml'], { cwd })).code,
    ).toBe(0);
    const again = await septum(['study', 'new', 'covid-ct', '--out', 'new.yaml'], { cwd });
    expect(again.code).toBe(2);
    const { code, stdout } = await septum(['study', 'check', 'new.yaml'], { cwd });
    expect(code).toBe(0);
    expect(stdout).toContain('when detached');
    const { stdout: plan } = await septum(['study', 'check', 'new.yaml', '--json'], { cwd });
    expect(JSON.parse(plan)).toMatchObject({ choices: { when: 'detached' } });
  });
});
