// Pictures: thumbnails, softened bars, tables, line charts, trained networks on one accuracy axis, learning curves.

// The bytes of a trait, which come as a view of a message.
const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

// Grey pixels (0 ink-free to 255 full ink) on a canvas of `side` × `side`.
function thumbnail(pixels, side) {
  const canvas = el("canvas", { width: side, height: side, class: "kd-pixels", "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  pixels.forEach((ink, i) => image.data.set([255 - ink, 255 - ink, 255 - ink, 255], 4 * i));
  context.putImageData(image, 0, 0);
  return canvas;
}

// ---- mathematics, as kdlab.softening has it ----
function softmax(logits, temperature) {
  const largest = Math.max(...logits);
  const powers = logits.map((z) => Math.exp((z - largest) / temperature));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}
const entropyBits = (p) => -p.reduce((sum, value) => sum + (value > 0 ? value * Math.log2(value) : 0), 0) + 0;
const ranking = (values) => values.map((_, i) => i).sort((a, b) => values[b] - values[a] || a - b);

// ---- a table of bars: a row per class, a column per distribution ----
function barTable(names, columns, caption) {
  const header = columns.map(() => el("th", { scope: "col" }));
  const rows = names.map((name) => {
    const cells = columns.map((column) => el("td", {}, ...(column.bare
      ? [el("span", { class: "kd-number" })]
      : [el("span", { class: "kd-bar", style: `--kd-bar: var(--kd-${column.colour})` }), el("span", { class: "kd-number" })])));
    return el("tr", {}, el("th", { scope: "row" }, name), cells);
  });
  const foot = columns.map(() => el("td"));
  const table = el("table", { class: "kd-bars" },
    el("caption", { class: "kd-hidden" }, caption),
    el("colgroup", {}, el("col", { class: "kd-col-name" }), columns.map((column) => el("col", { class: column.bare ? "kd-col-bare" : "" }))),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "class"), header)),
    el("tbody", {}, rows),
    el("tfoot", {}, el("tr", {}, el("th", { scope: "row" }, el("abbr", { title: "entropy in bits" }, "H")), foot)));
  // `distributions`: per column {title, values, text(value)}; `marked`: the rows of class indices in bold.
  table.draw = (distributions, marked = []) => {
    distributions.forEach(({ title, values, text = percent, note }, c) => {
      header[c].textContent = title;
      rows.forEach((row, k) => {
        const cell = row.children[c + 1];
        cell.lastChild.textContent = text(values[k]);
        if (!columns[c].bare) {
          cell.firstChild.style.width = `${100 * values[k]}%`;
          cell.dataset.value = values[k];
        }
      });
      foot[c].textContent = note ?? (columns[c].bare ? "" : `${entropyBits(values).toFixed(2)} bits`);
    });
    rows.forEach((row, k) => row.classList.toggle("kd-marked", marked.includes(k)));
  };
  return table;
}

// A table in a frame that scrolls sideways, its caption above. `fill` draws it: `rows` are [name, ...cells],
// `attributes` what the rows get, and the caption may be `hidden`, for screen readers only.
function plainTable(label) {
  const title = el("p", { id: unique("caption"), class: "kd-caption" });
  const table = el("table", { class: "kd-plain", "aria-labelledby": title.id });
  const frame = el("div", { class: "kd-table" }, title, el("div", { class: "kd-scroll", tabindex: 0, role: "group", "aria-label": label }, table));
  frame.fill = ({ caption, hidden = false, heads, rows, attributes = [] }) => {
    title.textContent = caption;
    title.classList.toggle("kd-hidden", hidden);
    table.replaceChildren(
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map(([name, ...cells], i) => el("tr", attributes[i], el("th", { scope: "row" }, name), cells.map((cell) => el("td", {}, cell))))));
  };
  return frame;
}

// Round numbers from low to high, about four steps apart.
function niceTicks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((m) => m >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) ticks.push(Number((k * step).toPrecision(6)));
  return ticks;
}

