// The browser's part of the lab: what must move at 60 frames a second, needs a pointer, or only the browser knows.
// A module for all of our widgets; `kind` says which one a model is.

const inDashboard = () => document.body.dataset.voila === "voila";

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const button = (text, onclick) => element("button", { type: "button", className: "kdlab-button", onclick }, text);

// A dashboard that is being left has given up its kernel already.
let left = false;
addEventListener("beforeunload", () => (left = inDashboard()));

function tell(model, changes) {
  if (left || Object.entries(changes).every(([name, value]) => model.get(name) === value)) return;
  model.set(changes);
  model.save_changes();
}

const pngUrl = (bytes) => URL.createObjectURL(new Blob([bytes], { type: "image/png" }));

// ---- softened bars: softmax(logits / temperature), as a table of bars

function softmax(logits, temperature) {
  const largest = Math.max(...logits);
  const powers = logits.map((z) => Math.exp((z - largest) / temperature));
  const total = powers.reduce((sum, power) => sum + power);
  return powers.map((power) => power / total);
}

const percent = (p) => `${100 * p >= 0.001 || p === 0 ? (100 * p).toPrecision(3) : (100 * p).toExponential(0)} %`;

function renderBars({ model, el }) {
  const table = el.appendChild(element("table", { className: "kdlab-bars" }));
  let cells = [];
  let heading;
  let drawn = 0;

  function fill(column, probabilities) {
    probabilities.forEach((p, row) => {
      const cell = cells[row][column];
      cell.style.setProperty("--share", `${100 * p}%`);
      cell.textContent = percent(p);
      cell.dataset.value = p;
    });
  }

  function build() {
    const label = model.get("label");
    const names = model.get("classes");
    heading = element("th", { scope: "col" });
    const heads = ["class", ...(label < 0 ? [] : ["hard label"]), "T = 1"].map((text) => element("th", { scope: "col" }, text));
    cells = names.map(() => heads.map(() => element("td")));
    const rows = names.map((name, row) => element("tr", {}, element("th", { scope: "row" }, name), ...cells[row]));
    const caption = element("caption", { className: "kdlab-hidden" }, model.get("description"));
    table.replaceChildren(caption, element("thead", {}, element("tr", {}, ...heads, heading)), element("tbody", {}, ...rows));
    rows.forEach((row, k) => row.classList.toggle("kdlab-true", k === label));
    const logits = model.get("logits");
    if (label >= 0) fill(0, logits.map((_, k) => Number(k === label)));
    fill(heads.length - 2, softmax(logits, 1));
    soften();
  }

  function soften() {
    const temperature = model.get("temperature");
    heading.textContent = `T = ${Number(temperature.toPrecision(3))}`;
    fill(cells[0].length - 1, softmax(model.get("logits"), temperature));
    el.dataset.drawn = ++drawn;
  }

  model.on("change:temperature", soften);
  model.on("change:logits change:label change:classes", build);
  build();
}

// ---- grid of buttons with pictures or numbers, one of them chosen: Tab enters it, arrow keys, Home and End move

function renderGrid({ model, el }) {
  const grid = el.appendChild(element("div", { className: "kdlab-cells" }));
  grid.setAttribute("role", "group");
  let buttons = [];
  let urls = [];

  const enterAt = (place) => buttons.forEach((button, k) => (button.tabIndex = k === place ? 0 : -1));
  const heading = (text) => element("span", {}, text);

  function build() {
    const [columns, rows] = [model.get("column_labels"), model.get("row_labels")];
    const across = model.get("columns") || "auto-fill";
    const least = model.get("columns") ? 0 : 40;
    grid.style.gridTemplateColumns = `${rows.length ? "auto " : ""}repeat(${across}, minmax(${least}px, 1fr))`;
    grid.setAttribute("aria-label", model.get("description"));
    buttons = model.get("labels").map((_, k) => element("button", { type: "button", onclick: () => tell(model, { value: k }) }));
    const withRow = (button, k) => (rows.length && k % across === 0 ? [heading(rows[k / across]), button] : [button]);
    const corner = rows.length ? [model.get("corner")] : [];
    const top = columns.length ? [...corner, ...columns].map(heading) : [];
    grid.replaceChildren(...top, ...buttons.flatMap(withRow));
    fill();
  }

  function fill() {
    const get = (name, k) => model.get(name)[k];
    if (model.get("labels").length !== buttons.length) return build();
    urls.forEach(URL.revokeObjectURL);
    urls = model.get("images").map(pngUrl);
    buttons.forEach((button, k) => {
      button.title = get("labels", k);
      button.setAttribute("aria-label", get("labels", k));
      button.style.background = get("colours", k) ?? "";
      button.style.color = get("inks", k) ?? "";
      if (urls[k]) button.replaceChildren(element("img", { src: urls[k], alt: "" }));
      else button.textContent = get("texts", k) ?? "";
    });
    choose();
  }

  function choose() {
    const value = model.get("value") ?? -1;
    buttons.forEach((button, k) => button.setAttribute("aria-pressed", k === value));
    if (!grid.contains(document.activeElement)) enterAt(Math.max(value, 0));
  }

  grid.onkeydown = (event) => {
    const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
    const across = columns - (model.get("row_labels").length ? 1 : 0);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const wanted = buttons.indexOf(event.target) + steps[event.key];
    const place = event.key.startsWith("Arrow") ? wanted : Math.min(Math.max(wanted, 0), buttons.length - 1);
    if (!buttons[place]) return;
    enterAt(place);
    buttons[place].focus();
  };

  model.on("change:value", choose);
  for (const name of ["labels", "texts", "colours", "images"]) model.on(`change:${name}`, fill);
  build();
  return () => urls.forEach(URL.revokeObjectURL);
}

