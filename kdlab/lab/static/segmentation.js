// Chapter 4's panel of segmentation: a test tile, its true mask and those of the networks; students trained at a press.

const SEG_POSITION = { temperature: "seg_temperature", alpha: "seg_alpha", labelled: "seg_labelled" };
const decimals = (x) => x.toFixed(2);
const withEnds = ([value, low, high]) => `${decimals(value)} (${decimals(low)} to ${decimals(high)})`;

// A class's colour with its texture, so that no one has to tell colours apart: full, striped, dotted. `x`, `y` in pixels of the canvas.
const INKS = [
  { full: [0, 114, 178], on: () => true, texture: "full" },
  { full: [213, 94, 0], pale: [255, 228, 204], on: (x, y) => (x + y) % 6 < 3, texture: "striped" },
  { full: [0, 120, 88], pale: [186, 231, 217], on: (x, y) => x % 4 < 2 && y % 4 < 2, texture: "dotted" },
];
const ZOOM = 4;

// A map of classes (0 none, 1 + class) as a picture; `outlined`, another map, whose nuclei get a thin dark line.
function classCanvas(classes, width, words, outlined) {
  const height = classes.length / width;
  const canvas = el("canvas", { width: ZOOM * width, height: ZOOM * height, class: "kd-mask", ...(words ? { role: "img", "aria-label": words } : { "aria-hidden": "true" }) });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(ZOOM * width, ZOOM * height);
  for (let y = 0; y < ZOOM * height; y += 1) {
    for (let x = 0; x < ZOOM * width; x += 1) {
      const ink = INKS[classes[Math.floor(y / ZOOM) * width + Math.floor(x / ZOOM)] - 1];
      picture.data.set([...(ink ? (ink.on(x, y) ? ink.full : ink.pale) : [250, 250, 250]), 255], 4 * (y * ZOOM * width + x));
    }
  }
  context.putImageData(picture, 0, 0);
  if (!outlined) return canvas;
  context.fillStyle = "#1c2733";
  for (let i = 0; i < outlined.length; i += 1) {
    const [r, c] = [Math.floor(i / width), i % width];
    if (c + 1 < width && outlined[i] !== outlined[i + 1]) context.fillRect(ZOOM * (c + 1) - 1, ZOOM * r, 1.5, ZOOM);
    if (r + 1 < height && outlined[i] !== outlined[i + width]) context.fillRect(ZOOM * c, ZOOM * (r + 1) - 1, ZOOM, 1.5);
  }
  return canvas;
}

const shareOf = (classes, k) => classes.reduce((n, value) => n + (value === k), 0) / classes.length;
// Mean Dice in one tile, of the classes that its labels have.
function tileDice(map, truth) {
  const present = [1, 2, 3].filter((k) => truth.includes(k));
  const each = present.map((k) => {
    let both = 0, sizes = 0;
    for (let i = 0; i < truth.length; i += 1) { both += map[i] === k && truth[i] === k; sizes += (map[i] === k) + (truth[i] === k); }
    return (2 * both) / sizes;
  });
  return each.reduce((a, b) => a + b, 0) / each.length;
}

// Dice of each class and the mean, a row per network in each, with its interval.
function diceChart(title, names, networks) {
  const width = 560, left = 152, right = 16, step = 17, gap = 16, top = 6;
  const kinds = Object.keys(NETWORK).filter((kind) => networks[kind]?.dice);
  const block = step * kinds.length + gap, height = top + block * names.length + 24;
  const px = (value) => left + value * (width - left - right);
  const ticks = [0, 0.2, 0.4, 0.6, 0.8, 1];
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "kd-chart kd-dice", role: "img" }, svg("title", {}, title),
    ticks.map((t) => [
      svg("line", { class: "kd-grid", x1: px(t), x2: px(t), y1: top, y2: height - 24 }),
      svg("text", { x: px(t), y: height - 6, "text-anchor": "middle" }, `${t}`),
    ]).flat(),
    names.map((name, c) => [
      svg("text", { x: left - 12, y: top + block * c + (block - gap) / 2 + gap / 2 + 5, "text-anchor": "end" }, name),
      kinds.map((kind, k) => {
        const [value, low, high] = networks[kind].dice[c];
        const y = top + block * c + gap / 2 + step * (k + 0.5);
        return [
          svg("line", { x1: px(low), x2: px(high), y1: y, y2: y, stroke: `var(--kd-${NETWORK[kind].colour})`, "stroke-width": 3 }),
          svg("path", { d: MARKS[kind](px(value), y), fill: `var(--kd-${NETWORK[kind].colour})`, class: "kd-dot", "data-value": value }),
        ];
      }),
    ]).flat(3));
}
const networkLegend = (networks) => el("ul", { class: "kd-legend" }, Object.entries(NETWORK).filter(([kind]) => networks[kind]?.dice).map(([kind, look]) =>
  el("li", {}, svg("svg", { viewBox: "-9 -9 18 18", width: 18, height: 18, "aria-hidden": "true" }, svg("path", { d: MARKS[kind](0, 0), fill: `var(--kd-${look.colour})` })), look.label)));

