// The trend of a project as two charts, one above the other: how long its jobs took, and how many of the last ten passed.
// Loaded only where there is a trend to see. What it shows stands beside it as a table.

import { clock, duration, moment } from '../lib/format.js';
import { jobPath } from '../lib/router.js';
import { STATES } from '../lib/states.js';
import { columns } from '../lib/trend.js';
import Plot from '../vendor/uplot/uplot.mjs';
import { html, useEffect, useRef } from './html.js';

const HEIGHT = 180;

/** The sheet of the library, once. */
function style() {
  if (document.querySelector('link[data-chart]')) return;
  const link = document.createElement('link');
  link.rel = 'stylesheet';
  link.href = '/vendor/uplot/uplot.css';
  link.dataset.chart = '';
  document.head.append(link);
}

/** What a token's colour is now: a canvas knows no custom properties. */
function colours(box) {
  const probe = document.createElement('span');
  box.append(probe);
  const of = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const all = Object.fromEntries(['ink', 'faint', 'line', 'passed', 'failed', 'running', 'gone'].map((name) => [name, of(name)]));
  probe.remove();
  return all;
}

/** Marks each job with the shape of its state, so that colour is not all. */
function marks(jobs, colour) {
  const shapes = new Map();
  const shape = (state) => {
    if (!shapes.has(state)) shapes.set(state, new Path2D((STATES[state] ?? STATES.lost).path));
    return shapes.get(state);
  };
  return (plot) => {
    const { ctx } = plot;
    const scale = devicePixelRatio;
    // Where they stand too close, only what is not well is marked.
    const crowded = jobs.length * 14 > plot.bbox.width / scale;
    jobs.forEach((job, i) => {
      const value = plot.data[1][i];
      if (value == null || (crowded && job.state === 'passed')) return;
      const size = crowded ? 0.55 : 0.75;
      ctx.save();
      ctx.translate(plot.valToPos(i, 'x', true), plot.valToPos(value, 'y', true));
      ctx.scale(size * scale, size * scale);
      ctx.translate(-8, -8);
      ctx.lineWidth = 2.2;
      ctx.strokeStyle = job.state === 'passed' ? colour.passed : job.state === 'cancelled' ? colour.gone : colour.failed;
      ctx.stroke(shape(job.state));
      ctx.restore();
    });
  };
}

/** @returns {any} the library's options */
function options({ width, jobs, colour, label, values, range, hooks, pick }) {
  const axis = {
    stroke: colour.faint,
    grid: { stroke: colour.line, width: 1 },
    ticks: { show: false },
    font: '12px system-ui, sans-serif',
  };
  // A number of the axis is a job; its label is when that was.
  const day = (job) => new Date(job.submitted).toLocaleDateString([], { month: 'short', day: 'numeric' });
  // A day is named once; after that, the time of day tells more.
  const when = (i, at, marks) => {
    const job = jobs[i];
    if (!job) return '';
    const before = jobs[marks[at - 1]];
    return before && day(before) === day(job) ? clock(job.submitted) : day(job);
  };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 8 } },
    scales: { x: { time: false, range: () => [-0.5, jobs.length - 0.5] }, y: { range } },
    axes: [
      { ...axis, space: 64, incrs: [1, 2, 5, 10, 20, 50, 100], values: (_, marks) => marks.map(when) },
      { ...axis, size: 64, values: (_, marks) => marks.map(values) },
    ],
    series: [{}, { label, stroke: colour.running, width: 1.5, points: { show: false }, spanGaps: true }],
    hooks: { ...hooks, ready: [pick] },
  };
}

/** Both charts, as wide as their place. A click on a job opens it. */
export function Chart({ jobs, go }) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const words = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const place = box.current;
    if (!place) return undefined;
    style();
    /** @type {any[]} */
    let plots = [];
    const draw = () => {
      for (const plot of plots) plot.destroy();
      const colour = colours(place);
      const { jobs: ended, number, seconds, share } = columns(jobs);
      const width = Math.max(200, place.clientWidth);
      const pick = (plot) => {
        plot.over.addEventListener('click', () => {
          const job = ended[plot.cursor.idx];
          if (job) go(jobPath(job.id));
        });
      };
      const tell = (plot) => {
        const job = ended[plot.cursor.idx];
        if (!words.current) return;
        words.current.textContent = job
          ? [moment(job.submitted), job.state, duration(job.duration), `${Math.round(share[plot.cursor.idx] ?? 0)} % of ten passed`].join(
              ' · ',
            )
          : ' ';
      };
      const common = { width, jobs: ended, colour, pick };
      plots = [
        new Plot(
          options({
            ...common,
            label: 'seconds',
            values: (value) => (value < 0 ? '' : duration(value * 1000)),
            range: (_, __, most) => [0, Math.max(most * 1.15, 0.001)],
            hooks: { draw: [marks(ended, colour)], setCursor: [tell] },
          }),
          [number, seconds],
          place,
        ),
        new Plot(
          options({ ...common, label: 'passed', values: (value) => `${value} %`, range: () => [0, 105], hooks: { setCursor: [tell] } }),
          [number, share],
          place,
        ),
      ];
    };
    draw();
    // Another width or another theme is another drawing.
    const size = new ResizeObserver(([entry]) => plots[0] && Math.abs(entry.contentRect.width - plots[0].width) > 1 && draw());
    size.observe(place);
    const theme = new MutationObserver(draw);
    theme.observe(document.documentElement, { attributeFilter: ['data-theme'] });
    const system = matchMedia('(prefers-color-scheme: dark)');
    system.addEventListener('change', draw);
    return () => {
      size.disconnect();
      theme.disconnect();
      system.removeEventListener('change', draw);
      for (const plot of plots) plot.destroy();
    };
  }, [jobs]);
  return html`<div class="chart">
    <div ref=${box} role="img" aria-label="How long the jobs took, and how many of the last ten passed; the table below has the numbers" />
    <p class="faint num" ref=${words}> </p>
  </div>`;
}
