// What chapter 4's panels share: the three networks' looks, and pictures: field of view, confusion, ROC, intervals.

const NETWORK = {
  teacher: { label: "teacher", colour: "black" },
  alone: { label: "student alone", colour: "orange", dash: "9 5" },
  distilled: { label: "distilled student", colour: "blue", dash: "3 4" },
};
const SPLIT = { train: { label: "training", colour: "sky" }, validation: { label: "validation", colour: "orange" }, test: { label: "test", colour: "vermillion" } };
const warning = () => el("p", { class: "kd-clinical" }, el("strong", {}, "Not for clinical use."), " Networks this small, trained on so little tissue, decide about nobody.");
const thousandths = (x) => `${x < -0.0005 ? "−" : "+"}${Math.abs(x).toFixed(3)}`;  // of an area or of Dice, which are no percentages
const FIRST_TRAIN = "Train students in section 3 to see them beside the teacher.";

// The field of view with its bands of rows, each with a border of its own and a name beside it.
function slidePicture({ picture, bands }) {
  const side = 300, right = 96;
  return svg("svg", { viewBox: `0 0 ${side + right} ${side}`, class: "kd-chart kd-slide", role: "img" },
    svg("title", {}, `The field of view, and which rows of it are for ${bands.map(([, , split]) => SPLIT[split].label).join(", ")}, from top to bottom`),
    svg("image", { href: picture, x: 0, y: 0, width: side, height: side }),
    bands.map(([top, end, split]) => [
      svg("rect", { x: 1.5, y: side * top + 1.5, width: side - 3, height: side * (end - top) - 3, fill: "none", stroke: `var(--kd-${SPLIT[split].colour})`, "stroke-width": 3 }),
      svg("rect", { x: side + 2, y: side * top + 1.5, width: 7, height: side * (end - top) - 3, fill: `var(--kd-${SPLIT[split].colour})` }),
      svg("text", { x: side + 14, y: (side * (top + end)) / 2 + 5 }, SPLIT[split].label),
    ]).flat());
}

