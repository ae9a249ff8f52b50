// Chapter 2's panels; `panel` says which. The students are trained by the kernel; this draws what comes back.

const POSITION = ["temperature", "alpha", "scenario", "width"];
const VERDICTS = {
  better: ["yes", "Yes: distillation helps here."],
  worse: ["no", "No: distillation loses here."],
  "not told apart": ["open", "Not told apart from chance."],
};
const FIRST_TIME = "Loading TensorFlow and compiling; the first time this takes some seconds …";
const position = (store) => pick(store, POSITION);
const scenarioOf = (model, name) => model.get("scenarios").find((scenario) => scenario.name === name);

// A position, or the part of it that a panel depends on, in words.
const positionWords = (model) => (made) => [
  "scenario" in made && `“${scenarioOf(model, made.scenario).title}”`,
  "shape" in made && made.shape,
  "temperature" in made && `T = ${plain(made.temperature)}`,
  "alpha" in made && `α = ${plain(made.alpha)}`,
  "width" in made && `${made.width} hidden units`,
].filter(Boolean).join(", ");
const made = (model, store, names, parts, fresh) => madeFor(model, store, names, parts, positionWords(model), fresh);

const milliseconds = (seconds) => (seconds < 1 ? `${(1000 * seconds).toFixed(0)} ms` : `${seconds.toFixed(1)} s`);

// Panel 1: who is who.
function renderModels(model, store) {
  const table = plainTable("Teacher and students");
  const status = statusLine(model, {
    idle: () => (model.get("result").alone ? "All of them were trained just now, on this machine. The teacher’s time includes compiling its program." : ""),
    computing: () => (model.get("result").alone ? "Training …" : FIRST_TIME),
  });
  const line = made(model, store, POSITION, [table]);
  const draw = () => {
    const r = model.get("result");
    if (!r.alone) return;
    const layers = `64-${r.position.width}-10`;
    const row = (name, shape, kind, accuracy, time) => [name, shape, kind.parameters.toLocaleString("en"), accuracy, time];
    const students = (name, kind) => row(name, layers, kind, interval(kind.accuracy), `${milliseconds(kind.seconds)} for ten`);
    table.fill({
      caption: "Teacher, student alone and distilled student", hidden: true,
      heads: ["", "layers", "weights", "test accuracy", "training time"],
      rows: [
        row(r.teacher.count > 1 ? "ten teachers" : "teacher", "64-256-256-10", r.teacher, share(r.teacher.accuracy), r.teacher.seconds === null ? "trained beforehand" : milliseconds(r.teacher.seconds)),
        students("student alone", r.alone),
        students("distilled student", r.distilled),
      ],
    });
  };
  model.on("change:result", draw);
  draw();
  const root = el("div", {}, status, table, line);
  return [root, follow(store, POSITION, root, line.draw)];
}

