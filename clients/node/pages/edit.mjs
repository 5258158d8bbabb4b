// A connection is changed in its form, in a real browser: a wrong value, a port on which nothing listens, a wrong
// and a right password, two people at once; then the same with the keyboard alone and without JavaScript.
//
// usage: node clients/node/pages/edit.mjs URL POSTGRES
import assert from 'node:assert/strict';
import { launch, tab, violations } from './world.mjs';

const [url, postgres] = process.argv.slice(2);
const database = new URL(postgres);
const browser = await launch();
let proofs = 0;
const proved = (what) => { proofs += 1; console.log(`ok  ${what}`); };
const written = async () => (await fetch(`${url}/api/v1/project`)).text();
const before = await written();

/** What describes the field of a label, in the order in which a screen reader says it. */
const said = (field) => field.evaluate((element) => element.getAttribute('aria-describedby').split(' ')
  .map((id) => document.getElementById(id).innerText));

{
  const { page, main, press, type, reads, complaints, close } = await tab(browser);
  await page.goto(`${url}/connections`);
  await press('Change or check shop');
  await type('Port', 'many');
  await press('Check and save');
  await reads('There is an error. Nothing was changed.');
  const port = main.getByLabel('Port');
  assert.equal(await port.getAttribute('aria-invalid'), 'true');
  assert.match((await said(port))[0], /^Expected a whole number from 0 to 65535, found text\. /);
  assert.equal(await port.inputValue(), 'many', 'what was typed is lost');
  assert.deepEqual(await violations(page), []);
  await press('Port', main.getByRole('alert'));
  assert.ok(page.url().endsWith('#f-port'));
  assert.equal(await written(), before);
  proved('a wrong value has its message beside the field, and nothing is saved');

  await type('Port', '1');
  await press('Check it');
  await reads('Something is missing.');
  await type('Port', database.port);
  await type('Password', 'wrong');
  await press('Check and save');
  await reads('Something is missing.');
  assert.ok(!(await page.content()).includes('"wrong"'), 'a secret comes back');
  await main.getByRole('button', { name: 'Save it all the same' }).waitFor();
  assert.equal(await written(), before);
  assert.deepEqual(await violations(page), []);
  proved('a port on which nothing listens and a wrong password are found before anything is saved');

  await type('Password', decodeURIComponent(database.password));
  await press('Check it');
  await reads('It works. Nothing is saved yet.');
  await press('Check and save');
  await reads('shop is saved.');
  const sealed = await written();
  assert.equal(sealed, before.replace(/password: "?[^,"]*"?/, 'password: { secret: shop_password }'));
  assert.ok(sealed.startsWith('# ours\n'));
  assert.deepEqual(complaints, []);
  proved('the right password is sealed, and no other word of the file changes');
  await close();
}

// Two people have the form open.
{
  const [ann, ben] = [await tab(browser), await tab(browser)];
  for (const { page } of [ann, ben]) await page.goto(`${url}/connections/shop/edit`);
  for (const { main } of [ann, ben]) await main.locator('summary', { hasText: 'More settings' }).click();
  await ben.type('Max connections', '3');
  await ben.press('Check and save');
  await ben.reads('shop is saved.');
  await ann.type('Max connections', '2');
  await ann.type('Connect timeout', '7s');
  await ann.press('Check and save');
  await ann.reads('The project was changed meanwhile, by another person or in its file. Nothing was saved.');
  const field = ann.main.getByLabel('Max connections');
  assert.equal((await said(field))[0], 'In the file by now: 3');
  assert.equal(await field.inputValue(), '2', 'what was typed is lost');
  assert.deepEqual(await violations(ann.page), []);
  assert.ok((await written()).includes('max_connections: 3') && !(await written()).includes('7s'));
  proved('a form that is older than the file writes nothing, and says what the file has by now');
  await ann.press('Check and save');
  await ann.reads('shop is saved.');
  assert.ok((await written()).includes('max_connections: 2') && (await written()).includes('connect_timeout: 7s'));
  proved('what was typed is saved on the second word');
  for (const { complaints, close } of [ann, ben]) { assert.deepEqual(complaints, []); await close(); }
}

// With the keyboard alone, and without JavaScript.
{
  const { page, main, press, type, reads, close } = await tab(browser, { keyboard: true });
  await page.goto(`${url}/connections`);
  await press('Change or check shop');
  await type('Port', 'many');
  await press('Check and save');
  await reads('There is an error. Nothing was changed.');
  assert.equal(await main.getByRole('button', { name: 'Copy' }).count(), 0, 'a button that does nothing without a script');
  await type('Port', database.port);
  await type('Connect timeout', '8s');
  await press('Check and save');
  await reads('shop is saved.');
  assert.ok((await written()).includes('connect_timeout: 8s'));
  proved('the keyboard alone changes a connection, without JavaScript');
  await close();
}

await browser.close();
console.log(`${proofs} proofs`);
