// Chapter 2's panels; `panel` says which. The students are trained by the kernel; this draws what comes back.

const POSITION = ["temperature", "alpha", "scenario", "width"];
const points = (x) => {
  const rounded = Math.round(1000 * x) / 10;
  return `${rounded < 0 ? "−" : "+"}${Math.abs(rounded).toFixed(1)}`;
};
const share = (x) => `${(100 * x).toFixed(1)} %`;
const VERDICTS = {
  better: ["yes", "Yes: distillation helps here."],
  worse: ["no", "No: distillation loses here."],
  "not told apart": ["open", "Not told apart from chance."],
};
const position = (store) => Object.fromEntries(POSITION.map((name) => [name, store.get(name)]));

const alphaControl = (store) =>
  numberControl({
    label: "Alpha α", min: 0, max: 1, step: 0.01, accepts: "a number from 0 to 1",
    accept: (value) => value >= 0 && value <= 1, read: () => store.get("alpha"), write: (alpha) => store.set({ alpha }),
  });

function choiceControl(label, options, read, write) {
  const id = unique("choice");
  const select = el("select", { id, class: "kd-box", onchange: () => write(select.value) },
    options.map(([value, text]) => el("option", { value }, text)));
  const control = el("div", { class: "kd-control kd-choice-control" }, el("label", { for: id }, label), select);
  control.draw = () => { select.value = String(read()); };
  return control;
}
const scenarioControl = (model, store) => choiceControl("Scenario",
  model.get("scenarios").map((s) => [s.name, s.title]), () => store.get("scenario"), (scenario) => store.set({ scenario }));

// A line that says what the kernel is doing: idle, computing or failed, in words.
function statusLine(model, words) {
  const line = el("p", { class: "kd-status", role: "status" });
  const draw = () => {
    const status = model.get("status");
    line.dataset.status = status;
    line.textContent = { idle: words.idle(), computing: words.computing(), failed: `This did not work: ${model.get("message")}. The last good view stays.` }[status] ?? "";
  };
  model.on("change:status change:message change:result", draw);
  draw();
  return line;
}

// Sends requests as they come: the kernel trains the latest and passes over the ones in between.
function ask(model, request) {
  model.set("request", { ...request, counter: (ask.counter = (ask.counter ?? 0) + 1) });
  model.save_changes();
}

// Ten students of each kind on one accuracy axis, with mean and 95 % interval; the teacher as a diamond.
function stripChart(result, epoch) {
  const width = 560, left = 158, right = 26, rows = [34, 84, 134], height = 186;
  const kinds = [["student alone", result.alone, "orange"], ["distilled", result.distilled, "blue"]];
  const finals = kinds.flatMap(([, kind]) => kind.per_epoch.map((run) => run[run.length - 1]));
  const low = Math.max(0, Math.floor((Math.min(...finals, result.teacher.accuracy) - 0.02) * 20) / 20);
  const high = Math.min(1, Math.ceil((Math.max(...finals, result.teacher.accuracy) + 0.005) * 20) / 20);
  const px = (value) => left + ((Math.min(Math.max(value, low), high) - low) / (high - low)) * (width - left - right);
  const teacher = px(result.teacher.accuracy);
  const body = kinds.map(([label, kind, colour], k) => {
    const y = rows[k + 1];
    const now = kind.per_epoch.map((run) => run[epoch]);
    const last = epoch === kind.per_epoch[0].length - 1;
    const [mean, from, to] = last ? kind.accuracy : [now.reduce((a, b) => a + b, 0) / now.length, null, null];
    return [
      svg("text", { x: left - 12, y: y + 5, "text-anchor": "end" }, label),
      now.some((value) => value < low) ? svg("text", { x: left - 2, y: y + 5, "text-anchor": "start" }, "◂") : null,  // off the axis, in a replay
      now.map((value, i) => svg("circle", { cx: px(value), cy: y + 12 - (i % 5) * 6, r: 4, fill: `var(--kd-${colour})`, opacity: 0.75, class: "kd-run", "data-value": value })),
      last ? svg("line", { x1: px(from), x2: px(to), y1: y - 18, y2: y - 18, stroke: "var(--kd-text)", "stroke-width": 3 }) : null,
      svg("line", { x1: px(mean), x2: px(mean), y1: y - 24, y2: y + 18, stroke: "var(--kd-text)", "stroke-width": 2 }),
    ];
  });
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "kd-chart", role: "img" },
    svg("title", {}, "Test accuracy of teacher, ten students alone and ten distilled students"),
    niceTicks(low, high).map((t) => [
      svg("line", { class: "kd-grid", x1: px(t), x2: px(t), y1: 14, y2: height - 30 }),
      svg("text", { x: px(t), y: height - 12, "text-anchor": "middle" }, `${Number((100 * t).toFixed(1))} %`),
    ]).flat(),
    svg("text", { x: left - 12, y: rows[0] + 5, "text-anchor": "end" }, result.teacher.count > 1 ? "ten teachers" : "teacher"),
    svg("path", { d: `M${teacher} ${rows[0] - 9}l9 9l-9 9l-9 -9z`, fill: "var(--kd-black)" }),
    body.flat(2).filter(Boolean));
}