// Panel 2: the sliders.
function renderLive(model, store) {
  const pixels = bytesOf(model.get("image_bytes"));
  const image = (i) => pixels.subarray(64 * i, 64 * i + 64);
  const result = () => model.get("result");
  // A bias set by hand is for one scenario; "by validation" holds for any.
  const scenario = choiceControl("Scenario", model.get("scenarios").map((s) => [s.name, s.title]), () => store.get("scenario"),
    (name) => store.set({ scenario: name, ...(store.get("bias") === "validation" ? {} : { bias: 0 }) }));
  const width = choiceControl("Hidden units", model.get("widths").map((w) => [w, `${w}`]), () => store.get("width"), (w) => store.set({ width: Number(w) }));
  const [temperature, alpha] = [temperatureControl(store), alphaControl(store)];
  const expectation = el("p", { class: "kd-expect" });
  const verdict = el("p", { class: "kd-verdict" });
  const difference = el("p", { class: "kd-summary" });
  const status = statusLine(model, {
    idle: () => (result().alone ? `Ten students trained in ${milliseconds(result().distilled.seconds)}.` : ""),
    computing: () => (result().alone ? "Training ten students …" : FIRST_TIME),
  });
  const heading = el("h3"), strip = el("div", { class: "kd-strip" }), curves = el("div"), errors = el("div", { class: "kd-errors" });
  const bias = biasControl(model, store);
  const replay = replayControl(store, () => result().distilled?.per_epoch[0].length ?? 0);
  const line = made(model, store, POSITION, [verdict, difference, strip, curves, errors, bias]);
  let chart = null;

  const kinds = () => [
    { label: "student alone", colour: "orange", dash: "9 5", runs: result().alone.per_epoch, accuracy: result().alone.accuracy },
    { label: "distilled", colour: "blue", runs: result().distilled.per_epoch, accuracy: result().distilled.accuracy },
  ];
  const drawEpoch = () => {
    replay.draw();
    heading.textContent = store.get("epoch") === null ? "Test accuracy: each dot is a student" : `Test accuracy after epoch ${replay.at() + 1}: each dot is a student`;
    if (!result().alone) return;
    const { count: teachers, accuracy } = result().teacher;
    strip.replaceChildren(stripChart({
      title: "Test accuracy of teacher, ten students alone and ten distilled students",
      teacher: { label: teachers > 1 ? "ten teachers" : "teacher", accuracy }, kinds: kinds(), epoch: replay.at(),
    }));
    chart.at(replay.at() + 1);
  };
  const drawResult = () => {
    const r = result();
    if (!r.alone) return;
    replay.stop();
    const [tone, sentence] = r.position.alpha === 0 ? ["open", "α = 0 is the student alone, so there is nothing to compare."] : VERDICTS[r.difference.verdict];
    verdict.className = `kd-verdict kd-${tone}`;
    verdict.textContent = sentence;
    const d = r.difference;
    difference.textContent = `Distilled minus alone, the same ten beginnings and batches, is ${points(d.mean)} points ` +
      `(95 % interval ${points(d.low)} to ${points(d.high)}).`;
    chart = learningCurves({ title: "Test accuracy while they learn, mean of ten", kinds: kinds().reverse() });
    curves.replaceChildren(chart);
    drawEpoch();
    bias.draw();
    errors.replaceChildren(el("h3", {}, "Where they still err"), el("p", {}, "What the distilled students read most often instead, and how many of ten get the digit wrong, alone → distilled:"),
      el("ul", { class: "kd-grid-errors" }, r.errors.map((e) => el("li", {}, thumbnail(image(e.digit), 8), el("span", {}, `a ${e.label},`), el("span", {}, `read as ${e.read}`), el("span", {}, `${e.alone} → ${e.distilled}`)))));
  };
  model.on("change:result", drawResult);
  let asked;
  const draw = (changed) => {
    for (const control of [scenario, width, temperature, alpha, line]) control.draw();
    expectation.textContent = scenarioOf(model, store.get("scenario")).expectation;
    if (changed.includes("epoch")) drawEpoch();
    if (changed.includes("bias")) bias.draw();
    const wanted = JSON.stringify(position(store));
    if (wanted === asked) return;
    // New students are shown as they end; the epoch of a link is kept.
    if (asked) store.set({ epoch: null });
    asked = wanted;
    ask(model, position(store));
  };
  const root = el("div", { class: "kd-split kd-live" },
    el("div", {}, scenario, expectation, width, temperature, alpha, status, verdict, difference, line, bias),
    el("div", {}, heading, strip, curves, replay),
    errors);
  drawResult();
  return [root, follow(store, [...POSITION, "epoch", "bias"], root, draw)];
}

// The bias of classes that were left out: the store's "bias" is a number set by hand, or "validation", which chooses
// anew for every lot of students, and for the students alone their own.
function biasControl(model, store) {
  const slider = el("input", { type: "range", class: "kd-slider", id: unique("bias"), oninput: () => store.set({ bias: model.get("result").bias.values[slider.value] }) });
  const text = el("p", { class: "kd-summary", role: "status" });
  const best = button("Take the bias that is best on the validation set", () => store.set({ bias: "validation" }));
  const control = el("div", { hidden: true, class: "kd-bias" }, el("div", { class: "kd-control kd-choice-control" }, el("label", { for: slider.id }, "Bias"), slider), best, text);
  control.draw = () => {
    const b = model.get("result").bias;
    control.hidden = !b;
    if (!b) return;
    const chosen = store.get("bias") === "validation";
    const at = (kind) => (chosen ? kind.chosen : b.values.indexOf(store.get("bias")));
    const bias = (kind) => signed(b.values[at(kind)]);
    const classes = b.classes.join(" and ");
    const logit = b.classes.length > 1 ? "logits of classes" : "logit of class";
    const errors = (kind) => [kind.errors, kind.class_errors].map((all) => all[at(kind)].toFixed(0));
    const [distilled, distilledThere] = errors(b.distilled), [alone, aloneThere] = errors(b.alone);
    slider.max = b.values.length - 1;
    slider.value = at(b.distilled);
    slider.setAttribute("aria-valuetext", `bias ${bias(b.distilled)}`);
    best.setAttribute("aria-pressed", String(chosen));
    text.textContent = `With ${bias(b.distilled)} on the ${logit} ${classes}${chosen ? ", best on the validation set," : ""} the distilled students make ` +
      `${distilled} errors on ${b.samples} test digits, ${distilledThere} of them on the ${b.class_samples} of ${classes}; ` +
      `the students alone${chosen ? `, best with ${bias(b.alone)},` : ""} ${alone}, ${aloneThere} of them there. Means of ten.`;
  };
  return control;
}