const SEG_VERDICTS = {
  better: ["yes", "Yes: on these tiles the distilled students are better."],
  worse: ["no", "No: on these tiles the distilled students are worse."],
  "not told apart": ["open", "Not told apart on these tiles."],
};

function renderSegmentation(model, store) {
  const { images, classes, side, small, places, tested } = model.get("tiles");
  const [pixels, truths] = [bytesOf(images), bytesOf(classes)];
  const names = model.get("class_names");
  const picture = (i, words) => mapCanvas(pixels.subarray(3 * side * side * i, 3 * side * side * (i + 1)), [side, side], words);
  const mapOf = (bytes, i) => bytes.subarray(small * small * i, small * small * (i + 1));
  const inWords = (map) => names.map((name, c) => `${name} ${share(shareOf(map, c + 1))}`).join(", ");
  const rule = (name) => store.rules[name];
  const control = (label, name, step) => numberControl({
    label, min: rule(name).min, max: rule(name).max, step, scale: LOGARITHMIC, accepts: rule(name).accepts,
    accept: (value) => isPositive(value, rule(name)), read: () => store.get(name), write: (value) => store.set({ [name]: value }),
  });
  const labelled = model.get("labelled"), seeds = model.get("seeds");
  const labels = choice(store, "Labels", "seg_labelled", Object.entries(labelled).map(([name, count]) => [name, `of ${name === "all" ? "all " : ""}${count} training tiles`]));
  const note = el("p", { class: "kd-expect" }, `The teacher learnt from all labels. A distilled student sees the teacher’s answers on all ${labelled.all} tiles, with labels or without.`);
  const controls = [labels, note, control("Temperature T", "seg_temperature", 0.01), control("Alpha α", "seg_alpha", 0.01)];
  const here = () => Object.fromEntries(Object.entries(SEG_POSITION).map(([name, rule]) => [name, store.get(rule)]));
  const computing = () => model.get("status") === "computing";
  const training = () => computing() && asked;
  let asked = false;
  const start = button("", () => {
    const stop = training();
    asked = true;
    ask(model, stop ? { stop: true } : here());
  });
  const bar = el("progress", { max: 1, value: 0, "aria-label": "part of the training that is done" });
  const chosen = places.map((place, i) => el("button", {
    type: "button", class: "kd-digit", "data-rove": true, tabindex: i ? -1 : 0, "aria-label": `tile ${i + 1}, ${place}`, onclick: () => store.set({ seg_tile: i }),
  }, picture(i)));
  const grid = el("div", { class: "kd-tiles", role: "group", "aria-label": "Test tiles" }, chosen);
  rove(grid, () => Math.max(1, Math.floor(grid.clientWidth / 96)));
  const legend = el("ul", { class: "kd-legend" }, names.map((name, c) => el("li", {}, classCanvas(new Uint8Array(24).fill(c + 1), 8), `${name} (${INKS[c].texture})`)));
  const seen = el("div", { class: "kd-masks" }), seenWords = el("p", { class: "kd-summary", role: "status" });
  const verdict = el("p", { class: "kd-verdict" }), summary = el("p", { class: "kd-summary", role: "status" });
  const table = plainTable("Dice of each network"), chart = el("div"), curves = el("div");
  table.hidden = true;
  const status = statusLine(model, {
    idle: () => {
      const { done, total, seconds } = model.get("result");
      if (!done) return "This takes a minute or two.";
      return done === total ? `What was new was trained in ${seconds.toFixed(0)} s.` : `Stopped after ${share(done / total)} of the training: there is no verdict on half-trained students.`;
    },
    computing: () => {
      const { done, total, seconds, networks } = model.get("result");
      if (done && done < total) return `Training … ${share(done / total)}, ${seconds.toFixed(0)} s.`;
      if (networks) return "Training: preparing the first batches …";
      return "Loading TensorFlow and the teacher; the first time this takes some seconds …";
    },
  });
  const line = madeFor(model, store, [], [verdict, summary, table, chart, curves], (made) => `labels of ${labelled[made.labelled]} tiles, T = ${plain(made.temperature)}, α = ${plain(made.alpha)}`,
    (r) => Object.entries(here()).every(([name, value]) => r.position[name] === value));
  const drawTile = () => {
    const i = store.get("seg_tile"), truth = mapOf(truths, i), networks = model.get("result").networks ?? {};
    chosen.forEach((one, k) => one.setAttribute("aria-pressed", String(k === i)));
    const known = Object.entries(NETWORK).filter(([kind]) => networks[kind]).map(([kind, { label }]) => ({ label, map: mapOf(bytesOf(networks[kind].maps), i), done: networks[kind].dice }));
    const figure = (title, canvas) => el("figure", { class: "kd-figure" }, el("figcaption", {}, title), canvas);
    seen.replaceChildren(
      figure("tissue", picture(i, `tissue of tile ${i + 1}`)),
      figure("labels", classCanvas(truth, small, `labels of tile ${i + 1}: ${inWords(truth)}`)),
      ...known.map(({ label, map, done }) => figure(done ? label : `${label} …`, classCanvas(map, small, `${label}: ${inWords(map)}`, truth))));
    seenWords.textContent = `Tile ${i + 1} (${places[i]}): by its labels ${inWords(truth)} of the tile. ` +
      (known.length ? `Dice in this tile, mean of the classes it has: ${known.map(({ label, map }) => `${label} ${decimals(tileDice(map, truth))}`).join(", ")}. The thin lines are the outlines of the labels.${known.length > 1 ? " Of students, the one trained last of each kind is shown." : ""}` : "");
  };
  const draw = () => {
    start.textContent = training() ? "■ Stop" : `Train ${seeds} students of each kind`;
    const r = model.get("result");
    bar.hidden = !training();
    bar.value = r.done && training() ? r.done / r.total : 0;
    drawTile();
    if (!r.networks) return;
    const measured = Object.entries(NETWORK).filter(([kind]) => r.networks[kind]?.dice);
    table.hidden = false;
    table.fill({
      caption: `Dice on the ${tested} test tiles, of students the mean of ${seeds}; in brackets the 95 % interval by bootstrap: tiles drawn anew`,
      heads: ["network", "parameters", ...names, "mean"],
      rows: measured.map(([kind, { label }]) => [label, r.networks[kind].parameters.toLocaleString("en"), ...r.networks[kind].dice.map(withEnds)]),
    });
    chart.replaceChildren(el("h3", {}, `Dice on the ${tested} test tiles`), diceChart(`Dice of each class and their mean, with 95 % intervals: ${measured.map(([kind, { label }]) => `${label} ${decimals(r.networks[kind].dice.at(-1)[0])}`).join(", ")} on the mean`, [...names, "mean"], r.networks), networkLegend(r.networks));
    if (!r.done) return;
    const learning = Object.entries(NETWORK).filter(([kind]) => r.networks[kind]?.curves);
    curves.replaceChildren(lineChart({
      title: "Dice on the validation tiles while they learn: a line is a student", x: model.get("steps"), withCursor: false, xLabel: "batches", yLabel: "mean Dice", height: 220, yMin: 0, yMax: 1,
      series: learning.flatMap(([kind, { label, colour, dash }]) => r.networks[kind].curves.map((values, k) => ({ values, colour, dash, label: k ? undefined : label, thin: k > 0 }))),
    }));
    verdict.textContent = summary.textContent = "";
    if (!r.differences) return;
    const mean = r.differences.at(-1);
    const agree = r.pairs.every((one) => Math.sign(one) === Math.sign(mean.mean));
    const [tone, sentence] = agree ? SEG_VERDICTS[mean.verdict] : ["open", "Not told apart: one pair says this, another that."];
    verdict.className = `kd-verdict kd-${tone}`;
    verdict.textContent = sentence;
    summary.textContent = `Mean Dice of the distilled students minus that of those alone: ${thousandths(mean.mean)}, 95 % interval ${thousandths(mean.low)} to ${thousandths(mean.high)} by drawing the test tiles anew. ` +
      `Pair by pair, from the same beginnings: ${r.pairs.map(thousandths).join(", ")}. What the beginning does, the interval does not know: where pairs disagree, nothing is told.`;
  };
  model.on("change:result change:status", draw);
  const root = el("div", {},
    warning(), el("h3", { class: "kd-next" }, "Choose a tile of the test region"), grid, seen, legend, seenWords,
    el("div", { class: "kd-split kd-live kd-next-part" },
      el("div", {}, controls, start, bar, status, verdict, summary, line),
      el("div", {}, chart, el("div", { class: "kd-next-part" }, curves))),
    table);
  draw();
  return [root, follow(store, ["seg_tile", ...Object.values(SEG_POSITION)], root, (changed) => {
    for (const one of controls) one.draw?.();
    line.draw();
    if (changed.includes("seg_tile")) drawTile();
    if (!model.get("result").networks && !asked && !computing()) ask(model, { look: true });
  }, true)];
}

export default chapterPanels({ segmentation: renderSegmentation });
