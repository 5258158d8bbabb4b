// Servers with projects in three states, and a browser, for the tests and pictures of the dashboard.
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
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

/** One that asks people to sign in. */
export const closed = () => serve(async (folder) => {
  writeFileSync(join(folder, 'tidegate.yaml'), 'connections: {}\nsyncs: {}\n');
  run(['people', 'add', 'root', '--role', 'admin', '--password-stdin', '--project', folder], 'correct horse battery');
});

/** The café of the quickstart in a folder of its own. */
async function cafe(folder, port, change = (yaml) => yaml) {
  cpSync(join(root, 'examples/quickstart/data'), join(folder, 'data'), { recursive: true });
  const yaml = readFileSync(join(root, 'examples/quickstart/tidegate.yaml'), 'utf8');
  writeFileSync(join(folder, 'tidegate.yaml'), change(yaml.replaceAll('127.0.0.1:18417', `127.0.0.1:${port}`)));
}

/** Creates the catalog that Braze must have before it takes items. */
const createCatalog = (url) => fetch(`${url}/catalogs`, {
  method: 'POST',
  headers: { authorization: 'Bearer sandbox', 'content-type': 'application/json' },
  body: readFileSync(join(root, 'examples/quickstart/menu.json')),
});

/** Creates it in the sandbox of a project. */
async function makeCatalog(folder) {
  const port = await freePort();
  const sandbox = await start(['sandbox', '--listen', `127.0.0.1:${port}`, '--data', join(folder, '.tidegate')]);
  await createCatalog(`http://127.0.0.1:${port}`);
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

/** Replaces the project of a server by its file with a change. */
export async function rewrite({ url, folder }, change) {
  const path = join(folder, 'tidegate.yaml');
  const tag = (await fetch(`${url}/api/v1/project`)).headers.get('etag');
  const body = change(readFileSync(path, 'utf8'));
  const answer = await fetch(`${url}/api/v1/project`, { method: 'PUT', headers: { 'if-match': tag, 'content-type': 'application/yaml' }, body });
  if (!answer.ok) throw new Error(`the project is refused: ${await answer.text()}`);
}

/** The vendors' APIs on a port, with the catalog of the café; `faults` sets what they do wrong. */
export async function sandbox() {
  const port = await freePort();
  const process_ = await start(['sandbox', '--listen', `127.0.0.1:${port}`, '--memory']);
  const url = `http://127.0.0.1:${port}`;
  await createCatalog(url);
  const faults = (which) => fetch(`${url}/_sandbox/faults`, { method: 'PUT', body: JSON.stringify(which) });
  return { url, faults, close: () => end(process_) };
}

/** The café, with everything delivered, or what becomes of it by a change of its project. */
export async function full(change = (yaml) => yaml) {
  const served = await serve(async (folder, port) => {
    await cafe(folder, port, (yaml) => change(yaml.replace('catalog: menu }', 'catalog: menu }\n    schedule: { every: 1h }')));
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
    await cafe(folder, port);
    await makeCatalog(folder);
    const day = join(folder, 'data/orders/2018-09-04.csv');
    const [head, ...lines] = readFileSync(day, 'utf8').trim().split('\n');
    const wrong = lines.map((line, number) => (number < 3 ? line.replace(/,[^,]*/, ',') : line));
    writeFileSync(day, [head, ...wrong, ''].join('\n'));
  });
  await runAll(served);
  // A schedule would run orders before their customers.
  await rewrite(served, (yaml) => yaml.replaceAll('    primary_key: id\n', '    primary_key: id\n    schedule: { every: 15m }\n'));
  await runAll(served);
  return served;
}

/** The addresses of the pages of a server, by name. */
export async function pages({ url, get }) {
  if ((await fetch(`${url}/api/v1/syncs`)).status === 401) return { signin: '/' };
  const { data: syncs } = await get('/syncs');
  const { data: runs } = await get('/runs');
  const { data: groups } = await get('/groups');
  const { data: rows } = await get('/failed-rows?limit=1');
  const { data: connections } = await get('/connections');
  const all = {
    overview: '/', syncs: '/syncs', runs: '/runs', failed: '/failed-rows', users: '/users', events: '/events',
    connections: '/connections', project: '/project', newconnection: '/connections/new', newpostgres: '/connections/new/postgres',
    newsync: '/syncs/new', newexport: '/exports/new', alerts: '/alerts', people: '/people', audit: '/audit',
    about: '/about', missing: '/runs/nothing', unknown: '/users?user=unknown',
  };
  syncs.slice(0, 2).forEach((sync, at) => { all[`sync${at + 1}`] = `/syncs/${sync.sync}`; });
  if (syncs.length > 0) {
    all.mapping = `/syncs/${syncs[0].sync}/edit/mapping`;
    all.file = `/syncs/${syncs[0].sync}/edit/file`;
    all.kinds = '/events?count=kinds';
  }
  // One with a secret.
  const secret = connections.find(({ type }) => type === 'braze') ?? connections[0];
  if (secret) all.editconnection = `/connections/${secret.connection}/edit`;
  if (runs.length > 0) all.run = `/runs/${(runs.find((run) => run.ending !== 'succeeded') ?? runs[0]).id}`;
  for (const { sync, status, reason } of groups.slice(0, 1)) {
    const query = new URLSearchParams({ sync, status, reason: reason.code });
    all.group = `/failed-rows/group?${query}`;
    all.retry = `/failed-rows/retry?${query}`;
  }
  for (const row of rows) all.row = `/failed-rows/${row.sync}/${row.id}`;
  const user = rows.find((row) => row.user)?.user;
  const orders = readFileSync(join(root, 'examples/quickstart/data/orders/2018-09-01.csv'), 'utf8');
  const [head, first] = orders.split('\n').map((line) => line.split(','));
  if (syncs.length > 0) all.user = `/users?user=${user ?? first[head.indexOf('customer')]}`;
  return all;
}

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** What axe finds wrong on a page, a line each. */
export async function violations(page) {
  // The debugger may run what the policy of the page forbids.
  await page.evaluate(axe);
  return page.evaluate(async (runOnly) => {
    const { violations: found } = await window.axe.run(document, { runOnly });
    return found.map(({ id, impact, nodes }) => `${id} (${impact}) ${nodes.slice(0, 2).map((node) => node.target).join(' ')}`);
  }, rules).catch((error) => [`axe did not run: ${error.message.slice(0, 200)}`]);
}

/** The browser of this machine. */
export function launch() {
  const executablePath = process.env.TIDEGATE_TEST_BROWSER ?? browsers.find((path) => {
    try { readFileSync(path, { flag: 'r' }); return true; } catch { return false; }
  });
  if (!executablePath) throw new Error('there is no browser: scripts/setup installs chromium-headless-shell');
  return chromium.launch({ executablePath, args: ['--no-sandbox'] });
}

/** A tab of a person, with the mouse or with the keyboard alone, who may have turned JavaScript off. */
export async function tab(browser, { keyboard = false, script = !keyboard, ...options } = {}) {
  const context = await browser.newContext({ javaScriptEnabled: script, viewport: { width: 1200, height: 900 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  const main = page.locator('main');
  const done = { presses: 0, typed: 0 };
  /** Goes to an element with the Tab key. */
  const reach = async (wanted) => {
    await wanted.waitFor();
    for (let at = 0; at < 120; at += 1) {
      if (await wanted.evaluate((element) => element === document.activeElement)) return;
      await page.keyboard.press('Tab');
    }
    throw new Error(`${wanted} is not reached by the keyboard at ${page.url()}`);
  };
  /** Follows a link or presses a button by its name. */
  const press = async (name, inside = main) => {
    done.presses += 1;
    const wanted = inside.getByRole('link', { name }).or(inside.getByRole('button', { name })).first();
    if (!keyboard) return wanted.click();
    await reach(wanted);
    const led = page.waitForEvent('framenavigated');
    await page.keyboard.press('Enter');
    await led;
    return page.waitForLoadState();
  };
  const type = async (label, text) => {
    done.typed += 1;
    const field = main.getByLabel(label).first();
    if (!keyboard) return field.fill(text);
    await reach(field);
    await page.keyboard.press('ControlOrMeta+A');
    return page.keyboard.type(text);
  };
  const reads = async (text) => { await main.getByText(text).first().waitFor({ timeout: 20_000 }); };
  return { page, main, press, reach, type, reads, complaints, done, close: () => context.close() };
}

process.on('exit', () => { for (const process_ of running) process_.kill('SIGKILL'); });
