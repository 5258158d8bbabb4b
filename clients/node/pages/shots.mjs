// Takes a picture of every page in three states, three widths and two themes, and looks for faults
// that a machine can see.
//
// usage: [QUICK=1] node clients/node/pages/shots.mjs FOLDER [STATE...]    states: empty, full, broken
//
// QUICK=1 looks for faults in one theme and two widths, and takes no picture.
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import * as world from './world.mjs';

const [folder = 'shots', ...wanted] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const quick = process.env.QUICK === '1';
const themes = quick ? ['light'] : ['light', 'dark'];
const widths = quick ? [360, 1440] : [360, 768, 1440];
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
if (!quick) mkdirSync(folder, { recursive: true });
let faults = 0;
const fault = (text) => { faults += 1; console.log(`fault: ${text}`); };

/** The pages of a server, by name. */
async function pages({ get }) {
  const { data: syncs } = await get('/syncs');
  const { data: runs } = await get('/runs');
  const { data: groups } = await get('/groups');
  const { data: rows } = await get('/failed-rows?limit=1');
  const { data: connections } = await get('/connections');
  const all = {
    overview: '/', syncs: '/syncs', runs: '/runs', failed: '/failed-rows', users: '/users', events: '/events',
    connections: '/connections', project: '/project', newconnection: '/connections/new', newpostgres: '/connections/new/postgres',
    newsync: '/syncs/new', about: '/about', missing: '/runs/nothing', unknown: '/users?user=unknown',
  };
  syncs.slice(0, 2).forEach((sync, at) => { all[`sync${at + 1}`] = `/syncs/${sync.sync}`; });
  if (syncs.length > 0) all.mapping = `/syncs/${syncs[0].sync}/edit/mapping`;
  if (connections.length > 0) all.editconnection = `/connections/${connections[0].connection}/edit`;
  if (runs.length > 0) all.run = `/runs/${(runs.find((run) => run.ending !== 'succeeded') ?? runs[0]).id}`;
  if (syncs.length > 0) all.kinds = '/events?count=kinds';
  for (const { sync, status, reason } of groups.slice(0, 1)) {
    const query = new URLSearchParams({ sync, status, reason: reason.code });
    all.group = `/failed-rows/group?${query}`;
    all.retry = `/failed-rows/retry?${query}`;
  }
  for (const row of rows) all.row = `/failed-rows/${row.sync}/${row.id}`;
  const user = rows.find((row) => row.user)?.user;
  const orders = readFileSync(new URL('../../../examples/quickstart/data/orders/2018-09-01.csv', import.meta.url), 'utf8');
  const [head, first] = orders.split('\n').map((line) => line.split(','));
  if (syncs.length > 0) all.user = `/users?user=${user ?? first[head.indexOf('customer')]}`;
  return all;
}

const browser = await world.launch();
for (const state of ['empty', 'full', 'broken'].filter((state) => wanted.length === 0 || wanted.includes(state))) {
  const served = await world[state]();
  for (const [name, path] of Object.entries(await pages(served))) {
    for (const theme of themes) {
      const context = await browser.newContext({ colorScheme: theme, deviceScaleFactor: 1 });
      const page = await context.newPage();
      const title = `${state} ${name} ${theme}`;
      page.on('console', (message) => { if (name !== 'missing') fault(`${title}: console says ${message.text()}`); });
      page.on('pageerror', (error) => fault(`${title}: ${error.message}`));
      page.on('request', (request) => { if (!request.url().startsWith(served.url)) fault(`${title}: asked ${request.url()}`); });
      const cdp = await context.newCDPSession(page);
      await cdp.send('Network.enable');
      let bytes = 0;
      cdp.on('Network.loadingFinished', (loaded) => { bytes += loaded.encodedDataLength; });
      await page.addInitScript(() => {
        window.shift = 0;
        new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.shift += entry.value; })
          .observe({ type: 'layout-shift', buffered: true });
      });
      for (const width of widths) {
        await page.setViewportSize({ width, height: width < 500 ? 740 : 900 });
        if (width === 360) await page.goto(served.url + path);
        await page.waitForTimeout(200);
        if (width === 360 && theme === 'light') {
          if (bytes > 40_000) fault(`${title}: ${bytes} bytes for a cold page`);
          const shift = await page.evaluate(() => window.shift);
          if (shift > 0.02) fault(`${title}: the layout shifted by ${shift}`);
        }
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        if (wide > width) fault(`${title}: ${wide} px wide at ${width} px`);
        if (!quick) await page.screenshot({ path: join(folder, `${state}-${name}-${theme}-${width}.png`), fullPage: true });
        if (width !== 768) {
          // The debugger may run what the policy of the page forbids.
          await page.evaluate(axe);
          const found = await page.evaluate(async (rules) => {
            const { violations } = await window.axe.run(document, { runOnly: rules });
            return violations.map(({ id, impact, nodes }) => `${id} (${impact}) ${nodes.slice(0, 2).map((node) => node.target).join(' ')}`);
          }, RULES).catch((error) => [`axe did not run: ${error.message.slice(0, 200)}`]);
          for (const violation of found) fault(`${title} ${width}: ${violation}`);
        }
      }
      await context.close();
    }
  }
  await served.close();
}
await browser.close();
console.log(faults === 0 ? 'no faults' : `${faults} faults`);
process.exitCode = faults === 0 ? 0 : 1;
