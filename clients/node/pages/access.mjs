// Every page for people who zoom, use the keyboard alone, have no JavaScript, need high contrast or cannot bear
// motion, in a real browser, on a server where much is wrong.
//
// usage: node clients/node/pages/access.mjs
import assert from 'node:assert/strict';
import { broken, launch, pages, tab, violations } from './world.mjs';

const served = await broken();
const all = Object.entries(await pages(served));
const browser = await launch();
let proofs = 0;
const proved = (what) => { proofs += 1; console.log(`ok  ${what}`); };

/** What is asked of every page: a sentence, and a function that returns what is wrong. */
const looks = [];
const look = (what, ask) => looks.push({ what, ask, faults: [] });

// A window of 1280 px at 200 % is one of 640 px with two dots a pixel; at 400 % it has 320 px.
for (const [zoom, width, height] of [['200', 640, 450], ['400', 320, 256]]) {
  look(`at ${zoom} % nothing is cut off or needs to be scrolled sideways`, async (page) => {
    await page.setViewportSize({ width, height });
    return page.evaluate((width) => {
      const found = [];
      if (document.documentElement.scrollWidth > width) found.push(`${document.documentElement.scrollWidth} px wide`);
      for (const element of document.querySelectorAll('h1, h2, p, a, button, summary, dt, dd, th, td, li, label')) {
        const style = getComputedStyle(element);
        const isCut = element.scrollWidth > element.clientWidth + 1 && style.overflowX !== 'visible' && style.display !== 'inline';
        if (isCut && !element.matches('.visually-hidden')) found.push(`cut off: ${element.textContent.trim().slice(0, 40)}`);
      }
      return found;
    }, width);
  });
}

// Whatever has the focus shows it, and is not behind the bars at the top and the bottom.
look('the keyboard reaches everything, and the focus is always seen', async (page) => {
  await page.setViewportSize({ width: 360, height: 740 });
  const found = [];
  const reached = new Set();
  const visible = await page.evaluate(() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary')]
    .filter((element) => element.checkVisibility() && !element.disabled).length);
  for (let at = 0; at < visible * 2 + 20; at += 1) {
    await page.keyboard.press('Tab');
    const focus = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return null;
      const box = element.getBoundingClientRect();
      const name = `${element.tagName} ${(element.textContent || element.name || '').trim().slice(0, 30)}`;
      const isFixed = element.closest('.top, .rail, .skip');
      const [top, rail] = ['.top', '.rail'].map((bar) => document.querySelector(bar)?.getBoundingClientRect());
      const isHidden = !isFixed && box.height > 0 && (box.bottom <= (top?.bottom ?? 0) || box.top >= (rail?.top ?? innerHeight));
      const shows = [element, element.closest('.find')].some((one) => {
        const style = one && getComputedStyle(one);
        return style && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1;
      });
      document.focused ??= new Map();
      if (!document.focused.has(element)) document.focused.set(element, document.focused.size);
      return { id: document.focused.get(element), name, isHidden, shows };
    });
    if (!focus) break;
    if (reached.has(focus.id)) continue;
    reached.add(focus.id);
    if (focus.isHidden) found.push(`the focus is behind a bar: ${focus.name}`);
    if (!focus.shows) found.push(`the focus is not seen: ${focus.name}`);
  }
  // Radio buttons of one name are one stop.
  const missed = await page.evaluate(() => [...document.querySelectorAll('a[href], button, input:not([type=hidden], [type=radio]), select, textarea, summary')]
    .filter((element) => element.checkVisibility() && !element.disabled && !document.focused?.has(element))
    .map((element) => `${element.tagName} ${(element.textContent || element.name).trim().slice(0, 30)}`));
  return [...found, ...missed.map((name) => `the keyboard does not reach ${name}`)];
});

look('nothing moves for those who asked for less motion', (page) => page.evaluate(() => {
  const found = document.getAnimations().map((animation) => `it moves: ${animation.animationName ?? animation.transitionProperty}`);
  if (getComputedStyle(document.documentElement).scrollBehavior !== 'auto') found.push('it scrolls smoothly');
  return found;
}));