// Panel 3: the landscape.
function renderLandscape(model, store) {
  const { temperatures, alphas, seeds } = model.get("axes");
  const total = temperatures.length * alphas.length * seeds;
  const start = button("", () => ask(model, model.get("status") === "computing" ? { stop: true } : pick(store, ["scenario", "width"])));
  const choose = button("Choose by validation", () => {
    const [i, j] = model.get("result").best;
    store.set({ temperature: temperatures[i], alpha: alphas[j] });
  });
  const bar = el("progress", { max: total, value: 0, "aria-label": "students trained" });
  const cells = temperatures.map((t) => alphas.map((a) => el("button", {
    type: "button", class: "kd-cell", "data-rove": true, tabindex: -1, disabled: true, "aria-label": `T ${t}, alpha ${a}: not trained yet`, onclick: () => store.set({ temperature: t, alpha: a }),
  })));
  cells[0][0].tabIndex = 0;
  const body = el("tbody", {}, temperatures.map((t, r) => el("tr", {}, el("th", { scope: "row" }, `${t}`), cells[r].map((cell) => el("td", {}, cell)))));
  rove(body, () => alphas.length);
  const table = el("table", { class: "kd-matrix" },
    el("caption", {}, `Row: T. Column: α. Number: distilled minus alone in points of test accuracy, mean of ${seeds} pairs. Blue: distilled is better; orange: worse. ` +
      "★: best on the validation set. ✕: students diverged."),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "T \\ α"), alphas.map((a) => el("th", { scope: "col" }, `${a}`)))), body);
  const frame = el("div", { class: "kd-scroll", tabindex: 0, role: "group", "aria-label": "table" }, table);
  const line = made(model, store, ["scenario", "width"], [frame]);
  const message = el("p", { class: "kd-message", role: "alert" });
  const summary = el("p", { class: "kd-summary", role: "status" });
  const status = statusLine(model, {
    idle: () => (model.get("result").done ? `${model.get("result").done} of ${total} students trained in ${model.get("result").seconds.toFixed(1)} s.` : ""),
    computing: () => `Training … ${model.get("result").done ?? 0} of ${total} students.`,
  });
  const drawCell = (r, i, j, most) => {
    const [cell, value] = [cells[i][j], r.differences[i][j]];
    const [diverged, best] = [r.diverged[i][j] > 0, i === r.best?.[0] && j === r.best?.[1]];
    cell.disabled = value === null && !diverged;
    cell.textContent = diverged ? "✕" : value === null ? "" : points(value);
    const strength = value === null ? 0 : Math.abs(value) / most;
    cell.style.setProperty("--kd-strength", `${Math.round(100 * strength)}%`);
    cell.classList.toggle("kd-worse", value < 0);
    cell.classList.toggle("kd-strong", value > 0 && strength > 0.7);
    cell.classList.toggle("kd-best", best);
    cell.classList.toggle("kd-diverged", diverged);
    const words = diverged ? `${r.diverged[i][j]} of ${seeds} students diverged` : value === null ? "not trained yet" : `${points(value)} points${best ? ", best on the validation set" : ""}`;
    cell.setAttribute("aria-label", `T ${temperatures[i]}, alpha ${alphas[j]}: ${words}`);
  };
  const draw = () => {
    const computing = model.get("status") === "computing";
    start.textContent = computing ? "■ Stop" : `Train ${total} students`;
    const r = model.get("result");
    bar.value = r.done ?? 0;
    bar.hidden = !computing;
    choose.disabled = !r.best;
    message.textContent = r.message ?? "";
    if (!r.differences) return;
    const most = Math.max(0.01, ...r.differences.flat().filter((value) => value !== null).map(Math.abs));
    cells.forEach((row, i) => row.forEach((_, j) => drawCell(r, i, j, most)));
    mark();
    if (!r.best) { summary.textContent = ""; return; }
    const [i, j] = r.best;
    summary.textContent = `Best on the validation set${r.done < total ? " so far" : ""}: T = ${temperatures[i]}, α = ${alphas[j]}, with ${points(r.validation[i][j])} points there and ` +
      `${points(r.differences[i][j])} on the test set. Choose on validation, never on test: with so many cells the best-looking one is partly luck. Look at regions, not at single cells; choose a cell to set the sliders.`;
  };
  const mark = () => cells.forEach((row, i) => row.forEach((cell, j) => cell.setAttribute("aria-pressed",
    String(temperatures[i] === store.get("temperature") && alphas[j] === store.get("alpha")))));
  model.on("change:result change:status", draw);
  draw();
  const root = el("div", {}, start, choose, bar, status, message, frame, line, summary);
  return [root, follow(store, POSITION, root, () => { mark(); line.draw(); })];
}

