// What the pages have beyond HTML: they stay fresh, ask before they change something,
// and obey keys. Everything is found by event delegation, because a part of the page is
// replaced whenever the figures change. Without this script every page can be read and
// every form works.
'use strict';
(() => {
  const $ = (what, where = document) => where.querySelector(what);
  const all = (what, where = document) => [...where.querySelectorAll(what)];
  const kept = {
    get(name) { try { return localStorage.getItem(name); } catch { return null; } },
    set(name, value) { try { localStorage.setItem(name, value); } catch { /* not kept */ } },
  };

  // Dark and light.
  const dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  };
  const themeButton = $('#themebutton');
  const nameTheme = () => { themeButton.textContent = dark() ? 'light' : 'dark'; };
  const toggleTheme = () => {
    const next = dark() ? 'light' : 'dark';
    document.documentElement.dataset.theme = next;
    kept.set('rookery-theme', next);
    nameTheme();
  };
  themeButton.hidden = false;
  nameTheme();
  themeButton.addEventListener('click', toggleTheme);

  // On a phone the pages stand in a row that scrolls: this one's name is to be seen.
  const here = $('.top nav [aria-current]');
  if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.offsetLeft - 24;

  // Fresh pages: the stream says when, htmx fetches the page anew and takes its main
  // part. Nobody is disturbed who reads something open or has marked something.
  const liveButton = $('#livebutton');
  let source = null;
  const wanted = () => kept.get('rookery-live') !== 'off';
  const busy = () => $('#live details[open], #live input:checked, #live :is(input, select, textarea):focus, dialog[open]') !== null;
  const shown = (state, label) => {
    liveButton.dataset.state = state;
    liveButton.setAttribute('aria-pressed', String(state !== 'off'));
    $('[data-label]', liveButton).textContent = label;
  };
  const follow = () => {
    if (source) { source.close(); source = null; }
    if (!wanted()) { shown('off', 'paused'); return; }
    if (document.hidden) return;
    source = new EventSource('/ui/stream');
    source.addEventListener('open', () => shown('on', 'live'));
    source.addEventListener('error', () => shown('away', 'reconnecting'));
    source.addEventListener('away', () => shown('away', 'no Postgres'));
    source.addEventListener('tick', () => {
      shown('on', 'live');
      if (!busy() && window.htmx) window.htmx.trigger(document.body, 'tick');
    });
  };
  // It was asked for before: what is open or marked by now would be gone, and with it the
  // form that a question is about.
  document.addEventListener('htmx:beforeSwap', (e) => { if (busy()) e.detail.shouldSwap = false; });
  const toggleLive = () => { kept.set('rookery-live', wanted() ? 'off' : 'on'); follow(); };
  if (liveButton && window.EventSource) {
    liveButton.hidden = false;
    liveButton.addEventListener('click', toggleLive);
    document.addEventListener('visibilitychange', follow);
    window.addEventListener('pagehide', () => { if (source) source.close(); });
    follow();
  }

  // Marks.
  const marks = () => all('#bulk input[name=id]');
  const countMarks = () => {
    const n = marks().filter((m) => m.checked).length;
    all('[data-marked]').forEach((e) => { e.textContent = n; });
    all('[data-needs-mark]').forEach((b) => { b.disabled = n === 0; });
    const whole = $('[data-markall]');
    if (whole) {
      whole.hidden = false;
      whole.checked = n > 0 && n === marks().length;
      whole.indeterminate = n > 0 && n < marks().length;
    }
  };
  document.addEventListener('change', (e) => {
    if (e.target.matches('[data-markall]')) marks().forEach((m) => { m.checked = e.target.checked; });
    countMarks();
  });

  // Questions: a button that says what it does is asked about first.
  const ask = $('#ask');
  let asked = null;
  document.addEventListener('submit', (e) => {
    const button = e.submitter;
    if (!button || !button.dataset.confirm || button === asked) { asked = null; return; }
    e.preventDefault();
    $('#asktext').textContent = button.dataset.confirm;
    ask.returnValue = 'no';
    ask.showModal();
    ask.onclose = () => {
      if (ask.returnValue !== 'yes') { button.focus(); return; }
      asked = button;
      e.target.requestSubmit(button);
    };
  });

  // Rows.
  const rows = () => all('#live [data-row]');
  let current = '';
  const linkOf = (row) => $('[data-rowlink]', row);
  const move = (by) => {
    const list = rows();
    if (list.length === 0) return;
    const at = list.findIndex((r) => r.classList.contains('current'));
    list.forEach((r) => r.classList.remove('current'));
    const row = list[Math.min(list.length - 1, Math.max(0, at + by))] || list[0];
    row.classList.add('current');
    row.scrollIntoView({ block: 'nearest' });
    const link = linkOf(row);
    if (link) { current = link.id; link.focus({ preventScroll: true }); }
  };
  document.addEventListener('htmx:load', () => {
    countMarks();
    const link = current && document.getElementById(current);
    if (link) link.closest('[data-row]').classList.add('current');
  });

  // Keys.
  const places = { o: '/ui/', j: '/ui/jobs', q: '/ui/queues', w: '/ui/workers', d: '/ui/dead' };
  const keysDialog = $('#keys');
  const keysButton = $('#keysbutton');
  keysButton.hidden = false;
  keysButton.addEventListener('click', () => keysDialog.showModal());
  let going = 0;
  document.addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || $('dialog[open]')) return;
    if (e.target.matches('input:not([type=checkbox]), textarea, select')) {
      if (e.key === 'Escape') e.target.blur();
      return;
    }
    if (going && Date.now() - going < 1500 && places[e.key]) { location.assign(places[e.key]); return; }
    going = 0;
    const act = {
      '/': () => { const q = $('#q'); if (q) { q.focus(); q.select(); } else location.assign('/ui/jobs'); },
      j: () => move(1),
      k: () => move(-1),
      x: () => { const m = $('#live .current input[name=id]'); if (m) { m.checked = !m.checked; countMarks(); } },
      g: () => { going = Date.now(); },
      r: () => { if (liveButton) toggleLive(); },
      t: toggleTheme,
      '?': () => keysDialog.showModal(),
    }[e.key];
    if (act) { e.preventDefault(); act(); }
  });

  countMarks();
})();