// ---- line charts: x may be logarithmic; each series has a colour, a dash, and a label in the legend if it is to be there ----
function lineChart({ title, x, series, logarithmic = false, withCursor = true, xLabel, yLabel, yMin, yMax, height = 260 }) {
  const width = 560, left = 78, right = 14, top = 14, bottom = 44;
  const toX = logarithmic ? Math.log10 : (value) => value;
  const [x0, x1] = [toX(x[0]), toX(x[x.length - 1])];
  const px = (value) => left + ((toX(value) - x0) / (x1 - x0)) * (width - left - right);
  const py = (value) => top + (1 - (value - yMin) / (yMax - yMin)) * (height - top - bottom);
  const xTicks = logarithmic ? [0.1, 1, 10, 100].filter((t) => t >= x[0] && t <= x[x.length - 1]) : niceTicks(x[0], x[x.length - 1]);
  const yTicks = niceTicks(yMin, yMax);
  const cursor = withCursor && svg("line", { class: "kd-cursor", y1: top, y2: height - bottom });
  const dots = series.map((one) => svg("circle", { r: 5, fill: `var(--kd-${one.colour})`, class: "kd-dot" }));
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", class: "kd-chart" },
    svg("title", {}, title),
    xTicks.map((t) => [
      svg("line", { class: "kd-grid", x1: px(t), x2: px(t), y1: top, y2: height - bottom }),
      svg("text", { x: px(t), y: height - bottom + 18, "text-anchor": "middle" }, plain(t)),
    ]).flat(),
    yTicks.map((t) => [
      svg("line", { class: "kd-grid", x1: left, x2: width - right, y1: py(t), y2: py(t) }),
      svg("text", { x: left - 6, y: py(t) + 5, "text-anchor": "end" }, plain(t)),
    ]).flat(),
    svg("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, xLabel),
    svg("text", { class: "kd-axis", transform: `translate(13 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, yLabel),
    series.map((one) => svg("path", {
      fill: "none", stroke: `var(--kd-${one.colour})`, "stroke-width": one.thin ? 1.8 : 3, "stroke-dasharray": one.dash,
      d: one.values.map((value, i) => `${i ? "L" : "M"}${px(x[i]).toFixed(1)} ${py(Math.min(Math.max(value, yMin), yMax)).toFixed(1)}`).join(""),
    })),
    withCursor ? [cursor, dots].flat() : null);
  const legend = el("ul", { class: "kd-legend" }, series.filter((one) => one.label).map((one) => el("li", {},
    svg("svg", { viewBox: "0 0 34 10", class: "kd-key", "aria-hidden": "true" },
      svg("line", { x1: 0, x2: 34, y1: 5, y2: 5, stroke: `var(--kd-${one.colour})`, "stroke-width": 3, "stroke-dasharray": one.dash })),
    one.label)));
  const chart = el("figure", { class: "kd-figure" }, el("figcaption", {}, title), picture, legend);
  // Puts the cursor at x = value and returns each series' value there, interpolated between the computed points.
  chart.at = (value) => {
    const clamped = Math.min(Math.max(value, x[0]), x[x.length - 1]);
    let i = x.findIndex((t) => t >= clamped);
    if (i < 1) i = 1;
    const share = (toX(clamped) - toX(x[i - 1])) / (toX(x[i]) - toX(x[i - 1]));
    const values = series.map((one) => one.values[i - 1] + share * (one.values[i] - one.values[i - 1]));
    cursor.setAttribute("x1", px(clamped));
    cursor.setAttribute("x2", px(clamped));
    dots.forEach((dot, k) => { dot.setAttribute("cx", px(clamped)); dot.setAttribute("cy", py(Math.min(Math.max(values[k], yMin), yMax))); });
    return values;
  };
  return chart;
}

// Accuracy against confidence; a larger dot has more samples; null where a bin is empty.
function reliabilityChart(title, { confidence, correct, count: samples }, colour) {
  const at = (value) => 30 + 160 * value;
  const most = Math.max(...samples);
  return svg("svg", { viewBox: "0 0 210 230", class: "kd-chart kd-square", role: "img" }, svg("title", {}, title),
    svg("rect", { x: 30, y: 30, width: 160, height: 160, fill: "none", stroke: "var(--kd-line)" }),
    svg("line", { x1: 30, y1: 190, x2: 190, y2: 30, stroke: "var(--kd-quiet)", "stroke-dasharray": "4 4" }),
    svg("text", { x: 110, y: 212, "text-anchor": "middle" }, "confidence"), svg("text", { transform: "translate(18 110) rotate(-90)", "text-anchor": "middle" }, "accuracy"),
    [0, 1].map((end) => [
      svg("text", { x: at(end), y: 206, "text-anchor": "middle" }, `${end}`), svg("text", { x: 25, y: 224 - at(end), "text-anchor": "end" }, `${end}`),
    ]).flat(),
    confidence.map((value, i) => (value === null ? null
      : svg("circle", { cx: at(value), cy: 220 - at(correct[i]), r: 2 + 6 * Math.sqrt(samples[i] / most), fill: `var(--kd-${colour})`, opacity: 0.85 }))));
}

// ---- trained networks ----
// A kind of network is {label, colour, dash, runs, accuracy}: runs (seeds, epochs) of accuracies, accuracy [mean, low,
// high] after the last epoch.

// Each run is a dot, a row per kind with mean and, at the last epoch, 95 % interval; `teacher` {label, accuracy} a diamond.
function stripChart({ title, teacher, kinds, epoch }) {
  const width = 560, left = 158, right = 26, first = 34, step = 50, height = first + step * kinds.length + 52;
  const finals = [teacher.accuracy, ...kinds.flatMap((kind) => kind.runs.map((run) => run[run.length - 1]))];
  const low = Math.max(0, Math.floor((Math.min(...finals) - 0.02) * 20) / 20);
  const high = Math.min(1, Math.ceil((Math.max(...finals) + 0.005) * 20) / 20);
  const px = (value) => left + ((Math.min(Math.max(value, low), high) - low) / (high - low)) * (width - left - right);
  const body = kinds.map(({ label, colour, runs, accuracy }, k) => {
    const y = first + step * (k + 1);
    const now = runs.map((run) => run[Math.min(epoch, run.length - 1)]);  // kinds may differ in their epochs
    const last = epoch >= runs[0].length - 1;
    const [mean, from, to] = last ? accuracy : [now.reduce((a, b) => a + b, 0) / now.length, null, null];
    return [
      svg("text", { x: left - 12, y: y + 5, "text-anchor": "end" }, label),
      now.some((value) => value < low) ? svg("text", { x: left - 2, y: y + 5, "text-anchor": "start" }, "◂") : null,  // off the axis, in a replay
      now.map((value, i) => svg("circle", { cx: px(value), cy: y + 12 - (i % 5) * 6, r: 4, fill: `var(--kd-${colour})`, opacity: 0.75, class: "kd-run", "data-value": value })),
      last ? svg("line", { x1: px(from), x2: px(to), y1: y - 18, y2: y - 18, stroke: "var(--kd-text)", "stroke-width": 3 }) : null,
      svg("line", { x1: px(mean), x2: px(mean), y1: y - 24, y2: y + 18, stroke: "var(--kd-text)", "stroke-width": 2 }),
    ];
  });
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "kd-chart", role: "img" },
    svg("title", {}, title),
    niceTicks(low, high).map((t) => [
      svg("line", { class: "kd-grid", x1: px(t), x2: px(t), y1: 14, y2: height - 30 }),
      svg("text", { x: px(t), y: height - 12, "text-anchor": "middle" }, `${Number((100 * t).toFixed(1))} %`),
    ]).flat(),
    svg("text", { x: left - 12, y: first + 5, "text-anchor": "end" }, teacher.label),
    svg("path", { d: `M${px(teacher.accuracy)} ${first - 9}l9 9l-9 9l-9 -9z`, fill: "var(--kd-black)" }),
    body.flat(2).filter(Boolean));
}

// The mean accuracy of each kind after every epoch; `at(epoch)`, counted from 1, moves the cursor.
function learningCurves({ title, kinds }) {
  const mean = ({ runs }) => runs[0].map((_, e) => runs.reduce((sum, run) => sum + run[e], 0) / runs.length);
  const series = kinds.map((kind) => ({ ...kind, values: mean(kind) }));
  return lineChart({
    title, x: series[0].values.map((_, e) => e + 1), yMin: Math.max(0, Math.floor(10 * Math.min(...series.map((one) => one.values[0]))) / 10), yMax: 1,
    xLabel: "epoch", yLabel: "accuracy", height: 220, series,
  });
}

// The same while they still learn: a thin line is one run, as far as it has come.
function manyCurves({ title, epochs, kinds }) {
  const series = kinds.flatMap(({ label, runs, ...look }) => [
    { ...look, label, values: runs[0] ?? [], thin: true }, ...runs.slice(1).map((values) => ({ ...look, values, thin: true }))]);
  const least = Math.min(0.9, ...series.flatMap((one) => one.values));
  return lineChart({
    title, x: Array.from({ length: epochs }, (_, e) => e + 1), series, withCursor: false, xLabel: "epoch", yLabel: "accuracy", height: 240, yMin: Math.floor(10 * least) / 10, yMax: 1,
  });
}

// The epoch slider with its button that plays the training once more. The store's "epoch" is null at the end;
// `epochs()` says how many were trained, 0 before there are any. `at()` is the epoch to draw, counted from 0.
function replayControl(store, epochs) {
  let playing = null;
  const at = () => Math.min(store.get("epoch") ?? Infinity, epochs() || 30) - 1;
  const go = (epoch) => store.set({ epoch: epoch >= epochs() ? null : epoch });
  const slider = numberControl({
    label: "Epoch", min: 1, max: 30, step: 1, accepts: "one of the epochs just trained",
    accept: (value) => Number.isInteger(value) && value >= 1 && value <= epochs(),
    read: () => at() + 1, write: (value) => { stop(); if (epochs()) go(value); else slider.draw(); },
  });
  const stop = () => { clearInterval(playing); playing = null; play.textContent = "▶ Replay the training"; };
  const play = button("▶ Replay the training", () => {
    if (playing || !epochs()) return stop();
    play.textContent = "■ Stop";
    go(1);
    playing = setInterval(() => {
      go(at() + 2);
      if (store.get("epoch") === null) stop();
    }, Math.max(40, 2500 / epochs()));
  });
  const control = el("div", {}, slider, play);
  control.draw = () => {
    if (epochs()) slider.querySelector("input[type=range]").max = epochs();
    slider.draw();
  };
  return Object.assign(control, { at, stop });
}