// Panel 5, second part: ten networks into one.
function renderTen(model, store) {
  const names = ["temperature", "alpha", "width"];
  const [temperature, alpha] = [temperatureControl(store), alphaControl(store)];
  const table = plainTable("Ten networks and one");
  const summary = el("p", { class: "kd-summary", role: "status" });
  const line = made(model, store, names, [table, summary]);
  const status = statusLine(model, { idle: () => "", computing: () => "Training the ten, and from them the one …" });
  const draw = () => {
    const r = model.get("result");
    if (!r.one) return;
    table.fill({
      caption: "Digits: trained just now, with 95 % intervals: of one network, and of one distilled, over ten of each (Student’s t); " +
        `of the ten together, of which there is one, over the ${r.samples} test digits (Wilson). Speech: Hinton, Vinyals & Dean 2015, table 1.`,
      heads: ["", "digits, test accuracy", "speech, frame accuracy", "speech, word errors"],
      rows: [
        ["one network", interval(r.one), "58.9 %", "10.9 %"],
        ["ten together", interval(r.together), "61.1 %", "10.7 %"],
        ["one, distilled from the ten", interval(r.distilled), "60.8 %", "10.7 %"],
      ],
    });
    const [one, together, distilled] = [r.one[0], r.together[0], r.distilled[0]];
    summary.textContent = r.share === null ? "Here the ten together gain nothing over one, so there is nothing to hand on."
      : `On digits the ten together are ${points(together - one)} points better than one; of that ${points(distilled - one)} comes through to the distilled one.`;
  };
  model.on("change:result", draw);
  const root = el("div", {}, temperature, alpha, table, summary, line, status);
  draw();
  return [root, follow(store, names, root, () => { temperature.draw(); alpha.draw(); line.draw(); ask(model, position(store)); }, true)];
}

// Panel 6: accuracy, fidelity, calibration.
function renderFidelity(model, store) {
  const table = plainTable("Accuracy, fidelity and calibration");
  const pictures = el("div", { class: "kd-maps" });
  const line = made(model, store, POSITION, [table, pictures]);
  const names = { teacher: "teacher", alone: "student alone", distilled: "distilled" };
  const colours = { teacher: "black", alone: "orange", distilled: "blue" };
  const draw = () => {
    const f = model.get("result").fidelity;
    if (!f) return;
    table.fill({
      caption: "Accuracy, agreement with the teacher and calibration error", hidden: true,
      heads: ["", "test accuracy", "agreement with teacher", "calibration error"],
      rows: Object.entries(names).map(([key, name]) => [name, ...[f[key].accuracy, f[key].agreement, f[key].calibration].map(interval)]),
    });
    pictures.replaceChildren(...Object.entries(names).map(([key, name]) => el("figure", { class: "kd-figure" }, el("figcaption", {}, name),
      reliabilityChart(`Reliability diagram of ${name}: accuracy against confidence`, f[key], colours[key]))));
  };
  model.on("change:result", draw);
  draw();
  const root = el("div", {}, table, pictures, line);
  return [root, follow(store, POSITION, root, line.draw)];
}

