// Takes the pictures of the README: the overview of a café, light and dark.
//
// usage: node clients/node/pages/picture.mjs [FOLDER]    docs/images if it is left out
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as world from './world.mjs';

const folder = process.argv[2] ?? fileURLToPath(new URL('../../../docs/images', import.meta.url));
const served = await world.picture();
const browser = await world.launch();
for (const colorScheme of ['light', 'dark']) {
  const context = await browser.newContext({ colorScheme, deviceScaleFactor: 1.5, viewport: { width: 1200, height: 820 } });
  const page = await context.newPage();
  await page.goto(served.url, { waitUntil: 'load' });
  await page.screenshot({ path: join(folder, `dashboard-${colorScheme}.png`) });
}
await browser.close();
await served.close();