// Counts, the true class in the row, below the lines of a title; the diagonal is framed.
function confusionTable(title, names, counts) {
  const row = (values) => values.reduce((a, b) => a + b, 0);
  return el("table", { class: "kd-heat kd-confusion" }, el("caption", {}, title.map((line) => el("span", {}, line))),
    el("thead", {}, el("tr", {}, el("td", {}, "is \\ called"), names.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, counts.map((values, i) => el("tr", {}, el("th", { scope: "row" }, names[i]), values.map((value, j) => el("td", {
      class: i === j && "kd-tied", style: `--kd-strength: ${Math.round((66 * value) / row(values))}%`,
    }, `${value}`))))));
}

// Where `threshold` lies on a ROC curve: the last point whose own threshold is not below it.
function rocPoint(roc, threshold) {
  let at = 0;
  while (at + 1 < roc.thresholds.length && roc.thresholds[at + 1] >= threshold) at += 1;
  return { sensitivity: roc.sensitivity[at], specificity: 1 - roc.false_positive_rate[at] };
}

const MARKS = {
  teacher: (x, y) => `M${x} ${y - 8}l8 8l-8 8l-8 -8z`,
  alone: (x, y) => `M${x - 6} ${y - 6}h12v12h-12z`,
  distilled: (x, y) => `M${x - 7} ${y}a7 7 0 1 0 14 0a7 7 0 1 0 -14 0z`,
};
// ROC curves with a point on each; `move(threshold)` moves the points.
function rocChart(title, networks) {
  const size = 300, left = 52, top = 12, width = left + size + 14, height = top + size + 46;
  const px = (value) => (left + size * value).toFixed(1), py = (value) => (top + size * (1 - value)).toFixed(1);
  const shown = Object.entries(networks);
  const marks = shown.map(([name]) => svg("path", { fill: `var(--kd-${NETWORK[name].colour})`, stroke: "#fff", "stroke-width": 2, class: "kd-roc-mark", "data-network": name }));
  const steps = ({ false_positive_rate: x, sensitivity: y }) => x.map((value, i) => `${i ? "L" : "M"}${px(value)} ${py(y[i])}`).join("");
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "kd-chart kd-roc", role: "img" }, svg("title", {}, title),
    [0, 0.25, 0.5, 0.75, 1].map((t) => [
      svg("line", { class: "kd-grid", x1: px(t), x2: px(t), y1: py(0), y2: py(1) }), svg("line", { class: "kd-grid", x1: px(0), x2: px(1), y1: py(t), y2: py(t) }),
      svg("text", { x: px(t), y: top + size + 18, "text-anchor": "middle" }, `${t}`), svg("text", { x: left - 6, y: Number(py(t)) + 5, "text-anchor": "end" }, `${t}`),
    ]).flat(),
    svg("line", { x1: px(0), y1: py(0), x2: px(1), y2: py(1), stroke: "var(--kd-quiet)", "stroke-dasharray": "4 4" }),
    svg("text", { x: left + size / 2, y: height - 6, "text-anchor": "middle" }, "1 − specificity"),
    svg("text", { transform: `translate(14 ${top + size / 2}) rotate(-90)`, "text-anchor": "middle" }, "sensitivity"),
    shown.map(([name, { roc }]) => svg("path", { d: steps(roc), fill: "none", stroke: `var(--kd-${NETWORK[name].colour})`, "stroke-width": 2.5, "stroke-dasharray": NETWORK[name].dash })),
    marks);
  const legend = el("ul", { class: "kd-legend" }, shown.map(([name]) => el("li", {},
    svg("svg", { viewBox: "0 0 34 18", class: "kd-key kd-key-mark", "aria-hidden": "true" },
      svg("line", { x1: 0, x2: 34, y1: 9, y2: 9, stroke: `var(--kd-${NETWORK[name].colour})`, "stroke-width": 2.5, "stroke-dasharray": NETWORK[name].dash }),
      svg("path", { d: MARKS[name](17, 9), fill: `var(--kd-${NETWORK[name].colour})` })),
    NETWORK[name].label)));
  const chart = el("figure", { class: "kd-figure" }, picture, legend);
  chart.move = (threshold) => shown.forEach(([name, { roc }], i) => {
    const { sensitivity, specificity } = rocPoint(roc, threshold);
    marks[i].setAttribute("d", MARKS[name](Number(px(1 - specificity)), Number(py(sensitivity))));
  });
  return chart;
}

// Intervals [mean, low, high] (0 to 1), one below the other on one axis.
function intervalChart(title, rows) {
  const width = 560, left = 30, right = 30, top = 10, step = 56, height = top + step * rows.length + 34;
  const low = Math.min(...rows.map(({ values }) => values[1])), high = Math.max(...rows.map(({ values }) => values[2]));
  const room = Math.max(0.1 * (high - low), 1e-4), from = Math.max(0, low - room), to = Math.min(1, high + room);
  const px = (value) => left + ((value - from) / (to - from)) * (width - left - right);
  const ticks = niceTicks(100 * from, 100 * to);
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "kd-chart", role: "img" }, svg("title", {}, title),
    ticks.map((t) => [svg("line", { class: "kd-grid", x1: px(t / 100), x2: px(t / 100), y1: top, y2: height - 28 }), svg("text", { x: px(t / 100), y: height - 8, "text-anchor": "middle" }, `${plain(t)} %`)]).flat(),
    rows.map(({ label, colour, values: [mean, a, b] }, i) => {
      const y = top + step * i + 30;
      return [
        svg("text", { x: left, y: y - 12 }, label),
        svg("line", { x1: px(a), x2: px(b), y1: y, y2: y, stroke: `var(--kd-${colour})`, "stroke-width": 5 }),
        svg("circle", { cx: px(mean), cy: y, r: 7, fill: `var(--kd-${colour})`, stroke: "#fff", "stroke-width": 2 }),
      ];
    }).flat());
}
