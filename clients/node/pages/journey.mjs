// A failed row is found, fixed and retried, in a real browser: once with the mouse, once with the
// keyboard alone and without JavaScript.
//
// usage: node clients/node/pages/journey.mjs URL POSTGRES
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { launch, tab } from './world.mjs';

const [url, postgres] = process.argv.slice(2);
const sql = (text) => execFileSync('psql', [postgres, '--quiet', '--command', text]);
const browser = await launch();
let proofs = 0;
const proved = (what) => { proofs += 1; console.log(`ok  ${what}`); };

// With the mouse: from nothing to two rejected rows, of which one is fixed and retried.
{
  const { page, press, reads, complaints, done, close } = await tab(browser);
  await page.goto(url);
  await reads('1 sync, and none has run yet');
  await press('orders_to_braze');
  await press('Run now');
  await reads('1 of 3 rows were delivered, and 2 failed.');
  proved('a run ends with rows that failed, and its page says so');

  await page.goto(url);
  await reads('Your sync needs you');
  await reads('2 rows failed. The row has no identifier of a user: the column is empty');
  await reads('Next: see them, fix the cause, then retry them.');
  const before = done.presses;
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
  assert.ok(done.presses - before <= 5, `${done.presses - before} clicks`);
  proved(`the row is fixed and retried with ${done.presses - before} clicks`);

  await page.goto(url);
  await reads('1 row failed');
  await page.keyboard.press('/');
  await page.keyboard.type('ben');
  await page.keyboard.press('Enter');
  await reads('1 row was sent, 0 events came in');
  proved('the user of the row is found from anywhere');
  assert.deepEqual(complaints, []);
  proved('the console says nothing');
  await close();
}

// While a run goes on, its page follows it.
{
  const { page, reads, complaints, close } = await tab(browser);
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
  const { page, press, reads, close } = await tab(browser, { keyboard: true });
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
