// From an empty server to an active sync from PostgreSQL to the sandbox of Braze, in a real browser: its
// rejected rows are found, fixed and retried, its mapping is changed beside real rows. Clicks and typed
// fields are counted.
//
// usage: node clients/node/pages/setup.mjs URL POSTGRES
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { launch } from './world.mjs';

const [url, postgres] = process.argv.slice(2);
const database = new URL(postgres);
const sql = (text) => execFileSync('psql', [postgres, '--quiet', '--command', text]);
const browser = await launch();
let proofs = 0;
const proved = (what) => { proofs += 1; console.log(`ok  ${what}`); };

/** A tab that counts what a person does in it. */
async function open(javaScriptEnabled) {
  const context = await browser.newContext({ javaScriptEnabled, viewport: { width: 1200, height: 900 } });
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  const main = page.locator('main');
  const done = { clicks: 0, typed: 0 };
  const press = async (name, exact = false) => {
    done.clicks += 1;
    const wanted = main.getByRole('link', { name, exact }).or(main.getByRole('button', { name, exact })).first();
    await wanted.click();
    await page.waitForLoadState();
  };
  const type = async (label, text) => { done.typed += 1; await main.getByLabel(label, { exact: true }).fill(text); };
  const pick = async (label, option) => { done.clicks += 1; await main.getByLabel(new RegExp(`^${label}( optional)?$`)).selectOption(option); };
  const tick = async (name) => { done.clicks += 1; await main.getByRole('checkbox', { name, exact: true }).first().check(); };
  const reads = async (text) => { await main.getByText(text).first().waitFor({ timeout: 20_000 }); };
  return { page, main, press, type, pick, tick, reads, complaints, done, close: () => context.close() };
}

// Without JavaScript: connections, table, mapping, activation.
{
  const { page, main, press, type, pick, tick, reads, done, close } = await open(false);
  await page.goto(url);
  await reads('Set up the first sync');
  await press('New sync');
  await reads('Which system are the rows in?');
  await press(/^PostgreSQL/);
  await type('Host', database.hostname);
  await type('Database', database.pathname.slice(1));
  await type('User', decodeURIComponent(database.username));
  const password = async (text) => { done.typed += 1; await main.locator('input[name=password]').fill(text); };
  await password('wrong');
  // The test's own server has another port and certificate than most.
  await main.locator('summary', { hasText: 'More settings' }).click();
  await main.locator('input[name=port]').fill(database.port);
  await main.getByLabel(/^TLS/).selectOption('require');
  await press('Check and save');
  await reads('Something is missing');
  await reads('The steps of an administrator, with your names');
  assert.ok((await main.locator('#setup').textContent()).includes(database.pathname.slice(1)));
  proved('a wrong password is found before anything is saved, with the statements for your names');
  assert.ok(!(await page.content()).includes('"wrong"'), 'a secret comes back');
  // The detour does not count.
  done.clicks -= 1;
  done.typed -= 1;
  await password(decodeURIComponent(database.password));
  await press('Only check it');
  await reads('It works. Nothing is saved yet.');
  done.clicks -= 1;
  // What is sealed stays with the form, also under another name of the connection.
  await main.locator('input[name=connection]').fill('shop');
  await press('Check and save');
  await reads('Which platform do they go to?');
  await press(/^Braze/);
  await type('Endpoint', 'sandbox');
  done.typed += 1;
  await main.locator('input[name=api_key]').fill('sandbox');
  await press('Check and save');
  proved('two connections are there, with their secrets sealed');

  await reads('3. What');
  await pick('Table, file or topic', 'public.orders');
  await pick('Its rows become', 'event');
  await press('Continue');
  await reads('Each row becomes one event.');
  assert.ok(await main.getByLabel('id is part of the key').isChecked(), 'the primary key is known');
  assert.ok(await main.getByLabel('updated_at is the cursor').isChecked(), 'the time of changes is proposed');
  assert.equal(await main.locator('select[name="map.external_id"]').inputValue(), 'customer');
  assert.equal(await main.locator('input[name="text.name"]').inputValue(), 'orders');
  await tick('id');
  await press('Check it with real rows');
  await reads('Of 3 rows, 1 would be delivered and 2 rejected.');
  await reads('It can run. Nothing is saved yet.');
  assert.ok((await main.locator('#written').textContent()).includes('source: { connection: shop, table: public.orders }'));
  proved('rejected rows are known before anything is active, and the lines that are written are shown');
  await press('Activate');
  await reads('It is active.');
  await page.goto(`${url}/project`);
  assert.ok((await main.locator('#yaml').inputValue()).includes('password: { secret: shop_password }'));
  assert.ok(done.clicks <= 14 && done.typed <= 6, `${done.clicks} clicks and ${done.typed} typed fields`);
  proved(`from an empty server to an active sync with ${done.clicks} clicks and ${done.typed} typed fields`);
  await close();
}

// The scheduler runs it without a restart: what it rejects is found, fixed and retried.
{
  const { page, press, reads, complaints, close } = await open(true);
  const failed = async () => { await page.goto(url); return (await page.textContent('main')).includes('2 rows failed'); };
  for (let look = 0; look < 100 && !(await failed()); look += 1) await page.waitForTimeout(200);
  await reads('2 rows failed');
  sql("UPDATE orders SET customer = 'ben' WHERE customer IS NULL");
  await press('See the failed rows');
  await press('Retry all');
  await press('Retry 2 rows now');
  await reads('All 2 rows were delivered.');
  await page.goto(`${url}/failed-rows`);
  await reads('Every row arrived');
  proved('rows that failed are fixed and retried');
  assert.deepEqual(complaints, []);
  await close();
}

// The mapping is changed beside what real rows become; a mistake changes nothing.
{
  const { page, main, press, reads, complaints, close } = await open(true);
  await page.goto(`${url}/syncs/orders_to_braze`);
  await press('Change it beside real rows');
  await reads('Of 3 rows, all would be delivered.');
  const lines = main.locator('#lines');
  const before = await lines.inputValue();
  await lines.fill(before.replace('customer', 'custmer'));
  await main.locator('#looked').getByText('custmer').first().waitFor({ timeout: 20_000 });
  proved('a mistake is told while it is typed');
  await lines.fill(`${before}  timestamp: updated_at\n`);
  await reads('Saving it would change:');
  await press('Save and activate');
  await reads('It is saved and active.');
  assert.ok((await lines.inputValue()).endsWith("  timestamp: updated_at\n"));
  await page.goto(`${url}/project`);
  const file = await main.locator('#yaml').inputValue();
  assert.ok(file.startsWith('# ours\n') && file.includes('      timestamp: updated_at\n'), file);
  proved('the file has the new line, and the comment that it began with');
  assert.deepEqual(complaints.filter((said) => !said.includes('422')), []);
  await close();
}

await browser.close();
console.log(`${proofs} proofs`);
