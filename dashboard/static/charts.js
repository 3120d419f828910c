// The charts of the overview, drawn by uPlot from the tables below them. A table is what is shown in words, too;
// nothing here knows more than it.
"use strict";

const plots = new Map(); // by the chart's name: what is drawn, which outlives a refresh of the page
const WHOLE_STEPS = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat(); // nothing is counted in halves
const DASHES = [[], [8, 4], [2, 3]];

function read(table) {
  const start = Number(table.dataset.start), step = Number(table.dataset.step);
  const columns = [...table.tHead.rows[0].cells].map(() => []);
  for (const [index, row] of [...table.tBodies[0].rows].entries()) {
    const at = row.cells[0].dataset.at;
    columns[0].push(at ? Number(at) : start + index * step);
    for (let place = 1; place < columns.length; place++) {
      const text = row.cells[place].textContent.trim();
      columns[place].push(text === "" ? null : Number(text)); // a gap stays a gap
    }
  }
  return columns;
}

// days before months, as the server writes them
const language = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang;
const whole = new Intl.NumberFormat(language);
const short = new Intl.NumberFormat(language, { notation: "compact" });

function inWords(unit, value) {
  if (value == null) return "–";
  if (unit !== "ms") return whole.format(value);
  return value < 1000 ? `${whole.format(value)} ms` : `${whole.format(Math.round(value / 100) / 10)} s`;
}

function onAxis(unit, value) {
  return unit === "ms" ? inWords(unit, value) : short.format(value);
}

// Times in the person's zone, as everywhere on the pages.
function clocks(zone) {
  const day = new Intl.DateTimeFormat(language, { timeZone: zone, day: "numeric", month: "short" });
  const time = new Intl.DateTimeFormat(language, { timeZone: zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const whole = new Intl.DateTimeFormat(language, { timeZone: zone, dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
  return {
    ticks: (_plot, at, _axis, _space, step) => at.map((second, index) => {
      const moment = new Date(second * 1000);
      if (step >= 86400) return day.format(moment);
      const text = time.format(moment);
      return index === 0 && step >= 3600 || text === "00:00" ? `${text}\n${day.format(moment)}` : text;
    }),
    whole: (second) => second == null ? "–" : whole.format(new Date(second * 1000)),
  };
}

function style(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// A value between two gaps has no line: it gets a point.
function alone(plot, series) {
  const values = plot.data[series];
  return values.flatMap((value, at) => value != null && values[at - 1] == null && values[at + 1] == null ? [at] : []);
}

function options(place, table, width) {
  const colours = ["--rb-chart-1", "--rb-chart-2", "--rb-chart-3"].map(style);
  const { unit, zone } = place.dataset;
  const clock = clocks(zone);
  const grid = { stroke: style("--rb-line"), width: 1 }, text = style("--rb-quiet");
  const axis = { stroke: text, grid, ticks: grid, font: "12px system-ui, sans-serif" };
  const labels = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.replace(" (ms)", ""));
  return {
    width,
    height: 220,
    tzDate: (second) => uPlot.tzDate(new Date(second * 1000), zone),
    cursor: { drag: { x: true, y: false }, points: { size: 7 } },
    scales: { y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [
      { ...axis, values: clock.ticks },
      { ...axis, size: 64, incrs: WHOLE_STEPS, values: (_plot, at) => at.map((value) => onAxis(unit, value)) },
    ],
    legend: { markers: { width: 3, dash: (_plot, series) => ["solid", "dashed", "dotted"][series - 1] || "solid" } },
    series: labels.map((label, series) => series === 0
      ? { label, value: (_plot, second) => clock.whole(second) }
      : {
        label,
        stroke: colours[series - 1],
        width: 2,
        dash: DASHES[series - 1],
        spanGaps: false,
        points: { show: true, size: 5, filter: alone },
        value: (_plot, value) => inWords(unit, value),
      }),
    hooks: { setSelect: [], setScale: [(plot, key) => { if (key === "x") showWhole(place, plot); }] },
  };
}

function isZoomed(plot) {
  const at = plot.data[0], scale = plot.scales.x;
  return at.length > 1 && scale.min != null && (scale.min > at[0] || scale.max < at.at(-1));
}

// The way back from a zoom, also by keyboard. A double click does the same.
function showWhole(place, plot) {
  const button = plots.get(place.dataset.chart)?.button;
  if (button) button.hidden = !isZoomed(plot);
}

function draw(place) {
  const name = place.dataset.chart;
  const table = document.getElementById(`${name}-table`);
  const data = read(table);
  const known = plots.get(name);
  if (known) {
    place.append(known.plot.root, known.button);
    const keep = isZoomed(known.plot);
    known.plot.setData(data, !keep);
    known.place = place;
    watcher.observe(place);
    return;
  }
  const button = document.createElement("button");
  button.type = "button";
  button.className = "small secondary outline";
  button.textContent = place.dataset.whole;
  button.hidden = true;
  const plot = new uPlot(options(place, table, place.clientWidth || 600), data, place);
  button.addEventListener("click", () => plot.setData(plot.data, true));
  place.append(button);
  plots.set(name, { plot, button, place });
  watcher.observe(place);
}

const watcher = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const known = plots.get(target.dataset.chart);
    if (known?.place === target && contentRect.width > 0 && Math.abs(known.plot.width - contentRect.width) > 1) {
      known.plot.setSize({ width: Math.floor(contentRect.width), height: known.plot.height });
    }
  }
});

function drawAll(within) {
  for (const place of within.querySelectorAll("[data-chart]")) draw(place);
}

// Colours are drawn, not styled: another theme needs another drawing.
function redraw() {
  for (const [name, { plot, place }] of [...plots]) {
    plot.destroy();
    place.replaceChildren();
    plots.delete(name);
    draw(place);
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("ringback:fresh", (event) => drawAll(event.target));
drawAll(document);
