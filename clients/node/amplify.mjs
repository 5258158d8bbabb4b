// Amplify in a browser sends its events to Tidegate. The app is bundled with the plugin that the guide
// shows, and nothing else of it is changed.
//
// usage: node clients/node/amplify.mjs URL GUIDE
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { launch } from './pages/world.mjs';

const [url, guide] = process.argv.slice(2);
const proved = (what) => console.log(`ok  ${what}`);

/** The plugin of the guide, as a reader copies it. */
function pluginOf(path) {
  const block = readFileSync(path, 'utf8').split('```js\n').map((text) => text.split('```')[0])
    .find((text) => text.includes('pinpointAt'));
  assert.ok(block, `${path} has no block with pinpointAt`);
  return new Function(`${block.split('export default')[0]}; return pinpointAt;`)();
}

async function bundled(plugins) {
  const input = fileURLToPath(new URL('amplify/app.mjs', import.meta.url));
  const bundle = await rolldown({ input, plugins, platform: 'browser', logLevel: 'silent' });
  const { output } = await bundle.generate({ format: 'iife' });
  await bundle.close();
  return output[0].code;
}

const code = await bundled([pluginOf(guide)(url)]);
assert.ok(!code.includes('https://pinpoint.'), 'an address of AWS is left');
proved('the plugin of the guide replaces the address');

// The app has an origin of its own, as behind a CDN.
const site = createServer((request, response) => {
  const script = request.url === '/app.js';
  response.setHeader('content-type', script ? 'text/javascript' : 'text/html; charset=utf-8');
  response.end(script ? code : '<!doctype html><title>shop</title><script src="/app.js"></script>');
});
await new Promise((done) => site.listen(0, '127.0.0.1', done));

const chromium = await launch();
const context = await chromium.newContext();
const page = await context.newPage();
const complaints = [];
page.on('pageerror', (error) => complaints.push(error.message));
page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));

// Cognito gives guests an identity and temporary keys. Source: its API reference, GetId and
// GetCredentialsForIdentity.
await context.route('https://cognito-identity.**', (route) => {
  const target = route.request().headers()['x-amz-target'] ?? '';
  const IdentityId = 'eu-central-1:99999999-8888-7777-6666-555555555555';
  const body = target.endsWith('GetId') ? { IdentityId } : {
    IdentityId,
    Credentials: {
      AccessKeyId: 'ASIAEXAMPLE', SecretKey: 'temporary', SessionToken: 'token', Expiration: Date.now() / 1000 + 3600,
    },
  };
  const headers = { 'access-control-allow-origin': '*', 'access-control-allow-headers': '*' };
  return route.fulfill({ status: 200, headers, contentType: 'application/x-amz-json-1.1', body: JSON.stringify(body) });
});

const answered = [];
page.on('response', async (response) => {
  const request = response.request();
  if (response.url().startsWith(url) && request.method() !== 'OPTIONS') {
    answered.push({ path: new URL(response.url()).pathname, status: response.status(), sent: request.postDataJSON(), headers: await request.allHeaders() });
  }
});
await page.goto(`http://127.0.0.1:${site.address().port}/`);
await page.evaluate(() => globalThis.buy());
const deadline = Date.now() + 20_000;
const events = () => answered.filter(({ path }) => path.endsWith('/events'));
const names = () => events().flatMap(({ sent }) => Object.values(sent.BatchItem).flatMap((item) => Object.values(item.Events).map((event) => event.EventType)));
const expected = ['_session.start', 'bought', 'left'];
while (!expected.every((name) => names().includes(name)) && Date.now() < deadline) {
  await new Promise((done) => setTimeout(done, 50));
}
assert.deepEqual(complaints, [], 'the page complains');
assert.ok(expected.every((name) => names().includes(name)), `sent: ${JSON.stringify(answered)}`);
proved(`Amplify sent ${names().join(', ')}`);
const endpoint = answered.find(({ path }) => path.includes('/endpoints/'));
assert.ok(endpoint, 'the endpoint was not updated');
assert.ok(answered.every(({ status }) => status === 202), JSON.stringify(answered));
proved('every request was accepted');
assert.match(answered[0].headers.authorization, /^AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE\/.*\/mobiletargeting\//);
assert.equal(answered[0].headers['x-amz-security-token'], 'token');
proved('requests are signed with temporary keys of Cognito');
await chromium.close();
site.close();