const meanCurve = (kind) => kind.per_epoch[0].map((_, e) => kind.per_epoch.reduce((sum, run) => sum + run[e], 0) / kind.per_epoch.length);

// Panel 1: who is who.
function renderModels(model, store) {
  const table = el("table", { class: "kd-plain" });
  const status = statusLine(model, {
    idle: () => (model.get("result").alone ? "All of them were trained just now, on this machine." : ""),
    computing: () => (model.get("result").alone ? "Training …" : "Loading TensorFlow and training the teacher; the first time this takes some seconds …"),
  });
  const draw = () => {
    const r = model.get("result");
    if (!r.alone) return;
    const row = (name, shape, kind, accuracy, time) => el("tr", {}, el("th", { scope: "row" }, name),
      [shape, kind.parameters.toLocaleString("en"), accuracy, time].map((cell) => el("td", {}, cell)));
    const students = (kind) => `${share(kind.accuracy[0])} (${share(kind.accuracy[1])} to ${share(kind.accuracy[2])})`;
    const layers = `64-${r.position.width}-10`;
    table.replaceChildren(
      el("caption", { class: "kd-hidden" }, "Teacher, student alone and distilled student"),
      el("thead", {}, el("tr", {}, ["", "layers", "weights", "test accuracy", "training time"].map((h) => el("th", { scope: "col" }, h)))),
      el("tbody", {},
        row(r.teacher.count > 1 ? "ten teachers" : "teacher", "64-256-256-10", r.teacher, share(r.teacher.accuracy), `${r.teacher.seconds.toFixed(1)} s`),
        row("student alone", layers, r.alone, students(r.alone), "the same"),
        row("distilled student", layers, r.distilled, students(r.distilled), `${(1000 * r.seconds).toFixed(0)} ms for ten`)));
  };
  model.on("change:result", draw);
  draw();
  return [el("div", {}, status, el("div", { class: "kd-scroll", tabindex: 0, role: "group", "aria-label": "table" }, table)), () => {}];
}

