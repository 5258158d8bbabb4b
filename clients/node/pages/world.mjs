// Servers with projects in three states, and a browser, for the tests and pictures of the dashboard.
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const tidegate = process.env.TIDEGATE ?? join(root, 'target/debug/tidegate');
const browsers = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium'];
const running = new Set();

/** A port that is free now. */
export function freePort() {
  return new Promise((done) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** Starts a process, and waits until it says where it listens. */
function start(args, env = {}) {
  const process_ = spawn(tidegate, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  running.add(process_);
  let said = '';
  return new Promise((done, failed) => {
    const heard = (chunk) => {
      said += chunk;
      if (/http:\/\/127\.0\.0\.1:\d+/.test(said)) done(process_);
    };
    process_.stdout.on('data', heard);
    process_.stderr.on('data', heard);
    process_.on('exit', (code) => failed(new Error(`tidegate ${args[0]} ended with ${code}: ${said}`)));
  });
}

/** Runs a command to its end, with this on stdin, and returns what it prints. */
export const run = (args, input) => execFileSync(tidegate, args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'] });

/** Ends a process that `start` started. */
async function end(process_) {
  running.delete(process_);
  process_.removeAllListeners('exit');
  const gone = new Promise((done) => process_.on('exit', done));
  process_.kill('SIGTERM');
  await gone;
}

/** A folder with a project, served with these variables; `close` ends the server and removes the folder. */
export async function serve(make, env) {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-pages-'));
  const port = await freePort();
  await make(folder, port);
  const server = await start(['serve', '--listen', `127.0.0.1:${port}`, '--project', folder], env);
  const url = `http://127.0.0.1:${port}`;
  const post = async (path, body = {}) => {
    const answer = await fetch(`${url}/api/v1${path}`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
    });
    return answer.status;
  };
  const get = async (path) => (await fetch(`${url}/api/v1${path}`)).json();
  const close = async () => { await end(server); rmSync(folder, { recursive: true, force: true }); };
  return { url, folder, get, post, close };
}

/** A project without a sync. */
export const empty = () => serve(async (folder) => {
  writeFileSync(join(folder, 'tidegate.yaml'), 'connections: {}\nsyncs: {}\n');
});

/** The café of the quickstart in a folder of its own. */
async function cafe(folder, port, change = (yaml) => yaml) {
  cpSync(join(root, 'examples/quickstart/data'), join(folder, 'data'), { recursive: true });
  const yaml = readFileSync(join(root, 'examples/quickstart/tidegate.yaml'), 'utf8');
  writeFileSync(join(folder, 'tidegate.yaml'), change(yaml.replaceAll('127.0.0.1:18417', `127.0.0.1:${port}`)));
}

/** Makes the catalog that Braze must have before it takes items. */
async function makeCatalog(folder) {
  const port = await freePort();
  const data = join(folder, '.tidegate');
  const sandbox = await start(['sandbox', '--listen', `127.0.0.1:${port}`, '--data', data]);
  await fetch(`http://127.0.0.1:${port}/catalogs`, {
    method: 'POST',
    headers: { authorization: 'Bearer sandbox', 'content-type': 'application/json' },
    body: readFileSync(join(root, 'examples/quickstart/menu.json')),
  });
  await end(sandbox);
}

async function runAll({ get, post }) {
  const { data } = await get('/syncs');
  // Users come first: OneSignal rejects events of users that it does not know.
  const order = (sync) => (sync.object === 'user' ? 0 : 1);
  for (const sync of data.filter((sync) => sync.object !== 'events').sort((a, b) => order(a) - order(b))) {
    await post(`/syncs/${sync.sync}/run?wait=50`);
  }
}

/** The café, with everything delivered. */
export async function full() {
  const served = await serve(async (folder, port) => {
    await cafe(folder, port, (yaml) => yaml.replace('catalog: menu }', 'catalog: menu }\n    schedule: { every: 1h }'));
    await makeCatalog(folder);
  });
  await runAll(served);
  await runAll(served);
  return served;
}

/** The café without its catalog, with orders without a customer, a paused sync and a draft. */
export async function broken() {
  const served = await serve(async (folder, port) => {
    await cafe(folder, port, (yaml) => yaml.replace('  purchases_to_braze:\n', '  purchases_to_braze:\n    enabled: false\n'));
    const day = join(folder, 'data/orders/2018-09-04.csv');
    const [head, ...lines] = readFileSync(day, 'utf8').trim().split('\n');
    const at = head.split(',').indexOf('customer');
    const wrong = lines.map((line, number) => {
      const cells = line.split(',');
      if (number % 5 === 0) cells[at] = '';
      return cells.join(',');
    });
    writeFileSync(day, [head, ...wrong, ''].join('\n'));
  });
  await served.post('/syncs/tweets_to_braze/pause', { by: 'Ann', why: 'Marketing is checking the texts' });
  await runAll(served);
  return served;
}

/** The café as the README shows it: everything runs, and a few orders have no customer. */
export async function picture() {
  const served = await serve(async (folder, port) => {
    await cafe(folder, port, (yaml) => yaml.replaceAll('    primary_key: id\n', '    primary_key: id\n    schedule: { every: 15m }\n'));
    await makeCatalog(folder);
    const day = join(folder, 'data/orders/2018-09-04.csv');
    const [head, ...lines] = readFileSync(day, 'utf8').trim().split('\n');
    const wrong = lines.map((line, number) => (number < 3 ? line.replace(/,[^,]*/, ',') : line));
    writeFileSync(day, [head, ...wrong, ''].join('\n'));
  });
  await runAll(served);
  await runAll(served);
  return served;
}

/** The browser of this machine. */
export function launch() {
  const executablePath = process.env.TIDEGATE_TEST_BROWSER ?? browsers.find((path) => {
    try { readFileSync(path, { flag: 'r' }); return true; } catch { return false; }
  });
  if (!executablePath) throw new Error('there is no browser: scripts/setup installs chromium-headless-shell');
  return chromium.launch({ executablePath, args: ['--no-sandbox'] });
}

process.on('exit', () => { for (const process_ of running) process_.kill('SIGKILL'); });
