// Drives the dashboard in headless Chromium on a real house: clicks through every
// action, runs axe on every page, dark and light, fails at any report of the policy, any
// line on the console and any dialog of the browser's own, and writes the screenshots of
// docs/screenshots. `make ui-test` installs what is missing and runs it.
import { spawn, execFileSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const root = new URL('../..', import.meta.url).pathname;
const shots = process.env.SCREENSHOTS ? `${process.env.SCREENSHOTS}/` : `${root}docs/screenshots/`;
mkdirSync(shots, { recursive: true });
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let failures = 0;
const check = (ok, what) => {
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${what}`);
  if (!ok) failures++;
};

// The house. Built first: an interrupted `go run` leaves its child behind.
execFileSync('go', ['build', '-o', 'bin/ui-stack', './test/ui/stack'], { cwd: root, stdio: 'inherit' });
const stack = spawn(`${root}bin/ui-stack`, [], { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] });
const where = await new Promise((resolve, reject) => {
  createInterface({ input: stack.stdout }).once('line', (line) => resolve(JSON.parse(line)));
  stack.once('exit', (code) => reject(new Error(`the stack ended with ${code}`)));
});

const path = process.env.CHROMIUM || ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const browser = await chromium.launch({ executablePath: path, args: ['--no-sandbox'] });

// A page that reports what it should not have to.
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(120_000); // nothing is concluded from how long something took
  const page = await context.newPage();
  page.on('console', (m) => { if (m.type() === 'error' || m.type() === 'warning') check(false, `console of ${page.url()}: ${m.text()}`); });
  page.on('pageerror', (e) => check(false, `script of ${page.url()}: ${e.message}`));
  page.on('dialog', async (d) => { check(false, `a dialog at ${page.url()}: ${d.message()}`); await d.dismiss(); });
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (e) => console.error(`policy: ${e.violatedDirective} ${e.blockedURI}`));
  });
  return page;
}

// axe is evaluated by the debugger, which the policy does not bind.
async function accessible(page, name) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  for (const v of found.violations) console.log(`     ${v.id}: ${v.help}\n     ${v.nodes.slice(0, 3).map((n) => n.html).join('\n     ')}`);
  check(found.violations.length === 0, `axe: ${name}`);
}

// A page is there once its charts are drawn.
const go = async (page, to) => {
  await page.goto(where.url + to, { waitUntil: 'load' });
  if (await page.locator('#charts').count()) await page.locator('#charts canvas').nth(2).waitFor();
};
// The old page is loaded too: what is waited for is the next one.
const next = async (page, act) => { await Promise.all([page.waitForEvent('framenavigated'), act()]); await page.waitForLoadState('load'); };
const done = (page) => next(page, () => page.locator('#ask button[value=yes]').click());

try {
  const page = await open();
  await go(page, '/ui/jobs?q=' + encodeURIComponent('status:dead kind:welcome'));
  const dead = await page.locator('[data-rowlink]').first().innerText();
  await go(page, '/ui/jobs?q=' + encodeURIComponent('status:dead'));
  const all = await page.locator('[data-rowlink]').allInnerTexts();

  const pages = {
    overview: '/ui/', jobs: '/ui/jobs', 'jobs-dead': '/ui/jobs?q=status%3Adead', job: `/ui/jobs/${dead}`, queues: '/ui/queues',
    queue: '/ui/queues/email:processing', workers: '/ui/workers', webhooks: '/ui/webhooks', dead: '/ui/dead', storage: '/ui/storage', figures: '/ui/figures?range=6h', 'operation-confirm': '/ui/operations/new?action=redrive&q=status%3Adead', audit: '/ui/audit', about: '/ui/about', missing: '/ui/jobs/999999', wrong: '/ui/jobs?q=colour%3Ared',
  };
  const looks = {
    light: { colorScheme: 'light' }, dark: { colorScheme: 'dark' }, narrow: { colorScheme: 'light', viewport: { width: 320, height: 640 }, deviceScaleFactor: 2 },
  };
  const inspect = async (all) => {
    for (const [look, options] of Object.entries(looks)) {
      const p = await open(options);
      for (const [name, to] of Object.entries(all)) {
        if (name === 'missing') p.removeAllListeners('console'); // a 404 is a line on the console
        await go(p, to);
        await accessible(p, `${name}, ${look}`);
        const wide = await p.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        check(wide <= 0, `${name}, ${look}: nothing sticks out${wide > 0 ? ` (${wide} px)` : ''}`);
        if (look === 'narrow') {
          const broken = await p.evaluate(() => [...document.querySelectorAll('tbody th a')].filter((a) => /^[\w:.]{1,16}$/.test(a.textContent) && a.getClientRects().length > 1).map((a) => a.textContent));
          check(broken.length === 0, `${name}, ${look}: short names stay whole${broken.length ? ` (${broken})` : ''}`);
          const here = await p.evaluate(() => { const a = document.querySelector('.top nav [aria-current]'); return !a || a.getBoundingClientRect().right <= a.parentElement.getBoundingClientRect().right + 1; });
          check(here, `${name}, ${look}: the page's own name in the row of pages is to be seen`);
        }
        if (name !== 'missing' && name !== 'wrong') await p.screenshot({ path: `${shots}${name}-${look}.png`, caret: 'initial', fullPage: look === 'narrow' && (name === 'overview' || name === 'queue') });
      }
      await p.context().close();
    }
  };
  await inspect(pages);

  // Charts.
  await go(page, '/ui/');
  await page.locator('[data-range="24h"]').click();
  await page.waitForFunction(() => document.querySelector('[data-range="24h"]').ariaCurrent === 'true');
  check(await page.locator('[data-figures]').getAttribute('href') === '/ui/figures?range=24h', 'charts of a day, and their table');
  await page.locator('#charts .plot').first().hover();
  await page.waitForFunction(() => document.querySelector('#charts .readout').textContent.includes('completed'));
  check(true, 'a chart says what is under the pointer');
  const canvas = await page.locator('#charts canvas').first().elementHandle();
  const fresh = page.waitForResponse((r) => r.url() === `${where.url}/ui/`); // before it can come
  await page.evaluate(() => window.htmx.trigger(document.body, 'tick'));
  await fresh;
  check(await canvas.evaluate((c) => c.isConnected), 'a fresh page keeps its charts');
  await go(page, '/ui/queues/email:processing');
  check(await page.locator('#charts canvas').count() === 3, 'charts of a queue, in the range that was chosen');
  await page.evaluate(() => localStorage.removeItem('rookery-range'));

  // Hostile content, on every page that shows it.
  for (const to of ['/ui/', '/ui/jobs', '/ui/jobs?q=status%3Adead', '/ui/workers', '/ui/dead', '/ui/audit', ...all.slice(0, 8).map((id) => `/ui/jobs/${id}?reveal=payload`)]) {
    await go(page, to);
    check(await page.evaluate(() => window.hurt === undefined), `${to}: nothing of a job ran`);
  }
  await go(page, '/ui/dead');
  check((await page.content()).includes('&lt;script&gt;'), 'the hostile jobs are shown');

  // One job. A fresh page was asked for before the question is, and comes after it: the
  // form that is asked about stays.
  await go(page, `/ui/jobs/${dead}`);
  let comes;
  const late = new Promise((resolve) => { comes = resolve; });
  await page.route(`**/ui/jobs/${dead}`, async (route) => { await late; await route.continue(); });
  const wanted = page.waitForRequest((r) => r.headers()['hx-request'] === 'true');
  await page.evaluate(() => window.htmx.trigger(document.body, 'tick'));
  await wanted;
  const redrive = await page.getByRole('button', { name: 'Redrive' }).elementHandle();
  await redrive.click();
  await page.evaluate(() => { window.came = new Promise((resolve) => document.body.addEventListener('htmx:afterRequest', () => resolve(), { once: true })); });
  comes();
  await page.evaluate(() => window.came);
  await page.unroute(`**/ui/jobs/${dead}`);
  check(await redrive.evaluate((button) => button.isConnected), 'a page that comes late leaves what is asked about alone');
  await page.locator('#ask button[value=no]').click();
  check(await page.locator('.badge.dead').count() > 0, 'a refused question does nothing');
  await page.getByRole('button', { name: 'Redrive' }).click();
  await done(page);
  check((await page.locator('.flash').innerText()) === 'Sent again.', 'redrive');
  await next(page, () => page.getByRole('link', { name: 'Reveal' }).click());
  check((await page.content()).includes('too many connections'), 'reveal');
  await page.getByRole('button', { name: 'Clone' }).click();
  await done(page);
  check(!page.url().endsWith(`/${dead}`) && (await page.locator('.flash').innerText()).startsWith('Cloned'), 'clone');
  await go(page, '/ui/jobs?q=' + encodeURIComponent('status:running'));
  await next(page, () => page.locator('[data-rowlink]').first().click());
  await page.getByRole('button', { name: 'Cancel' }).click();
  await done(page);
  check(await page.locator('.badge.cancelled').count() > 0, 'cancel');

  // Many jobs, by mouse and by keys.
  await go(page, '/ui/jobs?q=' + encodeURIComponent('queue:billing status:scheduled'));
  check(await page.locator('[data-needs-mark]').first().isDisabled(), 'nothing marked, nothing to do');
  await page.keyboard.press('j');
  await page.keyboard.press('x');
  await page.keyboard.press('j');
  await page.keyboard.press('x');
  check((await page.locator('[data-marked]').innerText()) === '2', 'keys j and x mark');
  await page.screenshot({ path: `${shots}jobs-marked-light.png`, caret: 'initial' });
  await page.getByRole('button', { name: 'Cancel' }).click();
  await accessible(page, 'the question');
  await done(page);
  check((await page.locator('.flash').innerText()) === '2 jobs cancelled.', 'bulk cancel');
  await go(page, '/ui/jobs?q=' + encodeURIComponent('status:dead kind:invoice.render'));
  await page.locator('[data-markall]').check();
  await page.getByRole('button', { name: 'Redrive' }).click();
  await done(page);
  check((await page.locator('.flash').innerText()) === '5 jobs sent again.', 'bulk redrive');

  // Pages of a list.
  await go(page, '/ui/jobs?q=queue%3Areports');
  await next(page, () => page.getByRole('link', { name: 'Next page' }).click());
  check(page.url().includes('after='), 'the next page');
  await next(page, () => page.getByRole('link', { name: 'First page' }).click());
  check(!page.url().includes('after='), 'the first page');

  // Endpoints.
  await go(page, '/ui/webhooks');
  check(!(await page.content()).includes('canary') && (await page.locator('tbody').innerText()).includes('partner.example'), 'an endpoint is shown by its host, without its token');
  await page.getByRole('button', { name: 'Disable partner' }).click();
  await done(page);
  check((await page.locator('#endpoint-partner').innerText()).includes('disabled by'), 'an endpoint is disabled, and it says by whom');
  await next(page, () => page.getByRole('button', { name: 'Enable partner' }).click());
  check(await page.getByRole('button', { name: 'Disable partner' }).count() === 1, 'an endpoint is enabled');

  // A queue.
  await go(page, '/ui/queues/reports');
  await page.getByRole('button', { name: 'Pause' }).click();
  await done(page);
  check(await page.locator('.badge.paused').count() > 0, 'pause');
  await page.locator('#window_size').fill('123');
  await page.getByRole('button', { name: 'Set' }).click();
  await done(page);
  check((await page.locator('#window_size').inputValue()) === '123', 'window');
  await next(page, () => page.getByRole('button', { name: 'Resume' }).click());
  check(await page.locator('.badge.paused').count() === 0, 'resume');

  // Who did all this.
  await go(page, '/ui/audit');
  check((await page.locator('tbody tr').first().innerText()).includes('queue.resume'), 'the audit has what was done last');
  await page.getByLabel('Action').fill('job.redrive');
  await next(page, () => page.getByRole('button', { name: 'Filter' }).click());
  check(await page.locator('tbody tr').count() === 7, 'the audit by action');
  await accessible(page, 'the audit by action');

  // Keys.
  await go(page, '/ui/');
  await page.keyboard.press('g');
  await page.keyboard.press('q');
  await page.waitForURL('**/ui/queues');
  await page.keyboard.press('/');
  await page.waitForURL('**/ui/jobs');
  await page.keyboard.press('/');
  await page.keyboard.type('kind:welcome');
  await page.keyboard.press('Enter');
  await page.waitForURL('**q=kind**');
  await page.keyboard.press('?');
  check(await page.locator('#keys').isVisible(), 'the keys');
  await accessible(page, 'the keys');
  await page.keyboard.press('Escape');
  const before = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.keyboard.press('t');
  check(before !== await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'the theme');
  await page.keyboard.press('t');

  // A page stays fresh by itself, and does not when it is told not to.
  await go(page, '/ui/jobs?q=queue%3Afresh');
  check(await page.locator('[data-rowlink]').count() === 0, 'no job of queue fresh');
  await page.waitForFunction(() => document.querySelector('#livebutton').dataset.state === 'on');
  await page.request.post(`${where.url}/v1/jobs`, { data: { queue_name: 'fresh', kind: 'fresh' } });
  await page.locator('[data-rowlink]').first().waitFor();
  check(true, 'a new job appears by itself');
  await page.keyboard.press('r');
  check((await page.locator('#livebutton').innerText()).includes('paused'), 'the page can be held');
  await page.keyboard.press('r');

  // All that match: first the question, then an operation that is seen to its end.
  const begin = async (q, name) => {
    await go(page, '/ui/jobs?q=' + encodeURIComponent(q));
    await next(page, () => page.locator('#whole').getByRole('link', { name }).click());
  };
  await go(page, '/ui/jobs');
  check(await page.locator('#whole').count() === 0, 'nothing is offered for all jobs there are');
  await begin('status:dead kind:newsletter.send', 'Redrive all');
  check((await page.locator('.why').innerText()) === '34 jobs at this moment.', 'the question says how many match');
  await next(page, () => page.getByRole('link', { name: 'Leave them' }).click());
  check(page.url().endsWith('/ui/jobs?q=kind%3Anewsletter.send+status%3Adead') && await page.locator('[data-rowlink]').count() === 34, 'a refused operation does nothing');
  await begin('status:dead kind:newsletter.send', 'Redrive all');
  await next(page, () => page.getByRole('button', { name: 'Redrive 34 jobs' }).click());
  const operation = new URL(page.url()).pathname;
  check(/^\/ui\/operations\/\d+$/.test(operation) && (await page.locator('.flash').innerText()).startsWith('Begun'), 'an operation begins');
  await page.locator('.badge.completed').waitFor(); // by the page's own tick
  check((await page.locator('[data-done]').innerText()) === '34', 'an operation is seen completed');
  check(await page.getByRole('button', { name: 'Cancel' }).count() === 0, 'what is over cannot be cancelled');

  // One that runs for as long as is looked at it: the stack holds the last of its jobs.
  const line = JSON.stringify({ queue_name: 'crowd', kind: 'crowd', run_at: new Date(Date.now() + 86_400_000).toISOString() });
  for (let i = 0; i < 6; i++) {
    const sent = await page.request.post(`${where.url}/v1/jobs/batch`, { data: Array(1000).fill(line).join('\n'), headers: { 'Content-Type': 'application/x-ndjson' } });
    if (!sent.ok()) throw new Error(await sent.text());
  }
  await begin('queue:crowd', 'Cancel all');
  check((await page.locator('.why').innerText()).startsWith('At least 5,000 jobs'), 'the question of very many');
  await next(page, () => page.getByRole('button', { name: 'Cancel all that match' }).click());
  await page.locator('[data-matched]:not(:text-is("0"))').waitFor(); // some are done
  check(await page.locator('.badge.running').count() === 1, 'an operation is seen to go on');
  check(await page.locator('progress.whole[value]').count() === 1, 'it says how much is gone through');
  await accessible(page, 'an operation that runs');
  await page.screenshot({ path: `${shots}operation-running-light.png`, caret: 'initial' });
  await page.locator('#stop').click();
  await done(page);
  check(await page.locator('.badge.cancelled').count() === 1 && (await page.locator('.flash').innerText()).startsWith('Cancelled'), 'an operation is cancelled');
  await go(page, '/ui/operations');
  check(await page.locator('[data-rowlink]').count() === 2, 'the list of operations');
  await inspect({ operations: '/ui/operations', operation });

  // A door with a lock.
  const guest = await open();
  await guest.goto(`${where.locked}/ui/dead`);
  check(guest.url().includes('/ui/login?next='), 'a stranger is asked for a key');
  await accessible(guest, 'login');
  await guest.screenshot({ path: `${shots}login-light.png`, caret: 'initial' });
  // The issuer is another site: a redirect from there would come without the session.
  await guest.getByRole('link', { name: /^Log in at localhost/ }).click();
  await guest.getByRole('link', { name: 'Yes' }).click();
  await guest.waitForURL(`${where.locked}/ui/dead`);
  check((await guest.locator('h1').innerText()).includes('Dead'), 'somebody comes from the issuer, and goes on to where they wanted');
  const issued = await guest.context().cookies(where.locked);
  check(issued.length === 1 && issued[0].httpOnly && issued[0].sameSite === 'Strict', 'theirs is a session as others, and nothing else is left');
  await guest.goto(`${where.locked}/ui/jobs/${dead}`);
  check(await guest.locator('.actions').count() === 1 && await guest.getByRole('link', { name: 'Audit' }).count() === 0, 'an operator by the claims');
  await next(guest, () => guest.getByRole('button', { name: 'Log out' }).click());
  await guest.goto(`${where.locked}/ui/dead`);
  guest.removeAllListeners('console'); // a 401 is a line on the console
  await guest.getByLabel('API key').fill('not the key that is wanted');
  await next(guest, () => guest.getByRole('button', { name: 'Log in' }).click());
  check((await guest.locator('[role=alert]').innerText()).includes('not known'), 'a wrong key');
  await guest.getByLabel('API key').fill(where.key);
  await guest.getByRole('button', { name: 'Log in' }).click();
  await guest.waitForURL('**/ui/dead');
  const cookie = (await guest.context().cookies()).find((c) => c.name.endsWith('rookery'));
  check(cookie.httpOnly && cookie.sameSite === 'Strict', 'the session is HttpOnly and SameSite=Strict');
  await next(guest, () => guest.getByRole('button', { name: 'Log out' }).click());
  check(guest.url().includes('/ui/login'), 'log out');
  await guest.getByLabel('API key').fill(where.viewer);
  await next(guest, () => guest.getByRole('button', { name: 'Log in' }).click());
  await guest.goto(`${where.locked}/ui/jobs/${dead}`);
  check(await guest.locator('.actions').count() === 0 && await guest.getByRole('link', { name: 'Reveal' }).count() === 0, 'a viewer is offered no action and no payload');
  check(await guest.getByRole('link', { name: 'Audit' }).count() === 0, 'a viewer is not shown the way to the audit');
  await accessible(guest, 'a job, for a viewer');
  await guest.screenshot({ path: `${shots}job-viewer-light.png`, caret: 'initial' });
  await guest.goto(`${where.locked}/ui/jobs?q=status%3Adead`);
  check(await guest.locator('[data-rowlink]').count() > 0 && await guest.locator('#whole').count() === 0, 'a viewer is offered nothing for all that match');

  // Without scripts every page can be read, and every form works.
  const plain = await open({ javaScriptEnabled: false });
  for (const to of ['/ui/', '/ui/jobs', `/ui/jobs/${dead}`, '/ui/queues', '/ui/workers', '/ui/dead', '/ui/figures?range=24h&queue=billing']) {
    await plain.goto(where.url + to);
    check(await plain.locator('h1').isVisible(), `without scripts: ${to}`);
  }
  await plain.goto(`${where.url}/ui/jobs?q=status%3Adead`);
  await next(plain, () => plain.getByRole('link', { name: 'Delete all' }).click());
  await next(plain, () => plain.getByRole('button', { name: /^Delete/ }).click());
  check(/\/ui\/operations\/\d+$/.test(plain.url()), 'without scripts: an operation begins');
} catch (e) {
  check(false, e.stack);
} finally {
  await browser.close();
  stack.stdin.end();
  await new Promise((resolve) => stack.once('exit', resolve));
}
console.log(failures ? `${failures} failed` : 'all well');
process.exit(failures ? 1 : 0);
