// A failed row is found, fixed and retried, in a real browser: once with the mouse, once with the
// keyboard alone and without JavaScript.
//
// usage: node clients/node/pages/journey.mjs URL POSTGRES
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { launch } from './world.mjs';

const [url, postgres] = process.argv.slice(2);
const sql = (text) => execFileSync('psql', [postgres, '--quiet', '--command', text]);
const browser = await launch();
let proofs = 0;
const proved = (what) => { proofs += 1; console.log(`ok  ${what}`); };

/** A tab, what it complained about, and a way to follow a link or press a button by its name. */
async function open({ keyboard }) {
  const context = await browser.newContext({ javaScriptEnabled: !keyboard, viewport: { width: 1200, height: 900 } });
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  let presses = 0;
  const target = (name) => page.locator('main').getByRole('link', { name }).or(page.locator('main').getByRole('button', { name })).first();
  const press = async (name) => {
    presses += 1;
    const wanted = target(name);
    await wanted.waitFor();
    if (!keyboard) return wanted.click();
    for (let tab = 0; tab < 80; tab += 1) {
      await page.keyboard.press('Tab');
      if (await wanted.evaluate((element) => element === document.activeElement)) {
        await page.keyboard.press('Enter');
        return page.waitForLoadState();
      }
    }
    throw new Error(`${name} is not reached by the keyboard at ${page.url()}`);
  };
  const reads = async (text) => { await page.locator('main').getByText(text).first().waitFor({ timeout: 20_000 }); };
  return { page, press, reads, complaints, count: () => presses, close: () => context.close() };
}

// With the mouse: from nothing to two rejected rows, of which one is fixed and retried.
{
  const { page, press, reads, complaints, count, close } = await open({ keyboard: false });
  await page.goto(url);
  await reads('1 sync, and none has run yet');
  await press('orders_to_braze');
  await press('Run now');
  await reads('1 of 3 rows were delivered, and 2 failed.');
  proved('a run ends with rows that failed, and its page says so');

  await page.goto(url);
  await reads('Your sync needs you');
  await reads('2 rows failed. The row has no identifier of a user: the column is empty');
  const before = count();
  await press('See the failed rows');
  await press('See the rows');
  await reads('Fill the column at the source, then retry.');
  await press(/^2$/);
  await reads('null');
  proved('the overview leads to the row and its empty column');
  sql("UPDATE orders SET customer = 'ben' WHERE id = 2");
  await press('Retry this row');
  await press('Retry 1 row now');
  await reads('The one row was delivered.');
  assert.ok(count() - before <= 5, `${count() - before} clicks`);
  proved(`the row is fixed and retried with ${count() - before} clicks`);

  await page.goto(url);
  await reads('1 row failed');
  await page.keyboard.press('/');
  await page.keyboard.type('ben');
  await page.keyboard.press('Enter');
  await reads('1 sent, 0 came back');
  proved('the user of the row is found from anywhere');
  assert.deepEqual(complaints, []);
  proved('the console says nothing');
  await close();
}

// While a run goes on, its page follows it.
{
  const { page, reads, complaints, close } = await open({ keyboard: false });
  sql("INSERT INTO orders SELECT id, 'user' || id, now() - interval '1 hour' FROM generate_series(1000, 1999) id");
  await page.goto(`${url}/syncs/orders_to_braze`);
  await page.getByRole('button', { name: 'Run now' }).click();
  await reads('were delivered');
  await page.locator('#live .badge', { hasNotText: 'Running' }).waitFor({ timeout: 20_000 });
  assert.deepEqual(complaints, []);
  proved('the page of a run shows its end without being loaded again');
  await close();
}

// With the keyboard alone, and without JavaScript: the other row.
{
  const { page, press, reads, close } = await open({ keyboard: true });
  sql("UPDATE orders SET customer = 'cid' WHERE id = 3");
  await page.goto(`${url}/failed-rows`);
  await reads('1 row failed');
  await press('Retry all');
  await press('Retry 1 row now');
  await reads('The one row was delivered.');
  await page.goto(`${url}/failed-rows`);
  await reads('Every row arrived');
  proved('the keyboard alone does it, without JavaScript');

  await page.goto(`${url}/syncs/orders_to_braze`);
  await page.locator('summary', { hasText: 'Pause' }).press('Enter');
  await page.getByLabel('Why?').fill('moving the shop');
  await page.getByRole('button', { name: 'Pause the sync' }).press('Enter');
  await reads('moving the shop');
  await press('Resume');
  await reads('It is active again.');
  proved('a sync is paused with a reason, and resumed');
  await close();
}

await browser.close();
console.log(`${proofs} proofs`);
