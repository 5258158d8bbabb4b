// People who sign in at an identity provider that is not ours (npm `oidc-provider`), in a real browser.
//
// usage: node clients/node/pages/sign_in.mjs
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Provider from 'oidc-provider';
import { freePort, launch, run, serve } from './world.mjs';

const proved = (what) => console.log(`ok  ${what}`);
const people = {
  ada: { email: 'Ada@example.com', email_verified: true, groups: ['data'] },
  eve: { email: 'eve@example.com', email_verified: false, groups: ['data'] },
  lin: { email: 'lin@example.com', email_verified: true, groups: ['sales'] },
};

// By another name than the server's, so that a browser takes them for two sites.
const issuer = `http://localhost:${await freePort()}`;
const client_secret = 'canary-of-the-client+secret/';
let folder;
const { url, close } = await serve((made) => {
  folder = made;
  writeFileSync(join(folder, 'tidegate.yaml'), 'connections: {}\nsyncs: {}\n');
  run(['people', 'add', 'root', '--role', 'admin', '--password-stdin', '--project', folder], 'correct horse battery');
}, {
  TIDEGATE_OIDC_ISSUER: issuer,
  TIDEGATE_OIDC_CLIENT_ID: 'tidegate',
  TIDEGATE_OIDC_CLIENT_SECRET: client_secret,
  TIDEGATE_OIDC_SCOPES: 'openid email groups',
  TIDEGATE_OIDC_ROLES: 'sales-leads=admin;data=editor',
});
const browser = await launch();

/** A browser of its own. */
async function open() {
  const context = await browser.newContext();
  // The provider's page asks for fonts of the Internet.
  await context.route(/googleapis/, (route) => route.abort());
  return context.newPage();
}

/** Signs in at the provider, from a page of the server. Returns the text of the page that it leads to. */
async function signIn(page, name, path = '/') {
  await page.goto(url + path);
  await page.getByRole('link', { name: 'Continue with localhost' }).click();
  await page.locator('input[name=login]').fill(name);
  await page.locator('input[name=password]').fill('any');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.waitForURL((at) => at.host === new URL(url).host, { waitUntil: 'commit' });
  return page.locator('main').innerText();
}

// Nothing answers there yet: the server has begun all the same, and says so to those who try.
{
  const page = await open();
  await page.goto(url);
  await page.getByRole('link', { name: 'Continue with localhost' }).click();
  await page.waitForURL(/sign-in\/provider/);
  assert.match(await page.locator('main').innerText(), /provider cannot be reached: localhost/i);
  proved('a provider that is down is named, and the server serves');
}

const provider = new Provider(issuer, {
  clients: [{ client_id: 'tidegate', client_secret, redirect_uris: [`${url}/sign-in/provider/back`] }],
  pkce: { required: () => true },
  scopes: ['openid', 'email', 'groups'],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId, ...people[accountId] }) }),
  cookies: { keys: ['of a test'] },
});
const server = provider.listen(new URL(issuer).port, 'localhost');
await new Promise((done) => server.on('listening', done));

const ada = await open();
let answered;
ada.on('request', (request) => { if (request.url().includes('/sign-in/provider/back')) answered = request.url(); });
await signIn(ada, 'ada', '/runs?ending=failed');
await ada.waitForURL(`${url}/runs?ending=failed`);
assert.match(await ada.content(), /Sign out/);
proved('a person of a group signs in and is where the link led');
assert.equal((await ada.goto(`${url}/project`)).status(), 200);
assert.equal((await ada.goto(`${url}/people`)).status(), 403);
proved('the group gives its role, and no other');

const again = await open();
await again.goto(answered);
assert.match(await again.locator('main').innerText(), /did not begin to sign in here/i);
await again.goto(url);
assert.match(again.url(), /sign-in/);
proved('an answer of the provider is nothing for another browser, and signs no one in twice');

assert.match(await signIn(await open(), 'eve'), /does not say that .*eve@example.com.* is a verified address/is);
proved('an address that is not verified is no name');

assert.match(await signIn(await open(), 'lin'), /lin@example.com.* may not sign in here/is);
run(['people', 'add', 'Lin@example.com', '--role', 'viewer', '--project', folder], '');
const lin = await open();
await signIn(lin, 'lin');
await lin.waitForURL(`${url}/`);
assert.equal((await lin.goto(`${url}/project`)).status(), 403);
proved('a person without a role is refused, and signs in once an admin has added the address');

people.ada.groups = [];
assert.match(await signIn(await open(), 'ada'), /ada@example.com.* may not sign in here/is);
await ada.goto(url);
assert.match(ada.url(), /sign-in/);
proved('a person who left the group is refused, and the sessions have ended');

const audit = run(['audit', 'list', '--output', 'json', '--project', folder], '');
for (const [action, subject] of [['add_person', 'ada@example.com, editor'], ['sign_in', '127.0.0.1'], ['sign_in_failed', '127.0.0.1']]) {
  assert.ok(JSON.parse(audit).entries.some((entry) => entry.via === 'oidc' && entry.action === action && entry.subject === subject), action);
}
assert.ok(!audit.includes('canary'));
proved('it is noted who signed in, and who did not');

await browser.close();
server.closeAllConnections();
server.close();
await close();