// Panel 2: the sliders.
function renderLive(model, store) {
  const pixels = new Uint8Array(model.get("image_bytes").buffer.slice(model.get("image_bytes").byteOffset));
  const image = (i) => pixels.subarray(64 * i, 64 * i + 64);
  const scenario = scenarioControl(model, store);
  const width = choiceControl("Hidden units", model.get("widths").map((w) => [w, `${w}`]), () => store.get("width"), (w) => store.set({ width: Number(w) }));
  const [temperature, alpha] = [temperatureControl(store), alphaControl(store)];
  const expectation = el("p", { class: "kd-expect" });
  const verdict = el("p", { class: "kd-verdict" });
  const difference = el("p", { class: "kd-summary" });
  const status = statusLine(model, {
    idle: () => (model.get("result").alone ? `Ten students trained in ${(1000 * model.get("result").seconds).toFixed(0)} ms.` : ""),
    computing: () => (model.get("result").alone ? "Training ten students …" : "Loading TensorFlow and training the teacher; the first time this takes some seconds …"),
  });
  const strip = el("div", { class: "kd-strip" }), curves = el("div"), errors = el("div", { class: "kd-errors" }), bias = el("div");
  let epoch = null, playing = null, chart = null;
  const result = () => model.get("result");
  const epochs = () => result().distilled.per_epoch[0].length;
  const epochControl = numberControl({
    label: "Epoch", min: 1, max: 30, step: 1, accepts: "one of the epochs just trained",
    accept: (value) => result().alone && Number.isInteger(value) && value >= 1 && value <= epochs(),
    read: () => (epoch ?? (result().alone ? epochs() - 1 : 29)) + 1, write: (value) => { epoch = value - 1; stop(); drawEpoch(); },
  });
  const stop = () => { clearInterval(playing); playing = null; play.textContent = "▶ Replay the training"; };
  const play = el("button", { type: "button", class: "kd-button", onclick: () => {
    if (playing || !result().alone) return stop();
    epoch = 0;
    play.textContent = "■ Stop";
    playing = setInterval(() => {
      epoch += 1;
      if (epoch >= epochs() - 1) stop();
      drawEpoch();
    }, Math.max(40, 2500 / epochs()));
  } }, "▶ Replay the training");
  const drawEpoch = () => {
    if (!result().alone) return epochControl.draw();
    const last = epochs() - 1;
    if (epoch !== null && epoch >= last) epoch = null;
    epochControl.querySelector("input[type=range]").max = epochs();
    epochControl.draw();
    strip.replaceChildren(stripChart(result(), epoch ?? last));
    chart?.at((epoch ?? last) + 1);
  };
  const biasValue = { at: null, scenario: null };
  const biasSlider = el("input", { type: "range", class: "kd-slider", id: unique("bias"), oninput: () => { biasValue.at = Number(biasSlider.value); drawBias(); } });
  const biasText = el("p", { class: "kd-summary", role: "status" });
  const biasChosen = el("button", { type: "button", class: "kd-button", onclick: () => { biasValue.at = result().bias.distilled.chosen; drawBias(); } }, "Take the bias that is best on the validation set");
  bias.append(el("div", { class: "kd-control kd-choice-control" }, el("label", { for: biasSlider.id }, "Bias"), biasSlider), biasChosen, biasText);
  const drawBias = () => {
    const b = result().bias;
    bias.hidden = !b;
    if (biasValue.scenario !== result().position.scenario) Object.assign(biasValue, { at: null, scenario: result().position.scenario });
    if (!b) return;
    biasSlider.max = b.values.length - 1;
    biasValue.at ??= b.values.indexOf(0);
    biasSlider.value = biasValue.at;
    const i = biasValue.at;
    const value = points(b.values[i] / 100);
    biasSlider.setAttribute("aria-valuetext", `bias ${value}`);
    biasText.textContent = `With ${value} on the logit of class ${b.classes.join(" and ")}: the distilled students make ` +
      `${b.distilled.errors[i].toFixed(0)} errors on ${b.samples} test digits, ${b.distilled.class_errors[i].toFixed(0)} of them on the ${b.class_samples} of ` +
      `${b.classes.join(" and ")}; the students alone ${b.alone.errors[i].toFixed(0)}, ${b.alone.class_errors[i].toFixed(0)} of them there. Means of ten.`;
  };
  const drawResult = () => {
    const r = result();
    if (!r.alone) return;
    stop();
    epoch = null;
    const [tone, sentence] = VERDICTS[r.difference.verdict];
    verdict.className = `kd-verdict kd-${tone}`;
    verdict.textContent = sentence;
    const d = r.difference;
    const made = model.get("scenarios").find((s) => s.name === r.position.scenario).title;
    difference.textContent = `“${made}”, T = ${plain(r.position.temperature)}, α = ${plain(r.position.alpha)}: distilled minus alone, the same ten ` +
      `beginnings and batches, is ${points(d.mean)} points (95 % interval ${points(d.low)} to ${points(d.high)}).`;
    const [a, b] = [meanCurve(r.alone), meanCurve(r.distilled)];
    const low = Math.max(0, Math.floor(10 * Math.min(a[0], b[0])) / 10);
    chart = lineChart({
      title: "Test accuracy while they learn, mean of ten", x: b.map((_, e) => e + 1), yMin: low, yMax: 1, xLabel: "epoch", yLabel: "accuracy", height: 220,
      series: [{ label: "distilled", values: b, colour: "blue" }, { label: "student alone", values: a, colour: "orange", dash: "9 5" }],
    });
    curves.replaceChildren(chart);
    drawEpoch();
    drawBias();
    errors.replaceChildren(el("h3", {}, "Where they still err"), el("p", {}, "Students of ten that get the digit wrong, alone → distilled:"),
      el("ul", { class: "kd-grid-errors" }, r.errors.map((e) => el("li", {}, thumbnail(image(e.digit), 8), el("span", {}, `a ${e.label}`), el("span", {}, `${e.alone} → ${e.distilled}`)))));
  };
  model.on("change:result", drawResult);
  let asked;
  const draw = () => {
    for (const control of [scenario, width, temperature, alpha]) control.draw();
    expectation.textContent = model.get("scenarios").find((s) => s.name === store.get("scenario")).expectation;
    const wanted = JSON.stringify(position(store));
    if (wanted === asked) return;
    asked = wanted;
    ask(model, position(store));
  };
  const root = el("div", { class: "kd-split kd-live" },
    el("div", {}, scenario, expectation, width, temperature, alpha, status, verdict, difference, bias),
    el("div", {}, el("h3", {}, "Test accuracy: each dot is a student"), strip, curves, epochControl, play),
    errors);
  bias.hidden = true;
  drawResult();
  return [root, follow(store, POSITION, root, draw)];
}

