// What every panel shares: elements, numbers in words, the page's store with its URL, controls, and the kernel's answers.
// Python puts this file and charts.js before the panel's own and hands them to anywidget as one ES module.

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

// ---- numbers in words ----
// A probability, however small.
const percent = (p) => {
  const value = 100 * p;
  if (value === 0) return "0 %";
  if (value >= 99.995 && value < 100) return "> 99.99 %";
  if (value < 0.0001) return "≈ 0 %";
  return `${value >= 9.95 ? value.toFixed(1) : Number(value.toPrecision(2))} %`;
};
// Three digits; more where these would make 0.9999 a false 1.
const plain = (x) => {
  if (Math.abs(x) >= 1e4 || (x !== 0 && Math.abs(x) < 1e-3)) return x.toExponential(1);
  let digits = 3;
  while (digits < 10 && Math.abs(x) < 10 && Number.isInteger(Number(x.toPrecision(digits))) && !Number.isInteger(x)) digits += 1;
  return String(Number(x.toPrecision(digits)));
};
// An accuracy (0 to 1) in per cent; all and nothing only where it is all or nothing.
const share = (x) => {
  if (x < 1 && x >= 0.9995) return "> 99.9 %";
  if (x > 0 && x < 0.0005) return "< 0.1 %";
  return `${(100 * x).toFixed(1)} %`;
};
// One decimal and always a sign; `points` says a difference of accuracies (−1 to 1) so.
const signed = (x) => {
  const rounded = Math.round(10 * x) / 10;
  return `${rounded < 0 ? "−" : "+"}${Math.abs(rounded).toFixed(1)}`;
};
const points = (x) => signed(100 * x);
// [mean, low, high] of an accuracy; one that does not vary has no interval to show, and none goes beyond 0 and 1.
const interval = ([mean, low, high]) =>
  (low === high ? share(mean) : `${share(mean)} (${share(Math.max(low, 0))} to ${share(Math.min(high, 1))})`);

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

// Calls `draw(changed)` now and at every change of the named values: at once while `root` is on the screen or in use, else when
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
    if (seen || root.contains(document.activeElement)) return flush();
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

// How a slider's positions become values, and back. RATIO is for a weight w beside 1 − w: its middle is 0.5, a step
// multiplies w / (1 − w), and the two ends are 0 and 1.
const LINEAR = { toSlider: (value) => value, fromSlider: (place) => place };
const LOGARITHMIC = { toSlider: Math.log10, fromSlider: (place) => Number((10 ** place).toPrecision(3)) };
const RATIO_END = 3.05;
const RATIO = {
  toSlider: (weight) => (weight <= 0 ? -RATIO_END : weight >= 1 ? RATIO_END : Math.min(Math.max(Math.log10(weight / (1 - weight)), -3), 3)),
  fromSlider: (place) => {
    if (Math.abs(place) > 3.01) return place > 0 ? 1 : 0;
    const lesser = Number((1 / (1 + 10 ** Math.abs(place))).toPrecision(2));
    return place > 0 ? Number((1 - lesser).toFixed(5)) : lesser;
  },
};

// A number as a slider and as a box for typing; what is not accepted is said beside it and changes nothing.
function numberControl({ label, min, max, step, scale = LINEAR, accepts, accept, format = plain, read, write }) {
  const id = unique("number");
  const { toSlider, fromSlider } = scale;
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
    label: "Temperature T", min: 0.1, max: 100, step: 0.01, scale: LOGARITHMIC,
    accepts: store.rules.temperature.accepts, accept: (value) => isPositive(value, store.rules.temperature),
    read: () => store.get("temperature"), write: (temperature) => store.set({ temperature }),
  });

const alphaControl = (store) =>
  numberControl({
    label: "Alpha α", min: 0, max: 1, step: 0.01, accepts: store.rules.alpha.accepts,
    accept: (value) => value >= 0 && value <= 1, read: () => store.get("alpha"), write: (alpha) => store.set({ alpha }),
  });

// A choice among `options`, pairs of [value, text]; `write` gets the value as text.
function choiceControl(label, options, read, write) {
  const id = unique("choice");
  const select = el("select", { id, class: "kd-box", onchange: () => write(select.value) },
    options.map(([value, text]) => el("option", { value }, text)));
  const control = el("div", { class: "kd-control kd-choice-control" }, el("label", { for: id }, label), select);
  control.draw = () => { select.value = String(read()); };
  return control;
}

const button = (text, onclick) => el("button", { type: "button", class: "kd-button", onclick }, text);

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

// ---- what the kernel trains: the model has `request`, `result`, `status` and `message` (Python: WorkingPanel) ----
const pick = (store, names) => Object.fromEntries(names.map((name) => [name, store.get(name)]));

// Sends a request; the kernel works on the latest and passes over those in between.
function ask(model, request) {
  model.set("request", { ...request, counter: (ask.counter = (ask.counter ?? 0) + 1) });
  model.save_changes();
}

// A line that says what the kernel is doing: `words.idle()`, `words.computing()`, or in its own words what failed.
function statusLine(model, words) {
  const line = el("p", { class: "kd-status", role: "status" });
  const draw = () => {
    const status = model.get("status"), view = Object.keys(model.get("result") ?? {}).length > 0;
    line.dataset.status = status;
    line.textContent = { idle: words.idle(), computing: words.computing(), failed: `This did not work: ${model.get("message")}.${view ? " The last good view stays." : ""}` }[status] ?? "";
  };
  model.on("change:status change:message change:result", draw);
  draw();
  return line;
}

// A line that says which position the shown result was made for (`words`; the result carries it as `position`), and
// dims `parts` while the store's `names` are elsewhere, or `fresh(result)` is false. Its `draw` belongs into what
// follows the store. Half a second passes first: in a drag fresh results keep coming, and nothing flickers.
function madeFor(model, store, names, parts, words, fresh = () => true) {
  const line = el("p", { class: "kd-order kd-made" });
  let timer = null;
  const say = (stale) => {
    line.dataset.stale = stale;
    line.textContent = `Made for ${words(model.get("result").position)}${stale ? "; the controls have moved on." : "."}`;
    for (const part of parts) part.classList.toggle("kd-stale", stale);
  };
  line.draw = () => {
    const made = model.get("result").position;
    if (!made) return;
    const stale = !fresh(model.get("result")) || names.some((name) => JSON.stringify(made[name]) !== JSON.stringify(store.get(name)));
    if (!stale) { clearTimeout(timer); timer = null; }
    else timer ??= setTimeout(say, 500, true);
    say(stale && line.dataset.stale === "true");
  };
  model.on("change:result", () => { clearTimeout(timer); timer = null; line.draw(); });
  line.draw();
  return line;
}