look('in forced colors everything keeps its shape', async (page) => {
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ forcedColors: 'active' });
  return page.evaluate(() => {
    const line = (element) => {
      const style = getComputedStyle(element);
      return ['Top', 'Left'].some((side) => style[`border${side}Style`] !== 'none' && parseFloat(style[`border${side}Width`]) > 0);
    };
    const plain = [...document.querySelectorAll('.button, .badge, .card, .panel, input:not([type=hidden], [type=radio], [type=checkbox], .find input), select, textarea')]
      .filter((element) => element.checkVisibility() && !line(element)).map((element) => `without a border: ${element.outerHTML.slice(0, 60)}`);
    const differ = (one, other) => ['borderTopWidth', 'borderTopColor', 'fontWeight', 'textDecorationLine', 'fill', 'backgroundColor']
      .some((property) => getComputedStyle(one)[property] !== getComputedStyle(other)[property]);
    const pairs = [['.chips a[aria-current]', '.chips a:not([aria-current])'], ['.rail a[aria-current]', '.rail a:not([aria-current])'],
      ['.choice [aria-pressed=true]', '.choice [aria-pressed=false]'], ['.button.primary', '.button:not(.primary)'], ['.chart .delivered', '.chart .failed']];
    const same = pairs.map((pair) => pair.map((selector) => document.querySelector(selector)))
      .filter(([one, other]) => one && other && !differ(one, other)).map(([one]) => `only its color tells it from others: ${one.outerHTML.slice(0, 60)}`);
    return [...plain, ...same];
  });
});

{
  const { page, close } = await tab(browser, { reducedMotion: 'reduce' });
  for (const [name, path] of all) {
    await page.emulateMedia({ forcedColors: 'none' });
    await page.goto(served.url + path);
    for (const { ask, faults } of looks) faults.push(...(await ask(page)).map((fault) => `${name}: ${fault}`));
  }
  await close();
  for (const { what, faults } of looks) {
    if (faults.length === 0) proved(what);
    else process.exitCode = 1;
    for (const fault of faults) console.log(`fault: ${fault}`);
  }
}

{
  const { page, main, close } = await tab(browser, { script: false });
  for (const [name, path] of all.filter(([name]) => name !== 'missing')) {
    await page.goto(served.url + path);
    assert.ok((await main.innerText()).trim().length > 20, `${name} is empty`);
    const idle = page.locator('button:visible').and(page.locator(':not(form button), [type=button]'));
    assert.deepEqual(await idle.allInnerTexts(), [], `${name} has a button that does nothing`);
  }
  await close();
  proved('without JavaScript every page has its content, and every button does something');
}

// Colors and times are chosen with the keyboard, without JavaScript, and hold on every page.
{
  const { page, press, main, close } = await tab(browser, { keyboard: true });
  await page.goto(`${served.url}/about`);
  const footer = page.locator('footer');
  await press('dark', footer);
  assert.ok(page.url().endsWith('/about'), 'the choice leads away');
  await press('exact', footer);
  assert.match(await main.innerText(), /Licenses of the program/);
  for (const [name, path] of all.filter(([name]) => name !== 'missing')) {
    await page.goto(served.url + path);
    assert.equal(await page.locator('html').getAttribute('data-theme'), 'dark', name);
    assert.doesNotMatch(await main.innerText(), /\d (s|min|h|days) ago|just now/, name);
  }
  await close();
  const light = await tab(browser, { colorScheme: 'dark' });
  await light.page.goto(`${served.url}/about`);
  await light.press('light', light.page.locator('footer'));
  assert.deepEqual(await violations(light.page), []);
  assert.ok(await light.page.evaluate(() => parseInt(getComputedStyle(document.body).backgroundColor.slice(4), 10) > 200), 'it is not light');
  await light.close();
  proved('colors and times that were chosen hold on every page');
}

await browser.close();
await served.close();
console.log(`${proofs} proofs`);