// Panel 3: the landscape.
function renderLandscape(model, store) {
  const { temperatures, alphas, seeds } = model.get("axes");
  const total = temperatures.length * alphas.length * seeds;
  const start = el("button", { type: "button", class: "kd-button", onclick: () => {
    if (model.get("status") === "computing") ask(model, { stop: true });
    else ask(model, { scenario: store.get("scenario"), width: store.get("width") });
  } });
  const bar = el("progress", { max: total, value: 0, "aria-label": "students trained" });
  const cells = temperatures.map((t) => alphas.map((a) => el("button", {
    type: "button", class: "kd-cell", "data-rove": true, tabindex: -1, disabled: true, "aria-label": `T ${t}, alpha ${a}: not trained yet`, onclick: () => store.set({ temperature: t, alpha: a }),
  })));
  cells[0][0].tabIndex = 0;
  const body = el("tbody", {}, temperatures.map((t, r) => el("tr", {}, el("th", { scope: "row" }, `${t}`), cells[r].map((cell) => el("td", {}, cell)))));
  rove(body, () => alphas.length);
  const table = el("table", { class: "kd-matrix" },
    el("caption", {}, `Row: T. Column: α. Number: distilled minus alone in points of test accuracy, mean of ${seeds} pairs. Blue: distilled is better; orange: worse.`),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "T \\ α"), alphas.map((a) => el("th", { scope: "col" }, `${a}`)))), body);
  const summary = el("p", { class: "kd-summary", role: "status" });
  const status = statusLine(model, {
    idle: () => (model.get("result").done ? `${model.get("result").done} of ${total} students trained in ${model.get("result").seconds.toFixed(1)} s.` : ""),
    computing: () => `Training … ${model.get("result").done ?? 0} of ${total} students.`,
  });
  const draw = () => {
    const computing = model.get("status") === "computing";
    start.textContent = computing ? "■ Stop" : `Train ${total} students`;
    const r = model.get("result");
    bar.value = r.done ?? 0;
    bar.hidden = !computing;
    if (!r.differences) return;
    const known = r.differences.flat().filter((value) => value !== null);
    const most = Math.max(0.01, ...known.map(Math.abs));
    r.differences.forEach((row, i) => row.forEach((value, j) => {
      const cell = cells[i][j];
      cell.disabled = value === null;
      cell.textContent = value === null ? "" : points(value);
      const strength = value === null ? 0 : Math.abs(value) / most;
      cell.style.setProperty("--kd-strength", `${Math.round(100 * strength)}%`);
      cell.classList.toggle("kd-worse", value < 0);
      cell.classList.toggle("kd-strong", value > 0 && strength > 0.7);
      cell.setAttribute("aria-label", value === null ? `T ${temperatures[i]}, alpha ${alphas[j]}: not trained yet` : `T ${temperatures[i]}, alpha ${alphas[j]}: ${points(value)} points`);
    }));
    const made = model.get("scenarios").find((s) => s.name === r.scenario).title;
    const changed = r.scenario !== store.get("scenario") || r.width !== store.get("width");
    summary.textContent = `For “${made}”, ${r.width} hidden units.${changed ? " The sliders above now stand on another scenario or width: train again to see it." : ""} ` +
      "Choose a cell to set the sliders. With so many cells the best one is partly luck: look at regions, not at single cells.";
    mark();
  };
  const mark = () => cells.forEach((row, i) => row.forEach((cell, j) => cell.setAttribute("aria-pressed",
    String(temperatures[i] === store.get("temperature") && alphas[j] === store.get("alpha")))));
  model.on("change:result change:status", draw);
  draw();
  const root = el("div", {}, start, bar, status, el("div", { class: "kd-scroll", tabindex: 0, role: "group", "aria-label": "table" }, table), summary);
  return [root, follow(store, POSITION, root, () => { mark(); draw(); })];
}

