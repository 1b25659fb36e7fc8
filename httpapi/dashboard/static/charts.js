// Draws the charts of overview and queue with uPlot. What is drawn is a page of its own
// as a table, to which the links lead without this script. Colours are those that the
// style sheet gives the words of the captions, in the dark and in the light.
'use strict';
(() => {
  if (!window.uPlot) return;
  const pause = 15_000; // between two looks at the figures
  const kept = {
    get() { try { return localStorage.getItem('rookery-range'); } catch { return null; } },
    set(name) { try { localStorage.setItem('rookery-range', name); } catch { /* not kept */ } },
  };

  const short = (n) => Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 }).format(n);
  const seconds = (s) => {
    if (s < 1) return `${Math.round(s * 1000)} ms`;
    if (s < 120) return `${+s.toFixed(1)} s`;
    return s < 7200 ? `${Math.round(s / 60)} min` : `${Math.round(s / 3600)} h`;
  };
  const kinds = {
    throughput: { names: ['completed', 'failed'], label: ['completed', 'failed'], text: short },
    wait: { names: ['p50', 'p95'], label: ['median', 'p95'], text: seconds },
    backlog: { names: ['ready', 'out'], label: ['ready', 'out'], text: short },
  };
  const pad = (n) => String(n).padStart(2, '0');
  const clock = (at, days) => {
    const d = new Date(at * 1000);
    const time = `${pad(d.getHours())}:${pad(d.getMinutes())}`;
    return days ? `${d.toLocaleDateString('en', { month: 'short', day: 'numeric' })} ${time}` : time;
  };

  const drawn = new Map(); // figure → uPlot
  const colour = (e, what = 'color') => getComputedStyle(e)[what];

  const draw = (figure, data) => {
    const kind = kinds[figure.dataset.chart];
    const plot = figure.querySelector('.plot');
    const readout = figure.querySelector('.readout');
    const keys = [...figure.querySelectorAll('.key')];
    const rows = [data.at, ...kind.names.map((n) => data[n])];
    const known = drawn.get(figure);
    if (known) { known.setData(rows); return; }
    const axis = { stroke: () => colour(plot), grid: { stroke: () => colour(plot, 'borderTopColor'), width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif' };
    const days = (self) => self.data[0].at(-1) - self.data[0][0] > 86_400;
    const u = new uPlot({
      width: plot.clientWidth, height: plot.clientHeight, legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { y: { range: (_, min, max) => [0, max > 0 ? max * 1.1 : 1] } },
      axes: [
        { ...axis, size: 26, space: 70, values: (self, ticks) => ticks.map((t) => (days(self) ? clock(t, true).replace(/ 00:00$/, '') : clock(t))) },
        { ...axis, size: 52, space: 32, values: (_, ticks) => ticks.map((t) => kind.text(t)) },
      ],
      series: [{}, ...kind.names.map((_, i) => ({ stroke: () => colour(keys[i]), width: 1.5, points: { show: false }, spanGaps: false }))],
      hooks: {
        setCursor: [(self) => {
          const at = self.cursor.idx;
          readout.textContent = at == null ? '' : [clock(self.data[0][at], days(self)), ...kind.label.map((l, i) => `${l} ${self.data[i + 1][at] == null ? '–' : kind.text(self.data[i + 1][at])}`)].join(' · ');
        }],
      },
    }, rows, plot);
    drawn.set(figure, u);
    new ResizeObserver(() => { if (plot.clientWidth) u.setSize({ width: plot.clientWidth, height: plot.clientHeight }); }).observe(plot);
  };

  let asked = 0; // only the answer to the last question is shown
  const load = async () => {
    const card = document.querySelector('#charts');
    if (!card || document.hidden) return;
    const ranges = [...card.querySelectorAll('[data-range]')];
    const here = ranges.find((a) => a.dataset.range === kept.get()) || ranges[0];
    ranges.forEach((a) => { if (a === here) a.setAttribute('aria-current', 'true'); else a.removeAttribute('aria-current'); });
    card.querySelector('[data-figures]').setAttribute('href', here.getAttribute('href'));
    const mine = ++asked;
    const note = card.querySelector('[data-chartnote]');
    try {
      const query = new URLSearchParams({ range: here.dataset.range, ...(card.dataset.queue && { queue: card.dataset.queue }) });
      const answer = await fetch(`/ui/charts?${query}`);
      if (!answer.ok) throw new Error(answer.status);
      const data = await answer.json();
      if (mine !== asked || !card.isConnected) return;
      card.querySelector('[data-drawn]').hidden = false;
      card.querySelectorAll('[data-chart]').forEach((f) => draw(f, data));
      note.textContent = 'The newest minute comes about a minute late.';
    } catch {
      if (mine === asked) note.textContent = 'The figures cannot be had just now.';
    }
  };

  document.addEventListener('click', (e) => {
    const link = e.target.closest('#charts [data-range]');
    if (!link || e.ctrlKey || e.metaKey || e.shiftKey) return;
    e.preventDefault();
    kept.set(link.dataset.range);
    load();
  });
  const recolour = () => drawn.forEach((u) => u.redraw(false, true));
  new MutationObserver(recolour).observe(document.documentElement, { attributeFilter: ['data-theme'] });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', recolour);
  document.addEventListener('visibilitychange', load);
  setInterval(load, pause);
  load();
})();
