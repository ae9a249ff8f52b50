// What chapter 3's panels share: words, controls, and pictures: tied layers, similarities, numerals in a plane, maps.

// ---- words and controls ----
const VERDICTS = {
  better: ["yes", "Yes: features help here."],
  worse: ["no", "No: features hurt here."],
  "not told apart": ["open", "Not told apart from chance."],
};
const KINDS = {
  alone: { label: "no distillation", colour: "orange", dash: "9 5" },
  response: { label: "answers only", colour: "green", dash: "3 4" },
  features: { label: "with features", colour: "blue" },
};
const FIRST_TIME = "Loading TensorFlow and compiling; the first time this takes some seconds …";
const milliseconds = (seconds) => (seconds < 1 ? `${(1000 * seconds).toFixed(0)} ms` : `${seconds.toFixed(1)} s`);
const titleOf = (choices, name) => choices.find((choice) => choice.name === name)?.title ?? name;
const layerTitle = (name) => name.replace("_", " ");
const kindsOf = (students) => Object.entries(KINDS).map(([kind, look]) => ({ ...look, runs: students[kind].per_epoch, accuracy: students[kind].accuracy }));
const difference = (d) => `${points(d.mean)} points (95 % interval ${points(d.low)} to ${points(d.high)})`;
const VERBS = { better: "better", worse: "worse", "not told apart": "not told apart" };

const featureAlphaControl = (store, name = "feature_alpha") =>
  numberControl({
    label: "Features α_f", min: 0, max: 1, step: 0.05, scale: RATIO, accepts: store.rules[name].accepts,
    accept: (value) => value >= 0 && value <= 1, read: () => store.get(name), write: (value) => store.set({ [name]: value }),
  });
const choice = (store, label, name, options) => choiceControl(label, options, () => store.get(name), (value) => store.set({ [name]: value }));

// The module of an anywidget whose trait `panel` says which of `renderers` draws it; what is wrong with the link is said in the `first`.
const chapterPanels = (renderers, first = "live") => ({
  render({ model, el: host }) {
    const store = pageStore(model);
    const [root, undo] = renderers[model.get("panel")](model, store);
    host.classList.add("kd-panel");
    host.dataset.panel = model.get("panel");
    host.append(...[model.get("panel") === first ? linkNotes(store) : null, root].filter(Boolean));
    return undo;
  },
});

// ---- pictures ----
const CLASS_COLOURS = ["black", "blue", "vermillion", "green", "purple", "sky", "orange", "black", "blue", "vermillion"];

// Teacher above, student below, layer by layer; `ties` are pairs [teacher's index, student's] that a feature loss joins.
function tiesPicture({ teacher, student, ties, response, words }) {
  const width = 560, box = 122, tall = 54, top = 26, below = 150, height = below + tall + 26;
  const at = (i) => box / 2 + 2 + i * ((width - box - 4) / (teacher.length - 1));
  const row = (layers, y, name, tied) => [
    svg("text", { x: 2, y: y === top ? 17 : height - 5, class: "kd-box-title" }, name),
    layers.map(({ title, units }, i) => [
      i ? svg("line", { x1: at(i - 1) + box / 2, x2: at(i) - box / 2, y1: y + tall / 2, y2: y + tall / 2, stroke: "var(--kd-quiet)", "stroke-width": 2 }) : null,
      svg("rect", { x: at(i) - box / 2, y, width: box, height: tall, rx: 8, fill: tied.includes(i) ? "#e6f1f8" : "#fff", stroke: tied.includes(i) ? "var(--kd-blue)" : "#7a8794", "stroke-width": tied.includes(i) ? 3 : 1.5 }),
      svg("text", { x: at(i), y: y + 22, "text-anchor": "middle", class: "kd-box-title" }, title),
      svg("text", { x: at(i), y: y + 44, "text-anchor": "middle" }, units),
    ]),
  ];
  const tie = (i, j, colour, dash) => svg("line", {
    x1: at(i), y1: top + tall + 3, x2: at(j), y2: below - 3, stroke: `var(--kd-${colour})`, "stroke-width": 4, "stroke-dasharray": dash,
  });
  const last = teacher.length - 1;
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "kd-chart kd-ties", role: "img" }, svg("title", {}, words),
    [row(teacher, top, "teacher", ties.map(([i]) => i)), row(student, below, "student", ties.map(([, j]) => j))].flat(3).filter(Boolean),
    ties.map(([i, j]) => tie(i, j, "blue")), response ? tie(last, last, "orange", "7 5") : null);
}

// Similarities from 0 to 1 with their numbers, a row per teacher's layer; `marked` cells [row, column] are tied.
function heatmap({ title, rows, columns, corner, values, marked = [] }) {
  const tied = (i, j) => marked.some(([r, c]) => r === i && c === j);
  const table = el("table", { class: "kd-heat" },
    el("caption", {}, title),
    el("thead", {}, el("tr", {}, el("td", {}, corner), columns.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows.map((name, i) => el("tr", {}, el("th", { scope: "row" }, name), columns.map((_, j) => el("td", {
      class: tied(i, j) && "kd-tied", style: `--kd-strength: ${Math.round(66 * values[i][j])}%`,  // never so blue that dark numbers are hard to read
    }, values[i][j].toFixed(2), tied(i, j) ? el("span", { class: "kd-hidden" }, " tied") : null))))));
  return table;
}

// Points of the plane, each drawn as the digit it belongs to; `x` holds x and y in turn, `limits` is shared by the pictures compared.
function numerals({ title, x, labels, limits: [x0, x1, y0, y1] }) {
  const side = 240, margin = 12;
  const px = (value) => (margin + ((value - x0) / (x1 - x0)) * (side - 2 * margin)).toFixed(1);
  const py = (value) => (side - margin - ((value - y0) / (y1 - y0)) * (side - 2 * margin)).toFixed(1);
  return svg("svg", { viewBox: `0 0 ${side} ${side}`, class: "kd-chart kd-numerals", role: "img" }, svg("title", {}, title),
    svg("rect", { x: 1, y: 1, width: side - 2, height: side - 2, fill: "none", stroke: "var(--kd-line)" }),
    labels.map((label, i) => svg("text", {
      x: px(x[2 * i]), y: py(x[2 * i + 1]), style: `fill: var(--kd-${CLASS_COLOURS[label]})`, "text-anchor": "middle", "dominant-baseline": "central", class: label > 6 ? "kd-bold" : "",
    }, `${label}`)));
}

// A map (values from 0 to 255) on a canvas, in blue on white; or, with three values a pixel, an image in its colours.
// Without `words` it is a decoration.
function mapCanvas(bytes, [height, width], words) {
  const named = words ? { role: "img", "aria-label": words } : { "aria-hidden": "true" };
  const canvas = el("canvas", { width, height, class: "kd-pixels", ...named });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  const coloured = bytes.length === 3 * height * width;
  for (let i = 0; i < height * width; i += 1) {
    const v = bytes[i] / 255;
    const rgb = coloured ? bytes.subarray(3 * i, 3 * i + 3) : [255 - 255 * v, 255 - 141 * v, 255 - 77 * v];  // to the blue of panel.css
    picture.data.set([...rgb, 255], 4 * i);
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}