// Panel 4: decision regions.
function renderRegions(model, store) {
  const shape = choiceControl("Data", model.get("shapes").map((s) => [s, s]), () => store.get("shape"), (value) => store.set({ shape: value }));
  const [temperature, alpha] = [temperatureControl(store), alphaControl(store)];
  const status = statusLine(model, { idle: () => "", computing: () => (model.get("result").x ? "Training …" : "Training the teacher and the first students …") });
  const maps = el("div", { class: "kd-maps" });
  const names = { teacher: "Teacher", alone: "Student alone", distilled: "Distilled student" };
  const drawResult = () => {
    const r = model.get("result");
    if (!r.x) return;
    const side = Math.sqrt(r.teacher.map.length);
    maps.replaceChildren(...Object.entries(names).map(([key, name]) => {
      const canvas = el("canvas", { width: side, height: side, class: "kd-pixels", "aria-hidden": "true" });
      const context = canvas.getContext("2d");
      const picture = context.createImageData(side, side);
      r[key].map.forEach((p, i) => {
        const [blue, orange] = [[0, 114, 178], [230, 159, 0]];
        const strength = Math.abs(2 * p - 1) * 0.6 + 0.12;
        const colour = (p > 0.5 ? blue : orange).map((c) => 255 - strength * (255 - c));
        picture.data.set([...colour, 255], 4 * i);
      });
      context.putImageData(picture, 0, 0);
      const dots = svg("svg", { viewBox: "0 0 100 100", class: "kd-overlay", "aria-hidden": "true" }, r.y.map((label, i) => label
        ? svg("circle", { cx: 100 * r.x[2 * i], cy: 100 * r.x[2 * i + 1], r: 2, fill: "#00507d", stroke: "#fff", "stroke-width": 0.5 })
        : svg("rect", { x: 100 * r.x[2 * i] - 2, y: 100 * r.x[2 * i + 1] - 2, width: 4, height: 4, fill: "#9a6a00", stroke: "#fff", "stroke-width": 0.5 })));
      return el("figure", { class: "kd-figure", role: "img", "aria-label": `${name}: test accuracy ${share(r[key].accuracy)}` },
        el("figcaption", {}, `${name}: ${share(r[key].accuracy)}`), el("div", { class: "kd-map" }, canvas, dots));
    }));
  };
  model.on("change:result", drawResult);
  const draw = () => {
    for (const control of [shape, temperature, alpha]) control.draw();
    ask(model, { shape: store.get("shape"), temperature: store.get("temperature"), alpha: store.get("alpha") });
  };
  const root = el("div", {}, shape, temperature, alpha, maps, status);
  drawResult();
  return [root, follow(store, ["shape", "temperature", "alpha"], root, draw, true)];
}