// ---- drawing pad: `side` × `side` ink values from 0 to 1, by pointer or by keyboard

function renderPad({ model, el }) {
  const side = model.get("side");
  const scale = Math.round(384 / side);
  const pen = Math.max(0.75, side / 15); // its radius, in cells
  const stride = Math.max(1, Math.round(side / 16));
  const canvas = el.appendChild(element("canvas", { width: side * scale, height: side * scale, tabIndex: 0, className: "kdlab-ink" }));
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${model.get("description")}: arrow keys move, space draws, delete clears`);
  const clear = el.appendChild(element("button", { type: "button", className: "kdlab-button" }, "Clear"));
  const context = canvas.getContext("2d");
  let [row, column] = [side >> 1, side >> 1];
  let last;
  let timer;

  const ink = () => Array.from({ length: side * side }, (_, k) => model.get("value")[k] ?? 0);

  function draw() {
    ink().forEach((value, k) => {
      context.fillStyle = `rgb(${Array(3).fill(Math.round(255 * (1 - value))).join()})`;
      context.fillRect((k % side) * scale, Math.floor(k / side) * scale, scale, scale);
    });
    if (document.activeElement === canvas) {
      context.strokeStyle = "#d55e00";
      context.lineWidth = 2;
      context.strokeRect(column * scale + 1, row * scale + 1, scale - 2, scale - 2);
    }
  }

  function keep(values) {
    model.set("value", values);
    draw();
    clearTimeout(timer);
    timer = setTimeout(() => model.save_changes(), 60);
  }

  // Every cell gets as much ink as its centre is near.
  function dab(x, y) {
    keep(ink().map((value, k) => Math.max(value, Math.min(1, pen + 0.5 - Math.hypot(x - (k % side) - 0.5, y - Math.floor(k / side) - 0.5)))));
  }

  function stroke(event) {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [((event.clientX - box.left) / box.width) * side, ((event.clientY - box.top) / box.height) * side];
    const [fromX, fromY] = last ?? [x, y];
    const steps = Math.ceil(2 * Math.hypot(x - fromX, y - fromY)) || 1;
    for (let k = 1; k <= steps; k++) dab(fromX + ((x - fromX) * k) / steps, fromY + ((y - fromY) * k) / steps);
    last = [x, y];
  }

  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    stroke(event);
  };
  canvas.onpointermove = (event) => event.buttons && stroke(event);
  canvas.onpointerup = () => (last = undefined);
  canvas.onkeydown = (event) => {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (event.key in steps) {
      row = Math.min(Math.max(row + stride * steps[event.key][0], 0), side - 1);
      column = Math.min(Math.max(column + stride * steps[event.key][1], 0), side - 1);
      draw();
    } else if (event.key === " ") dab(column + 0.5, row + 0.5);
    else if (event.key === "Delete" || event.key === "Backspace") keep([]);
    else return;
    event.preventDefault();
  };
  canvas.onfocus = draw;
  canvas.onblur = draw;
  clear.onclick = () => keep([]);
  model.on("change:value", draw);
  draw();
}

// ---- figure view: the kernel's PNG, with its words for those who do not see it

function renderFigure({ model, el }) {
  const image = el.appendChild(new Image());
  let drawn = 0;
  const draw = () => {
    const bytes = model.get("png");
    if (!bytes?.byteLength) return;
    const old = image.src;
    image.src = pngUrl(bytes);
    image.alt = model.get("description");
    image.style.width = `${model.get("width")}px`;
    image.onload = () => {
      if (old) URL.revokeObjectURL(old);
      el.dataset.drawn = ++drawn;
    };
  };
  model.on("change:png", draw);
  model.on("change:description", () => (image.alt = model.get("description")));
  draw();
  return () => URL.revokeObjectURL(image.src);
}

const AGAIN = "To make it live again, run the notebook: menu Run, Run All Cells.";

// A notebook that was saved with its widgets and reopened has their models, but no kernel that knows of them.
async function isLive(model) {
  const code = await model.widget_manager.get_model(model.get("_code").replace("IPY_MODEL_", ""));
  return code.comm_live;
}

// ---- state of a panel: what it is doing, and what only the browser knows of it

// A panel is visible while any of its views is: JupyterLab shows it twice on demand, and removes it when its cell is run again.
const onScreen = (globalThis.kdlabOnScreen ??= new Map());

function see(model, view, seen) {
  const views = onScreen.get(model.get("key")) ?? new Set();
  views[seen ? "add" : "delete"](view);
  if (views.size) onScreen.set(model.get("key"), views);
  else onScreen.delete(model.get("key"));
  tell(model, { visible: views.size > 0 });
}

function renderState({ model, el }) {
  const status = el.appendChild(element("p"));
  status.setAttribute("role", "status");
  let [live, was] = [true, "Shown as it was saved."];
  const say = () => {
    const state = live ? model.get("state") : "idle";
    status.textContent = live ? model.get("message") : `${was} ${AGAIN}`;
    status.dataset.state = state;
    el.closest(".kdlab-panel")?.classList.toggle("kdlab-stale", model.get("stale"));
  };
  model.on("change:state change:message change:stale", say);
  say();
  const look = () => isLive(model).then((now) => {
    if (now) was = "Its kernel was restarted or has stopped.";
    live = now;
    say();
  });
  model.on("comm_live_update", look);
  look();
  let seen;
  let sized;
  const touched = ({ target }) => tell(model, { hand: Boolean(el.closest(".kdlab-panel")?.contains(target)) });
  // The panel around this widget is there only after it: ask for it when this one is laid out.
  const attached = new ResizeObserver(() => {
    const panel = el.closest(".kdlab-panel");
    if (!panel || seen) return;
    seen = new IntersectionObserver((entries) => see(model, el, entries.at(-1).isIntersecting));
    seen.observe(panel);
    sized = new ResizeObserver(() => el.clientWidth && tell(model, { available: el.clientWidth, ratio: devicePixelRatio * (el.currentCSSZoom ?? 1) }));
    sized.observe(el);
    say();
  });
  attached.observe(el);
  // To be printed, a panel counts as seen; afterwards it is looked for again.
  const printing = ({ detail }) => {
    if (detail) return see(model, el, true);
    const panel = el.closest(".kdlab-panel");
    seen?.unobserve(panel);
    seen?.observe(panel);
  };
  document.addEventListener("kdlab-print", printing);
  for (const event of ["pointerdown", "focusin"]) document.addEventListener(event, touched, true);
  return () => {
    for (const observer of [attached, seen, sized]) observer?.disconnect();
    see(model, el, false);
    document.removeEventListener("kdlab-print", printing);
    for (const event of ["pointerdown", "focusin"]) document.removeEventListener(event, touched, true);
  };
}

// ---- page: values in the URL and answers in the browser's store (under Voila), a link to copy, answers to download

function query(model) {
  const wanted = new URLSearchParams(location.search);
  for (const [name, text] of Object.entries(model.get("values"))) {
    if (text === null) wanted.delete(name);
    else wanted.set(name, text);
  }
  return wanted;
}

const address = (wanted) => location.pathname + (wanted.size ? `?${wanted}` : "") + location.hash;

const pageName = () => decodeURIComponent(location.pathname).match(/([^/]+)\.ipynb/)?.[1] ?? "notebook";

// The store may be full or forbidden: then nothing is kept.
function stored(key, value) {
  try {
    if (value === undefined) return JSON.parse(localStorage.getItem(key));
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    return null;
  }
}

function renderAnswers(model) {
  const who = element("input", { type: "text", value: stored("kdlab name") ?? "", placeholder: "your name", ariaLabel: "Your name" });
  who.onchange = () => stored("kdlab name", who.value);
  const save = () => {
    const answers = Object.entries(model.get("answers")).map(([question, entry]) => ({ question, ...entry }));
    const about = { program: "kdlab", version: model.get("version"), page: pageName(), name: who.value.trim() };
    const content = JSON.stringify({ ...about, time: new Date().toISOString(), answers }, null, 1);
    const href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
    element("a", { href, download: `${pageName()} answers.json` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 10000);
  };
  const forget = () => tell(model, { answers: {} });
  const said = element("span");
  const box = element("div", { className: "kdlab-answers" }, said, who, button("Download my answers", save), button("Forget them", forget));
  const count = () => {
    const given = Object.values(model.get("answers"));
    box.hidden = !given.length;
    const kept = inDashboard() ? " This browser keeps them." : "";
    said.textContent = `Answered on this page: ${given.length}, of them correct: ${given.filter((entry) => entry.correct).length}.${kept}`;
  };
  model.on("change:answers", count);
  count();
  return box;
}

function startPage({ model }) {
  if (!inDashboard()) return;
  const key = `kdlab answers ${location.pathname}`;
  tell(model, { answers: { ...stored(key), ...model.get("answers") } });
  model.on("change:answers", () => stored(key, model.get("answers")));
  // Answered in another tab.
  addEventListener("storage", (event) => event.key === key && tell(model, { answers: stored(key) ?? {} }));
  let timer;
  model.on("change:values", () => {
    clearTimeout(timer);
    timer = setTimeout(() => history.replaceState(history.state, "", address(query(model))), 200);
  });
  tell(model, { asked: location.search });
}

function renderPage({ model, el }) {
  const notes = element("p");
  notes.setAttribute("role", "status");
  const note = () => (notes.textContent = model.get("notes"));
  model.on("change:notes", note);
  note();
  el.append(notes, renderAnswers(model));
  if (!inDashboard()) return;
  const copy = async () => {
    const wanted = query(model);
    wanted.delete("token");
    const link = location.origin + address(wanted);
    try {
      await navigator.clipboard.writeText(link);
      notes.textContent = "The link is copied.";
    } catch {
      // There is no clipboard on a page that came over plain http from another machine.
      notes.textContent = `The link: ${link}`;
    }
  };
  const print = async ({ target }) => {
    target.disabled = true;
    notes.textContent = "Every panel is computed first …";
    await everyPanel();
    notes.textContent = "";
    globalThis.print();
    document.documentElement.classList.remove("kdlab-printing");
    document.dispatchEvent(new CustomEvent("kdlab-print", { detail: false }));
    target.disabled = false;
  };
  el.append(button("Copy a link to these values", copy), " ", button("Print this page", print));
}

// ---- print: all panels are laid out and computed, not only those on the screen

async function everyPanel() {
  document.documentElement.classList.add("kdlab-printing");
  const busy = ".kdlab-panel:not(:has([data-state=failed])) .kdlab-empty, [data-state=computing]";
  for (let quiet = 0; quiet < 5; quiet++) {
    document.dispatchEvent(new CustomEvent("kdlab-print", { detail: true }));
    await new Promise((resolve) => setTimeout(resolve, 200));
    if (document.querySelector(busy)) quiet = -1;
  }
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
}

// ---- names of slider handles: noUiSlider gives them none, and a logarithmic one reads out its exponent

let named = 0;

function nameHandle(handle) {
  const slider = handle.closest(".widget-slider");
  const label = slider?.querySelector(".widget-label");
  const readout = slider?.querySelector(".widget-readout");
  if (!label) return;
  label.id ||= `kdlab-label-${++named}`;
  if (handle.getAttribute("aria-labelledby") !== label.id) handle.setAttribute("aria-labelledby", label.id);
  const said = readout?.textContent;
  if (said && handle.getAttribute("aria-valuetext") !== said) handle.setAttribute("aria-valuetext", said);
}

function nameHandles() {
  if (globalThis.kdlabNames) return;
  const nameAll = () => document.querySelectorAll(".noUi-handle").forEach(nameHandle);
  globalThis.kdlabNames = new MutationObserver((changes) => {
    if (changes.some((change) => change.type === "childList")) nameAll();
    else changes.forEach((change) => change.target.matches(".noUi-handle") && nameHandle(change.target));
  });
  const watched = { subtree: true, childList: true, attributes: true, attributeFilter: ["aria-valuetext"] };
  globalThis.kdlabNames.observe(document.body, watched);
  nameAll();
}

const widgets = {
  bars: { render: renderBars },
  grid: { render: renderGrid },
  pad: { render: renderPad },
  figure: { render: renderFigure },
  state: { render: renderState },
  page: { render: renderPage, initialize: startPage },
};

// Those widgets wait for it: each of them only says so, and this module is sent to the page once.
globalThis.kdlab ??= {};
globalThis.kdlab.ready ??= new Promise((resolve) => (globalThis.kdlab.load = resolve));
globalThis.kdlab.load({
  initialize(context) {
    nameHandles();
    widgets[context.model.get("kind")].initialize?.(context);
  },
  render(context) {
    context.el.dataset.kdlab = context.model.get("kind");
    context.el.classList.add("kdlab-widget");
    return widgets[context.model.get("kind")].render(context);
  },
});

export default {};
