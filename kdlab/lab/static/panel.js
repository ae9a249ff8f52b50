// What every panel shares: elements, the page's store with its URL, sliders, thumbnails, the softened bars, line charts.
// Python puts this file before the panel's own and hands both to anywidget as one ES module.

// ---- elements ----
const SVG = "http://www.w3.org/2000/svg";

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}
const el = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

const percent = (p) => {
  const value = 100 * p;
  if (value === 0) return "0 %";
  if (value >= 99.995 && value < 100) return "> 99.99 %";
  if (value < 0.0001) return "≈ 0 %";
  return `${value >= 9.95 ? value.toFixed(1) : Number(value.toPrecision(2))} %`;
};
const plain = (x) => (Math.abs(x) >= 1e4 || (x !== 0 && Math.abs(x) < 1e-3) ? x.toExponential(1) : String(Number(x.toPrecision(3))));

// ---- the page's store: one set of values per page, shared by its panels, kept in the URL of a dashboard ----
const isPositive = (value, rule) => Number.isFinite(value) && value > 0 && value >= (rule.min ?? 0) && value <= (rule.max ?? Infinity);
const READERS = {
  positive: (text, rule) => (text.trim() !== "" && isPositive(Number(text), rule) ? Number(text) : null),
  fraction: (text) => (text.trim() !== "" && Number(text) >= 0 && Number(text) <= 1 ? Number(text) : null),
  integer: (text, rule) => (/^-?\d+$/.test(text) && Number(text) >= rule.min && Number(text) <= rule.max ? Number(text) : null),
  choice: (text, rule) => rule.choices.find((choice) => String(choice) === text) ?? null,
  vector: (text, rule) => {
    const numbers = text.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)));
    return numbers.length === rule.length && numbers.every(Number.isFinite) ? numbers : null;
  },
};

class PageStore extends EventTarget {
  constructor(rules) {
    super();
    this.rules = rules;
    this.values = {};
    this.notes = [];
    this.inUrl = document.body.dataset.voila === "voila";
    const query = new URLSearchParams(this.inUrl ? location.search : "");
    for (const [name, rule] of Object.entries(rules)) {
      this.values[name] = rule.default;
      if (!query.has(rule.key)) continue;
      const value = READERS[rule.kind](query.get(rule.key), rule);
      if (value === null) {
        const asked = query.get(rule.key);
        const shown = asked.length > 40 ? `${asked.slice(0, 39)}…` : asked;
        this.notes.push(`The link asks for ${rule.key} = “${shown}”; accepted is ${rule.accepts}. The page shows its default instead.`);
      } else this.values[name] = value;
    }
  }
  get(name) { return this.values[name]; }
  set(changes, from) {
    const changed = Object.keys(changes).filter((name) => JSON.stringify(changes[name]) !== JSON.stringify(this.values[name]));
    if (!changed.length) return;
    Object.assign(this.values, changes);
    this.dispatchEvent(new CustomEvent("change", { detail: { changed, from } }));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.writeUrl(), 200);
  }
  writeUrl() {
    if (!this.inUrl) return;
    const query = new URLSearchParams(location.search);
    for (const [name, rule] of Object.entries(this.rules)) {
      if (JSON.stringify(this.values[name]) === JSON.stringify(rule.default)) query.delete(rule.key);
      else query.set(rule.key, Array.isArray(this.values[name]) ? this.values[name].join(",") : this.values[name]);
    }
    const text = query.toString().replaceAll("%2C", ",");
    history.replaceState(history.state, "", text ? `?${text}${location.hash}` : location.pathname + location.hash);
  }
}

function pageStore(model) {
  const stores = (globalThis.kdlabStores ??= new Map());
  const id = model.get("page_id");
  if (!stores.has(id)) stores.set(id, new PageStore(model.get("rules")));
  return stores.get(id);
}

// Calls `draw(changed)` now and at every change of the named values: at once while `root` is on the screen, else when
// the hand rests, so that a drag pays for what can be seen. With `trains`, drawing means training: then only once it
// is on the screen. Returns what undoes it.
function follow(store, names, root, draw, trains = false) {
  let seen = !trains, timer;
  let waiting = new Set(trains ? names : []);
  const flush = () => {
    clearTimeout(timer);
    if (!waiting.size) return;
    const changed = [...waiting];
    waiting = new Set();
    draw(changed);
  };
  const watch = new IntersectionObserver((entries) => {
    seen = entries.at(-1).isIntersecting;
    if (seen) flush();
  });
  watch.observe(root);
  const listener = (event) => {
    for (const name of event.detail.changed) if (names.includes(name)) waiting.add(name);
    if (seen) return flush();
    clearTimeout(timer);
    if (!trains) timer = setTimeout(flush, 150);
  };
  store.addEventListener("change", listener);
  if (!trains) draw(names);
  return () => { store.removeEventListener("change", listener); watch.disconnect(); clearTimeout(timer); };
}