// Panel 5: draw a digit.
function renderDraw(model, store) {
  const side = 32;
  const ink = new Uint8Array(side * side);
  const canvas = el("canvas", { width: side, height: side, class: "kd-pixels kd-paper", role: "img", "aria-label": "Paper to draw a digit on with mouse, pen or finger" });
  const context = canvas.getContext("2d");
  const small = el("div", { class: "kd-small" });
  const temperature = temperatureControl(store);
  const table = barTable([..."0123456789"], [{ colour: "black" }, { colour: "orange" }, { colour: "blue" }], "What the three networks say of the drawing, softened");
  const summary = el("p", { class: "kd-summary", role: "status" });
  const status = statusLine(model, { idle: () => "", computing: () => "Asking the three networks …" });
  const tests = new Uint8Array(model.get("image_bytes").buffer.slice(model.get("image_bytes").byteOffset));
  let pixels = null, last = null;
  const paint = () => {
    const picture = context.createImageData(side, side);
    ink.forEach((on, i) => picture.data.set(on ? [20, 30, 40, 255] : [255, 255, 255, 255], 4 * i));
    context.putImageData(picture, 0, 0);
  };
  const dab = (x, y) => {
    for (let dy = -2; dy <= 2; dy += 1) for (let dx = -2; dx <= 2; dx += 1) {
      const [u, v] = [Math.floor(x) + dx, Math.floor(y) + dy];
      if (dx * dx + dy * dy <= 4.5 && u >= 0 && v >= 0 && u < side && v < side) ink[side * v + u] = 1;
    }
  };
  const stroke = (event) => {
    const box = canvas.getBoundingClientRect();
    const to = [((event.clientX - box.left) / box.width) * side, ((event.clientY - box.top) / box.height) * side];
    const from = last ?? to;
    const steps = Math.max(1, Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1])));
    for (let k = 0; k <= steps; k += 1) dab(from[0] + (k / steps) * (to[0] - from[0]), from[1] + (k / steps) * (to[1] - from[1]));
    last = to;
    paint();
  };
  // As the data set was made: the drawing fills a 32 × 32 bitmap, and each of 8 × 8 pixels counts the ink of its block.
  const shrink = () => {
    const marked = [...ink.keys()].filter((i) => ink[i]);
    if (!marked.length) return null;
    const [xs, ys] = [marked.map((i) => i % side), marked.map((i) => Math.floor(i / side))];
    const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs) + 1, Math.min(...ys), Math.max(...ys) + 1];
    const size = Math.max(x1 - x0, y1 - y0);
    const [left, top] = [(x0 + x1 - size) / 2, (y0 + y1 - size) / 2];
    return Array.from({ length: 64 }, (_, i) => {
      let count = 0;
      for (let v = 0; v < 4; v += 1) for (let u = 0; u < 4; u += 1) {
        const x = Math.floor(left + ((4 * (i % 8) + u + 0.5) / side) * size);
        const y = Math.floor(top + ((4 * Math.floor(i / 8) + v + 0.5) / side) * size);
        count += x >= 0 && y >= 0 && x < side && y < side ? ink[side * y + x] : 0;
      }
      return count / 16;
    });
  };
  const send = () => {
    if (!pixels) return;
    small.replaceChildren(thumbnail(pixels.map((p) => Math.round(255 * p)), 8), el("span", {}, "as the networks see it, 8 × 8"));
    ask(model, { pixels, ...position(store) });
  };
  canvas.addEventListener("pointerdown", (event) => { event.preventDefault(); canvas.setPointerCapture(event.pointerId); last = null; stroke(event); });
  canvas.addEventListener("pointermove", (event) => event.buttons && stroke(event));
  canvas.addEventListener("pointercancel", () => { last = null; });
  canvas.addEventListener("pointerup", () => { last = null; pixels = shrink(); send(); });
  const clear = el("button", { type: "button", class: "kd-button", onclick: () => { ink.fill(0); paint(); pixels = null; small.replaceChildren(); draw(); } }, "Clear");
  let next = 0;
  const example = el("button", { type: "button", class: "kd-button", onclick: () => {
    ink.fill(0);
    const count = tests.length / 64;
    next = (next + 7) % count;
    const digit = tests.subarray(64 * next, 64 * next + 64);
    pixels = [...digit].map((value) => value / 255);
    for (let i = 0; i < side * side; i += 1) ink[i] = digit[8 * Math.floor(i / side / 4) + Math.floor((i % side) / 4)] > 110 ? 1 : 0;
    paint();
    send();
  } }, "Take a test digit");
  const draw = () => {
    temperature.draw();
    const r = model.get("result");
    table.hidden = !pixels || !r.teacher;
    if (table.hidden) { summary.textContent = "Draw with mouse, pen or finger, or take a test digit."; return; }
    const T = store.get("temperature");
    const [teacher, alone, distilled] = ["teacher", "alone", "distilled"].map((name) => softmax(r[name], T));
    table.draw([{ title: "teacher", values: teacher }, { title: "alone", values: alone }, { title: "distilled", values: distilled }]);
    const says = (p) => ranking(p)[0];
    summary.textContent = `At T = ${plain(T)} teacher, student alone and distilled student read ${says(teacher)}, ${says(alone)} and ${says(distilled)}.`;
  };
  model.on("change:result", draw);
  paint();
  const root = el("div", { class: "kd-split kd-drawing" }, el("div", {}, canvas, clear, example, small), el("div", {}, temperature, table, summary, status));
  const undoDraw = follow(store, ["temperature"], root, draw);
  const undoSend = follow(store, POSITION, root, send, true);
  return [root, () => { undoDraw(); undoSend(); }];
}