// Panel 7: the loss with a mistake in it.
function renderMistakes(model, store) {
  const words = Object.fromEntries(model.get("mistakes").map((m) => [m.name, m]));
  const [temperature, alpha] = [temperatureControl(store), alphaControl(store)];
  const choice = choiceControl("Mistake", model.get("mistakes").filter((m) => m.name !== "none").map((m) => [m.name, m.title]),
    () => store.get("mistake"), (mistake) => store.set({ mistake }));
  const explain = el("div", { class: "kd-note" });
  const keras = button("Train three students with Keras's own Distiller (takes some seconds)", () => ask(model, { keras_default: true, ...position(store) }));
  const table = plainTable("What each mistake does");
  const line = made(model, store, POSITION, [table]);
  const status = statusLine(model, { idle: () => "", computing: () => "Training students with every mistake …" });
  const kerasWords = () => el("p", {}, "Its three students share the beginnings of the first three of ours, not the order of the samples: Keras shuffles in its own way." +
    (scenarioOf(model, store.get("scenario")).ensemble ? " It takes one teacher, so here it learns from the first of the ten alone." : ""));
  const drawChoice = () => {
    choice.draw();
    const m = words[store.get("mistake")];
    const row = model.get("result").rows?.find((r) => r.name === m.name);
    const { mean, low, high, verdict } = row?.difference ?? {};
    keras.hidden = m.name !== "keras_default";
    keras.disabled = model.get("status") === "computing";
    explain.replaceChildren(...[
      el("p", {}, m.what),
      keras.hidden ? null : kerasWords(),
      row?.difference ? el("p", {}, `Against the right loss at T = ${plain(model.get("result").position.temperature)}, α = ${plain(model.get("result").position.alpha)}: ` +
        `${points(mean)} points (95 % interval ${points(low)} to ${points(high)}), ${verdict}.`) : null,
      el("p", { class: "kd-order" }, `Found in: ${m.found}.`)].filter(Boolean));
  };
  const draw = () => {
    drawChoice();
    const rows = model.get("result").rows;
    if (!rows) return;
    table.fill({
      caption: "What each mistake does", hidden: true,
      heads: ["", "gradient’s size", "its cosine to the right one", "test accuracy"],
      rows: rows.map((r) => [words[r.name].title, `${plain(r.size)} ×`, r.cosine === null ? "no gradient" : r.cosine.toFixed(3), r.accuracy ? interval(r.accuracy) : "not trained yet"]),
      attributes: rows.map((r) => ({ "data-mistake": r.name })),
    });
  };
  model.on("change:result change:status", draw);
  draw();
  const root = el("div", {}, temperature, alpha, table, line, status, choice, explain, keras);
  const undoChoice = follow(store, ["mistake", "scenario"], root, drawChoice);
  const undo = follow(store, POSITION, root, () => { temperature.draw(); alpha.draw(); line.draw(); ask(model, position(store)); }, true);
  return [root, () => { undoChoice(); undo(); }];
}

// Panel 8: the same position in the words of others.
function renderTranslator(model, store) {
  const names = ["temperature", "alpha", "target"];
  const target = choiceControl("Write it for", model.get("targets").map((name) => [name, name]), () => store.get("target"), (value) => store.set({ target: value }));
  const code = el("pre", { class: "kd-code", tabindex: 0, "aria-label": "Code of this position" });
  const copy = button("Copy", async () => {
    try { await navigator.clipboard.writeText(code.textContent); copy.textContent = "Copied"; } catch { copy.textContent = "Select it and copy by hand"; }
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  const table = plainTable("The position in other sources’ weights");
  const line = made(model, store, names, [table, code]);
  const drawResult = () => {
    const r = model.get("result");
    if (!r.code) return;
    code.textContent = r.code;
    table.fill({
      caption: `T = ${plain(r.position.temperature)}, α = ${plain(r.position.alpha)} in the weights of other sources, and the position that each source starts from in ours. ` +
        "Scale: their gradient divided by ours.",
      heads: ["source", "weights", "scale", "its own position", "in our weights"], rows: r.rows.map((row) => [row.name, row.weights, row.scale, row.theirs, row.ours]),
    });
  };
  const status = statusLine(model, { idle: () => "", computing: () => "" });
  model.on("change:result", drawResult);
  const root = el("div", {}, table, target, code, copy, line, status);
  drawResult();
  return [root, follow(store, names, root, () => { target.draw(); line.draw(); ask(model, pick(store, names)); })];
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
