// A mirror that is held by its limit is found, looked at and confirmed in a real browser: with the mouse, and
// with the keyboard alone and without JavaScript. In between its source moves.
//
// usage: node clients/node/pages/brake.mjs URL FILE    FILE is the source, of which the sync has delivered 20 rows
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { launch, tab } from './world.mjs';

const [url, file] = process.argv.slice(2);
/** Leaves the first rows in the source. */
const keep = (rows) => {
  writeFileSync(file, ['id,plan', ...Array.from({ length: rows }, (_, at) => `${at + 1},free`), ''].join('\n'));
};
const browser = await launch();
let proofs = 0;
const proved = (what) => { proofs += 1; console.log(`ok  ${what}`); };

// With the mouse: the run is held, and the page says what it would do.
{
  const { page, main, press, type, reads, complaints, close } = await tab(browser);
  keep(5);
  await page.goto(`${url}/syncs/customers`);
  await press('Run now');
  await reads('would delete 15 of 20 rows at the platform');
  await page.goto(url);
  await reads('Your sync needs you');
  assert.equal(await main.getByText('Change or check').count(), 0, 'no connection is at fault');
  proved('the overview says what the run would do, and suspects no connection');

  await press('See what the run would do');
  await reads('Rows that are gone from the source');
  await type('Type 15', '14');
  await press('Run it as shown');
  await reads('The number that was typed is not 15: nothing was sent.');
  proved('another number sends nothing');

  // Two more rows go before the number is typed.
  keep(3);
  await page.goto(`${url}/syncs/customers`);
  await press('See what the run would do');
  await reads('would delete 17 of 20 rows');
  keep(2);
  await type('Type 17', '17');
  await press('Run it as shown');
  await reads('it would now delete 18 of 20 rows at the platform');
  await reads('17 were confirmed; nothing was sent');
  proved('a source that has moved since is not sent, and the run says what is different');
  // The browser itself notes the answer to the number that was mistyped.
  assert.deepEqual(complaints.filter((said) => !said.includes('status of 422')), []);
  await close();
}

// With the keyboard alone, and without JavaScript: it is confirmed as it is now.
{
  const { page, press, type, reads, close } = await tab(browser, { keyboard: true });
  await page.goto(`${url}/syncs/customers`);
  await press('See what the run would do');
  await type('Type 18', '18');
  await press('Run it as shown');
  await reads('All 18 rows were delivered.');
  await page.goto(`${url}/syncs/customers/confirm`);
  await reads('No limit stops this run any more');
  await page.goto(url);
  await reads('Your sync is healthy');
  proved('it is confirmed with the keyboard alone, without JavaScript');
  await close();
}

await browser.close();
console.log(`${proofs} proofs`);