// Panel 5, second part: ten networks into one.
function renderTen(model, store) {
  const [temperature, alpha] = [temperatureControl(store), alphaControl(store)];
  const table = el("table", { class: "kd-plain" });
  const summary = el("p", { class: "kd-summary", role: "status" });
  const status = statusLine(model, { idle: () => "", computing: () => "Training the ten, and from them the one …" });
  const draw = () => {
    const r = model.get("result");
    if (!r.one) return;
    const interval = ([mean, low, high]) => `${share(mean)} (${share(low)} to ${share(high)})`;
    const row = (name, here, frames, words) => el("tr", {}, el("th", { scope: "row" }, name), [here, frames, words].map((cell) => el("td", {}, cell)));
    table.replaceChildren(el("caption", {}, "Digits: trained just now. Speech: Hinton, Vinyals & Dean 2015, table 1."),
      el("thead", {}, el("tr", {}, ["", "digits, test accuracy", "speech, frame accuracy", "speech, word errors"].map((h) => el("th", { scope: "col" }, h)))),
      el("tbody", {}, row("one network", interval(r.one), "58.9 %", "10.9 %"), row("ten together", share(r.together), "61.1 %", "10.7 %"),
        row("one, distilled from the ten", interval(r.distilled), "60.8 %", "10.7 %")));
    summary.textContent = r.share === null ? "Here the ten together gain nothing over one, so there is nothing to hand on."
      : `On digits the ten together are ${points(r.together - r.one[0])} points better than one; of that ${points(r.distilled[0] - r.one[0])} comes through to the distilled one.`;
  };
  model.on("change:result", draw);
  const root = el("div", {}, temperature, alpha, el("div", { class: "kd-scroll", tabindex: 0, role: "group", "aria-label": "table" }, table), summary, status);
  draw();
  return [root, follow(store, POSITION, root, () => { temperature.draw(); alpha.draw(); ask(model, position(store)); }, true)];
}

// Panel 6: accuracy, fidelity, calibration.
function renderFidelity(model) {
  const table = el("table", { class: "kd-plain" });
  const pictures = el("div", { class: "kd-maps" });
  const names = { teacher: "teacher", alone: "student alone", distilled: "distilled" };
  const colours = { teacher: "black", alone: "orange", distilled: "blue" };
  const draw = () => {
    const f = model.get("result").fidelity;
    if (!f) return;
    const interval = ([mean, low, high]) => (low === high ? share(mean) : `${share(mean)} (${share(low)} to ${share(high)})`);
    table.replaceChildren(
      el("caption", { class: "kd-hidden" }, "Accuracy, agreement with the teacher and calibration error"),
      el("thead", {}, el("tr", {}, ["", "test accuracy", "agreement with teacher", "calibration error"].map((h) => el("th", { scope: "col" }, h)))),
      el("tbody", {}, Object.entries(names).map(([key, name]) => el("tr", {}, el("th", { scope: "row" }, name),
        [f[key].accuracy, f[key].agreement, f[key].calibration].map((cell) => el("td", {}, interval(cell)))))));
    pictures.replaceChildren(...Object.entries(names).map(([key, name]) => {
      const at = (value) => 30 + 160 * value;
      const dots = f[key].confidence.flatMap((confidence, i) => (confidence === null ? [] : [svg("circle", {
        cx: at(confidence), cy: 200 - at(f[key].correct[i]) + 20, r: 2 + 6 * Math.sqrt(f[key].count[i] / Math.max(...f[key].count)), fill: `var(--kd-${colours[key]})`, opacity: 0.85,
      })]));
      return el("figure", { class: "kd-figure" }, el("figcaption", {}, name),
        svg("svg", { viewBox: "0 0 210 230", class: "kd-chart kd-square", role: "img" }, svg("title", {}, `Reliability diagram of ${name}: accuracy against confidence`),
          svg("rect", { x: 30, y: 30, width: 160, height: 160, fill: "none", stroke: "var(--kd-line)" }),
          svg("line", { x1: 30, y1: 190, x2: 190, y2: 30, stroke: "var(--kd-quiet)", "stroke-dasharray": "4 4" }),
          svg("text", { x: 110, y: 212, "text-anchor": "middle" }, "confidence"), svg("text", { transform: "translate(18 110) rotate(-90)", "text-anchor": "middle" }, "accuracy"), dots));
    }));
  };
  model.on("change:result", draw);
  draw();
  return [el("div", {}, el("div", { class: "kd-scroll", tabindex: 0, role: "group", "aria-label": "table" }, table), pictures), () => {}];
}

