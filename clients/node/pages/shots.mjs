// Takes a picture of every page in four states, three widths and two themes, and looks for faults
// that a machine can see.
//
// usage: [QUICK=1] node clients/node/pages/shots.mjs FOLDER [STATE...]    states: empty, full, broken, closed
//
// QUICK=1 looks for faults in one theme and two widths, and takes no picture.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import * as world from './world.mjs';

const [folder = 'shots', ...wanted] = process.argv.slice(2);
const quick = process.env.QUICK === '1';
const themes = quick ? ['light'] : ['light', 'dark'];
const widths = quick ? [360, 1440] : [360, 768, 1440];
if (!quick) mkdirSync(folder, { recursive: true });
let faults = 0;
const most = { pages: 0, bytes: 0, requests: 0, shift: 0 };
const fault = (text) => { faults += 1; console.log(`fault: ${text}`); };

const browser = await world.launch();
for (const state of ['empty', 'full', 'broken', 'closed'].filter((state) => wanted.length === 0 || wanted.includes(state))) {
  const served = await world[state]();
  for (const [name, path] of Object.entries(await world.pages(served))) {
    for (const theme of themes) {
      const context = await browser.newContext({ colorScheme: theme, deviceScaleFactor: 1 });
      const page = await context.newPage();
      const title = `${state} ${name} ${theme}`;
      page.on('console', (message) => { if (name !== 'missing') fault(`${title}: console says ${message.text()}`); });
      page.on('pageerror', (error) => fault(`${title}: ${error.message}`));
      page.on('request', (request) => { if (!request.url().startsWith(served.url)) fault(`${title}: asked ${request.url()}`); });
      const cdp = await context.newCDPSession(page);
      await cdp.send('Network.enable');
      let [bytes, requests] = [0, 0];
      cdp.on('Network.loadingFinished', (loaded) => { bytes += loaded.encodedDataLength; requests += 1; });
      await page.addInitScript(() => {
        window.shift = 0;
        new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.shift += entry.value; })
          .observe({ type: 'layout-shift', buffered: true });
      });
      for (const width of widths) {
        await page.setViewportSize({ width, height: width < 500 ? 740 : 900 });
        if (width === 360) await page.goto(served.url + path);
        await page.waitForTimeout(quick && width !== 360 ? 20 : 200);
        if (width === 360 && theme === 'light') {
          if (bytes > 40_000) fault(`${title}: ${bytes} bytes for a cold page`);
          const shift = await page.evaluate(() => window.shift);
          if (shift > 0.02) fault(`${title}: the layout shifted by ${shift}`);
          most.pages += 1;
          for (const [what, value] of Object.entries({ bytes, requests, shift })) most[what] = Math.max(most[what], value);
        }
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        if (wide > width) fault(`${title}: ${wide} px wide at ${width} px`);
        if (!quick) await page.screenshot({ path: join(folder, `${state}-${name}-${theme}-${width}.png`), fullPage: true });
        if (width !== 768) {
          for (const violation of await world.violations(page)) fault(`${title} ${width}: ${violation}`);
        }
      }
      await context.close();
    }
  }
  await served.close();
}
await browser.close();
console.log(`${most.pages} pages; at most ${most.bytes} bytes and ${most.requests} requests for a cold one, a shift of ${most.shift.toFixed(4)}`);
console.log(faults === 0 ? 'no faults' : `${faults} faults`);
process.exitCode = faults === 0 ? 0 : 1;
