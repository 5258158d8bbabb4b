// Takes the first page of five servers on which one thing is wrong, for the test of thirty seconds: a reader
// who has never seen the page says what is wrong and what to do next. All runs are real, on the sandbox.
//
// usage: node clients/node/pages/thirty.mjs FOLDER [STATE...]    states: key, column, behind, doubt, limit
//
// `behind` takes a quarter of an hour: a sync is behind once something has waited for that long.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import * as world from './world.mjs';

const [folder = 'thirty', ...wanted] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });

/** A day with 20 orders more. */
function moreOrders({ folder }) {
  const [head, ...lines] = readFileSync(join(folder, 'data/orders/2018-09-04.csv'), 'utf8').trim().split('\n');
  const more = lines.slice(0, 20).map((line) => line.replace(/^[0-9a-f]{4}/, 'abcd'));
  writeFileSync(join(folder, 'data/orders/2018-09-10.csv'), [head, ...more, ''].join('\n'));
}

const states = {
  // The key of Braze was revoked after everything had run.
  async key() {
    const served = await world.full();
    await world.rewrite(served, (yaml) => yaml.replace('api_key: sandbox              # yours: ${BRAZE_API_KEY}', 'api_key: revoked'));
    moreOrders(served);
    await served.post('/syncs/orders_to_braze/run?wait=50');
    return served;
  },
  // The file of the customers lost a column that is mapped.
  async column() {
    const served = await world.full();
    const file = join(served.folder, 'data/customers.csv');
    const lines = readFileSync(file, 'utf8').trim().split('\n').map((line) => line.split(','));
    const at = lines[0].indexOf('favorite_store');
    writeFileSync(file, lines.map((cells) => cells.filter((_, index) => index !== at).join(',')).join('\n') + '\n');
    await served.post('/syncs/customers_to_braze/run?wait=50');
    return served;
  },
  // Events arrive, and the database that they are exported to does not answer.
  async behind() {
    const silent = createServer((socket) => socket.on('error', () => {}));
    await new Promise((done) => silent.listen(0, '127.0.0.1', done));
    const served = await world.full((yaml) => yaml
      .replace('\nsyncs:\n', `
  warehouse:
    type: postgres
    host: 127.0.0.1
    port: ${silent.address().port}
    database: analytics
    user: tidegate
    password: sandbox
    tls: disable

syncs:
`) + `
  message_events_to_warehouse:
    source: { connection: onesignal, kinds: ["message.*"] }
    destination: { connection: warehouse, table: message_events }
`);
    const state = async () => (await served.get('/syncs/message_events_to_warehouse'));
    for (let look = 0; look < 1200 && (await state()).health !== 'needs_attention'; look += 1) {
      if (look % 60 === 0) console.log(JSON.stringify(await state()));
      await new Promise((done) => setTimeout(done, 1000));
    }
    return served;
  },
  // Braze took requests and did not answer: whether the events count is not known.
  async doubt() {
    const sandbox = await world.sandbox();
    const served = await world.full((yaml) => yaml.replace('    type: braze\n    endpoint: sandbox ', `    type: braze\n    endpoint: ${sandbox.url} `));
    await sandbox.faults({ dropped: 1, seed: 7 });
    moreOrders(served);
    await served.post('/syncs/orders_to_braze/run?wait=50');
    return { ...served, close: async () => { await served.close(); await sandbox.close(); } };
  },
  // Half of the customers are gone from the file, and the sync deletes the users of rows that are gone.
  async limit() {
    const served = await world.full((yaml) => yaml.replace(`    source: { connection: shop, path: customers.csv }
    primary_key: id
    destination: { connection: braze, object: user }`, `    source: { connection: shop, path: customers.csv }
    mode: mirror
    removed: delete
    limits: { removed: 10% }
    primary_key: id
    destination: { connection: braze, object: user }`));
    const file = join(served.folder, 'data/customers.csv');
    const lines = readFileSync(file, 'utf8').trim().split('\n');
    writeFileSync(file, lines.slice(0, lines.length / 2).join('\n') + '\n');
    await served.post('/syncs/customers_to_braze/run?wait=50');
    return served;
  },
};

const browser = await world.launch();
const take = async (name, at) => {
  const served = await states[name]();
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(served.url, { waitUntil: 'load' });
  await page.screenshot({ path: join(folder, `${at + 1}.png`), fullPage: true });
  console.log(`${at + 1} ${name}: ${(await page.locator('.hero, .cards').allInnerTexts()).join(' | ').replaceAll(/\s+/g, ' ')}`);
  await page.close();
  await served.close();
};
const names = Object.keys(states).filter((name) => wanted.length === 0 || wanted.includes(name));
await Promise.all(names.map((name) => take(name, Object.keys(states).indexOf(name))));
await browser.close();
process.exit(0);