// Panel 7: the loss with a mistake in it.
function renderMistakes(model, store) {
  const words = Object.fromEntries(model.get("mistakes").map((m) => [m.name, m]));
  const [temperature, alpha] = [temperatureControl(store), alphaControl(store)];
  const choice = choiceControl("Mistake", model.get("mistakes").filter((m) => m.name !== "none").map((m) => [m.name, m.title]), () => chosen, (value) => { chosen = value; drawChoice(); });
  let chosen = "no_square";
  const explain = el("div", { class: "kd-note" });
  const keras = el("button", { type: "button", class: "kd-button", onclick: () => ask(model, { keras_default: true, ...position(store) }) }, "Train three students with Keras's own Distiller (takes some seconds)");
  const table = el("table", { class: "kd-plain" });
  const status = statusLine(model, { idle: () => "", computing: () => "Training students with every mistake …" });
  const interval = (a) => (a ? `${share(a[0])} (${share(a[1])} to ${share(a[2])})` : "not trained yet");
  const drawChoice = () => {
    choice.draw();
    const m = words[chosen];
    const row = model.get("result").rows?.find((r) => r.name === chosen);
    keras.hidden = chosen !== "keras_default";
    explain.replaceChildren(el("p", {}, m.what), row?.difference
      ? el("p", {}, `Against the right loss at this position: ${points(row.difference.mean)} points (95 % interval ${points(row.difference.low)} to ${points(row.difference.high)}), ${row.difference.verdict}.`) : "",
      el("p", { class: "kd-order" }, `Found in: ${m.found}.`));
  };
  const draw = () => {
    const rows = model.get("result").rows;
    if (!rows) return;
    table.replaceChildren(el("caption", { class: "kd-hidden" }, "What each mistake does"),
      el("thead", {}, el("tr", {}, ["", "gradient’s size", "its cosine to the right one", "test accuracy"].map((h) => el("th", { scope: "col" }, h)))),
      el("tbody", {}, rows.map((r) => el("tr", { "data-mistake": r.name }, el("th", { scope: "row" }, words[r.name].title),
        el("td", {}, `${plain(r.size)} ×`), el("td", {}, r.cosine === null ? "no gradient" : r.cosine.toFixed(3)), el("td", {}, interval(r.accuracy))))));
    drawChoice();
  };
  model.on("change:result", draw);
  drawChoice();
  const root = el("div", {}, temperature, alpha, el("div", { class: "kd-scroll", tabindex: 0, role: "group", "aria-label": "table" }, table), status, choice, explain, keras);
  return [root, follow(store, POSITION, root, () => { temperature.draw(); alpha.draw(); ask(model, position(store)); }, true)];
}

// Panel 8: the same position in the words of others.
function renderTranslator(model, store) {
  const target = choiceControl("Write it for", model.get("targets").map((name) => [name, name]), () => chosen, (value) => { chosen = value; request(); });
  let chosen = model.get("targets")[0];
  const code = el("pre", { class: "kd-code", tabindex: 0, "aria-label": "Code of this position" });
  const copy = el("button", { type: "button", class: "kd-button", onclick: async () => {
    try { await navigator.clipboard.writeText(code.textContent); copy.textContent = "Copied"; } catch { copy.textContent = "Select it and copy by hand"; }
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  } }, "Copy");
  const table = el("table", { class: "kd-plain" });
  const request = () => ask(model, { target: chosen, temperature: store.get("temperature"), alpha: store.get("alpha") });
  const drawResult = () => {
    const r = model.get("result");
    if (!r.code) return;
    code.textContent = r.code;
    table.replaceChildren(el("caption", {}, `T = ${plain(r.temperature)}, α = ${plain(r.alpha)} in the weights of other sources. Scale: their gradient divided by ours.`),
      el("thead", {}, el("tr", {}, ["source", "weights", "scale"].map((h) => el("th", { scope: "col" }, h)))),
      el("tbody", {}, r.rows.map((row) => el("tr", {}, el("th", { scope: "row" }, row.name), el("td", {}, row.weights), el("td", {}, row.scale)))));
  };
  const status = statusLine(model, { idle: () => "", computing: () => "" });
  model.on("change:result", drawResult);
  const root = el("div", {}, el("div", { class: "kd-scroll", tabindex: 0, role: "group", "aria-label": "table" }, table), target, code, copy, status);
  drawResult();
  return [root, follow(store, ["temperature", "alpha"], root, () => { target.draw(); request(); })];
}

export default {
  render({ model, el: host }) {
    const store = pageStore(model);
    const panel = {
      models: renderModels, live: renderLive, landscape: renderLandscape, regions: renderRegions, draw: renderDraw,
      ten: renderTen, fidelity: renderFidelity, mistakes: renderMistakes, translator: renderTranslator,
    }[model.get("panel")];
    const [root, undo] = panel(model, store);
    host.classList.add("kd-panel");
    host.dataset.panel = model.get("panel");
    host.append(...[model.get("panel") === "live" ? linkNotes(store) : null, root].filter(Boolean));
    return undo;
  },
};