// Keeps the kernel's traits and the store in step; towards the kernel only when the hand rests.
function syncWithKernel(model, store, names) {
  let timer;
  const send = () => {
    for (const name of names) model.set(name, store.get(name));
    model.save_changes();
  };
  const toKernel = (event) => {
    if (event.detail.from === "kernel") return;
    clearTimeout(timer);
    timer = setTimeout(send, 150);
  };
  store.addEventListener("change", toKernel);
  // One name at a time: while `send` sets the first, the model still holds the old value of the second.
  const listeners = names.map((name) => [`change:${name}`, () => store.set({ [name]: model.get(name) }, "kernel")]);
  for (const [event, listener] of listeners) model.on(event, listener);
  send();
  return () => {
    store.removeEventListener("change", toKernel);
    for (const [event, listener] of listeners) model.off(event, listener);
  };
}

const linkNotes = (store) =>
  store.notes.length ? el("p", { class: "kd-message", role: "status" }, store.notes.join(" ")) : null;

// ---- controls ----
// Every panel is a module of its own, so the count is kept where all of them see it.
const unique = (stem) => `kd-${stem}-${(globalThis.kdlabSerial = (globalThis.kdlabSerial ?? 0) + 1)}`;

// A number as a slider and as a box for typing; what is not accepted is said beside it and changes nothing.
function numberControl({ label, min, max, step, logarithmic = false, accepts, accept, format = plain, read, write }) {
  const id = unique("number");
  const toSlider = logarithmic ? (value) => Math.log10(value) : (value) => value;
  const fromSlider = logarithmic ? (value) => Number((10 ** value).toPrecision(3)) : (value) => Number(value);
  const slider = el("input", {
    type: "range", id, min: toSlider(min), max: toSlider(max), step, class: "kd-slider",
    oninput: () => { message.textContent = ""; write(fromSlider(Number(slider.value))); },
  });
  const box = el("input", {
    type: "text", inputmode: "decimal", class: "kd-box", "aria-label": `${label}, typed`,
    onchange: () => {
      const value = box.value.trim() === "" ? NaN : Number(box.value.replace(",", "."));
      if (accept(value)) { message.textContent = ""; write(value); }
      else message.textContent = `${label} must be ${accepts}, got “${box.value}”. Still showing ${format(read())}.`;
    },
  });
  const message = el("span", { class: "kd-message kd-inline", role: "alert" });
  const control = el("div", { class: "kd-control" }, el("label", { for: id }, label), slider, box, message);
  control.draw = () => {
    slider.value = toSlider(Math.max(read(), min));  // the browser keeps it within the slider's own ends
    slider.setAttribute("aria-valuetext", `${label} ${format(read())}`);
    if (document.activeElement !== box || !message.textContent) box.value = format(read());
  };
  return control;
}

const temperatureControl = (store) =>
  numberControl({
    label: "Temperature T", min: 0.1, max: 100, step: 0.01, logarithmic: true,
    accepts: store.rules.temperature.accepts, accept: (value) => isPositive(value, store.rules.temperature),
    read: () => store.get("temperature"), write: (temperature) => store.set({ temperature }),
  });

// Arrow keys move among the buttons of a group; Tab enters and leaves it.
function rove(group, columns) {
  const buttons = () => [...group.querySelectorAll("button[data-rove]")];
  group.addEventListener("keydown", (event) => {
    const all = buttons();
    const at = all.indexOf(document.activeElement);
    const width = columns();
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + width, ArrowUp: at - width, Home: 0, End: all.length - 1 }[event.key];
    if (at < 0 || to === undefined || !all[to]) return;
    event.preventDefault();
    all[to].focus();
  });
  group.addEventListener("focusin", (event) => {
    for (const button of buttons()) button.tabIndex = button === event.target ? 0 : -1;
  });
}

// ---- pictures ----
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

// Round numbers from low to high, about four steps apart.
function niceTicks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((m) => m >= rough);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) ticks.push(Number((k * step).toPrecision(6)));
  return ticks;
}

// ---- line charts: x may be logarithmic; each series has a colour, a dash and a label at its end ----
function lineChart({ title, x, y, series, logarithmic = false, xLabel, yLabel, yMin, yMax, height = 260 }) {
  const width = 560, left = 78, right = 14, top = 14, bottom = 44;
  const toX = logarithmic ? Math.log10 : (value) => value;
  const [x0, x1] = [toX(x[0]), toX(x[x.length - 1])];
  const px = (value) => left + ((toX(value) - x0) / (x1 - x0)) * (width - left - right);
  const py = (value) => top + (1 - (value - yMin) / (yMax - yMin)) * (height - top - bottom);
  const xTicks = logarithmic ? [0.1, 1, 10, 100].filter((t) => t >= x[0] && t <= x[x.length - 1]) : niceTicks(x[0], x[x.length - 1]);
  const yTicks = niceTicks(yMin, yMax);
  const cursor = svg("line", { class: "kd-cursor", y1: top, y2: height - bottom });
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
      fill: "none", stroke: `var(--kd-${one.colour})`, "stroke-width": 3, "stroke-dasharray": one.dash,
      d: one.values.map((value, i) => `${i ? "L" : "M"}${px(x[i]).toFixed(1)} ${py(Math.min(Math.max(value, yMin), yMax)).toFixed(1)}`).join(""),
    })),
    cursor, dots);
  const legend = el("ul", { class: "kd-legend" }, series.map((one) => el("li", {},
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
