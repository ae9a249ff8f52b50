// Chapter 4's panels: what is seen, what it costs, students at every position of T and α, and how they decide.

const LOADING = "Loading TensorFlow and the networks; the first time this takes some seconds …";
const rest = (act, wait = 150) => { let timer; return () => { clearTimeout(timer); timer = setTimeout(act, wait); }; };
const duration = (seconds) => (seconds < 1e-3 ? `${plain(1e6 * seconds)} µs` : `${plain(1e3 * seconds)} ms`);
const times = (ratio) => `${ratio < 9.95 ? ratio.toFixed(1) : Math.round(ratio)}\u00a0×`;
const grouped = (n) => n.toLocaleString("en");

// Panel 1: what is seen. No network is needed for it.
function renderImages(model, store) {
  const names = model.get("classes"), { counts, left_out } = model.get("slide");
  const total = (split) => counts[split].reduce((a, b) => a + b, 0);
  const rows = el("div"), table = plainTable("Nuclei by class and split");
  table.fill({
    caption: "Nuclei by class and split", heads: ["", ...names, "all"],
    rows: Object.entries(SPLIT).map(([split, { label }]) => [label, ...counts[split].map(grouped), grouped(total(split))]),
  });
  const draw = () => {
    const { bytes, side } = model.get("nuclei");
    const pixels = bytesOf(bytes);
    const size = 3 * side * side, each = pixels.length / size / names.length;
    rows.replaceChildren(...names.map((name, c) => el("div", { class: "kd-class-row", role: "group", "aria-label": `${each} nuclei, ${name}` }, el("span", {}, name),
      el("div", { class: "kd-channels" }, Array.from({ length: each }, (_, k) => {
        const i = c * each + k;
        return mapCanvas(pixels.subarray(i * size, (i + 1) * size), [side, side], `${name} nucleus`);
      })))));
  };
  const other = button("Show other nuclei", () => ask(model, { page: model.get("nuclei").page + 1 }));
  const status = statusLine(model, { idle: () => "", computing: () => "…" });
  model.on("change:nuclei", draw);
  draw();
  const words = el("p", { class: "kd-order" }, `${grouped(left_out)} more nuclei lie across a border and are left out, so that no pixel is in images of two splits.`);
  return [el("div", {}, warning(), el("h3", { class: "kd-next" }, "Test nuclei, 48 × 48 pixels around each"), rows, other,
    el("div", { class: "kd-split kd-where" }, el("figure", { class: "kd-figure" }, el("figcaption", {}, "The field of view and its regions"), slidePicture(model.get("slide"))), el("div", {}, table, words, status)))];
}

// Panel 2: size and speed.
function renderCost(model, store) {
  const table = plainTable("Teacher and student in size and speed");
  const summary = el("p", { class: "kd-summary", role: "status" });
  const again = button("Measure", () => ask(model, { again: true }));
  const status = statusLine(model, { idle: () => "", computing: () => (model.get("result").networks ? "Measuring …" : LOADING) });
  const draw = () => {
    again.disabled = model.get("status") === "computing";
    const { networks, accuracy, samples } = model.get("result");
    if (!networks) return;
    again.textContent = "Measure again";
    const { teacher: t, student: s } = networks;
    const speed = ([median, low, high]) => `${duration(median)} (${duration(low)} to ${duration(high)})`;
    const right = (name) => (accuracy[name] ? interval(accuracy[name]) : "not trained yet");
    table.fill({
      caption: `Time per image: median and quartiles, measured just now on this machine. Accuracy: of ${samples} test nuclei, with 95 % interval (Wilson); students of the first seed.`,
      heads: ["", "teacher", "student", "ratio"],
      rows: [
        ["parameters", grouped(t.parameters), grouped(s.parameters), times(t.parameters / s.parameters)],
        ["bytes of weights (float32)", grouped(t.bytes), grouped(s.bytes), times(t.bytes / s.bytes)],
        ["multiply-adds per image", grouped(t.multiply_adds), grouped(s.multiply_adds), times(t.multiply_adds / s.multiply_adds)],
        ...["1", "32"].map((batch) => [batch === "1" ? "time per image, one at a time" : "time per image, 32 at a time", speed(t.seconds[batch]), speed(s.seconds[batch]), times(t.seconds[batch][0] / s.seconds[batch][0])]),
        ["test accuracy", right("teacher"), accuracy.alone ? `alone ${right("alone")}; distilled ${right("distilled")}` : "not trained yet", ""],
      ],
    });
    summary.textContent = `The teacher has ${times(t.parameters / s.parameters)} the student’s parameters and ${times(t.multiply_adds / s.multiply_adds)} its multiply-adds. Times need not follow: where an image takes ` +
      "so little that calling the network is most of it, the small one gains less. Measure, do not only count." + (accuracy.alone ? "" : ` ${FIRST_TRAIN}`);
  };
  model.on("change:result change:status", draw);
  model.on("change:trained", () => { if (model.get("result").networks) ask(model, {}); });
  draw();
  const root = el("div", {}, table, summary, again, status);
  return [root, follow(store, ["temperature"], root, rest(() => { if (!model.get("result").networks && model.get("status") !== "computing") ask(model, {}); }, 0), true)];
}

// Panel 3: T and α; a move trains.
const TRAINED = ["temperature", "alpha"];
const TRAIN_VERDICTS = {
  better: ["yes", "Distilled students are better here."], worse: ["no", "Distilled students are worse here."],
  "not told apart": ["open", "Not told apart from chance."],
};
function renderTraining(model, store) {
  const [temperature, alpha] = [temperatureControl(store), alphaControl(store)];
  const computing = () => model.get("status") === "computing";
  const seeds = model.get("seeds");
  const press = button("", () => ask(model, computing() ? { stop: true } : pick(store, TRAINED)));
  const bar = el("progress", { max: 1, value: 0, "aria-label": "epochs trained" });
  const verdict = el("p", { class: "kd-verdict" }), summary = el("p", { class: "kd-summary", role: "status" });
  const curves = el("div"), strip = el("div", { class: "kd-strip" });
  const stripTitle = el("h3", { class: "kd-next" }, "Test accuracy after the last epoch");
  const result = () => model.get("result");
  // Not what the training before came to.
  const halfway = () => result().done < result().total && TRAINED.every((name) => result().position[name] === store.get(name));
  const status = statusLine(model, {
    idle: () => {
      const { done, total, seconds } = result();
      if (!done) return "";
      return done === total ? `Distilled students trained in ${seconds.toFixed(1)} s.` : `Stopped after ${done} of ${total} epochs: there is no verdict on half-trained students.`;
    },
    computing: () => (result().done ? (halfway() ? `Training … ${result().done} of ${result().total} epochs.` : "Training …") : "Loading TensorFlow, and asking the teacher about every view of every nucleus, once; this takes some seconds …"),
  });
  const line = madeFor(model, store, TRAINED, [verdict, summary, curves, strip], (made) => `T = ${plain(made.temperature)}, α = ${plain(made.alpha)}`);
  const draw = () => {
    press.textContent = computing() ? "■ Stop" : "Train again";
    bar.hidden = !computing();
    const r = result();
    bar.value = computing() && halfway() ? r.done / r.total : 0;
    stripTitle.hidden = !r.difference;
    if (!r.students) return;
    const runs = (kind) => r.students[kind]?.per_epoch ?? [];
    curves.replaceChildren(manyCurves({
      title: "Test accuracy while they learn: a line is a student", epochs: model.get("epochs"),
      kinds: ["alone", "distilled"].map((kind) => ({ ...NETWORK[kind], runs: runs(kind) })),
    }));
    verdict.textContent = summary.textContent = "";
    strip.replaceChildren();
    if (!r.difference) return;
    const [tone, sentence] = TRAIN_VERDICTS[r.difference.verdict];
    verdict.className = `kd-verdict kd-${tone}`;
    verdict.textContent = sentence;
    const gap = r.teacher.accuracy - r.students.alone.accuracy[0];
    summary.textContent = `Distilled minus alone, ${seeds} pairs that began alike and saw the same views in the same order: ${difference(r.difference)}. ` +
      `On the validation nuclei, from other regions: ${difference(r.validation)}. The teacher is ${Math.abs(100 * gap).toFixed(1)} points ${gap < 0 ? "worse" : "better"} than the students alone. The intervals are over ${seeds} beginnings, on one region each: they do not say what another region would.`;
    strip.replaceChildren(stripChart({
      title: "Test accuracy of the teacher, of students alone and of distilled students", teacher: { label: "teacher", accuracy: r.teacher.accuracy },
      kinds: ["alone", "distilled"].map((kind) => ({ ...NETWORK[kind], runs: runs(kind), accuracy: r.students[kind].accuracy })), epoch: model.get("epochs") - 1,
    }));
  };
  model.on("change:result change:status", draw);
  const root = el("div", { class: "kd-split kd-live" }, el("div", {}, temperature, alpha, press, bar, status, verdict, summary, line), el("div", {}, curves, stripTitle, strip));
  draw();
  const train = rest(() => ask(model, pick(store, TRAINED)), 120);
  const show = () => { temperature.draw(); alpha.draw(); line.draw(); };
  show();
  return [root, follow(store, TRAINED, root, () => { show(); train(); }, true)];
}

// Panel 4: the decision. Moving the threshold is looking up a point of the curve; the intervals follow when the hand rests.
const POSITIVE = ["positive", "threshold"];
const inWords = (measure, { mean, low, high, verdict }) => (measure === "auc" ? `AUC ${thousandths(mean)} (${thousandths(low)} to ${thousandths(high)})`
  : `${measure} ${points(mean)} points (${points(low)} to ${points(high)})`) + `, ${verdict}`;
function renderDecision(model, store) {
  const names = model.get("classes"), result = () => model.get("result");
  const positive = choiceControl("Positive class", names.map((name) => [name, name]), () => store.get("positive"), (value) => store.set({ positive: value }));
  const threshold = numberControl({
    label: "Threshold", min: 0, max: 1, step: 0.005, accepts: store.rules.threshold.accepts, accept: (value) => value >= 0 && value <= 1,
    read: () => store.get("threshold"), write: (value) => store.set({ threshold: value }),
  });
  const tables = el("div", { class: "kd-maps kd-confusions" }), curve = el("div"), figures = plainTable("Sensitivity, specificity and AUC"), youden = el("div", { role: "group", "aria-label": "Thresholds by validation" });
  const summary = el("p", { class: "kd-summary" }), paired = el("p", { class: "kd-summary", role: "status" }), note = el("p", { class: "kd-order" });
  const status = statusLine(model, { idle: () => "", computing: () => (result().networks ? "Drawing the test nuclei again and again for the intervals …" : LOADING) });
  let chart = null;
  const here = () => result().networks && names[result().position.class_index] === store.get("positive");
  const drawFigures = () => {
    const r = result();
    if (!r.networks) return;
    for (const part of [curve, figures]) part.classList.toggle("kd-stale", !here());
    if (!here()) return;
    const t = store.get("threshold"), b = model.get("bounds");
    const fresh = b.networks && b.position.threshold === t && b.position.class_index === r.position.class_index && b.position.students === r.position.students;
    const drawn = b.networks && b.position.class_index === r.position.class_index && b.position.students === r.position.students;
    chart.move(t);
    const area = ([mean, low, high]) => `${mean.toFixed(3)} (${low.toFixed(3)} to ${high.toFixed(3)})`;
    const cell = (name, measure, value) => (fresh ? interval(b.networks[name][measure]) : share(value));
    figures.fill({
      caption: `${store.get("positive")}: ${r.positive} of the test nuclei; the other classes: ${r.negative}. 95 % intervals by bootstrap.`,
      heads: ["", "sensitivity", "specificity", "AUC"],
      rows: Object.entries(r.networks).map(([name, { roc, auc }]) => {
        const at = rocPoint(roc, t);
        return [NETWORK[name].label, cell(name, "sensitivity", at.sensitivity), cell(name, "specificity", at.specificity), drawn ? area(b.networks[name].auc) : auc.toFixed(3)];
      }),
      attributes: Object.keys(r.networks).map((name) => ({ "data-network": name })),
    });
    const { sensitivity, specificity } = rocPoint(r.networks.teacher.roc, t);
    summary.textContent = `Called ${store.get("positive")} where its probability is at least ${plain(t)}: the teacher then finds ${Math.round(sensitivity * r.positive)} of ${r.positive} and calls ${Math.round((1 - specificity) * r.negative)} of ${r.negative} others so.`;
    paired.textContent = fresh && b.difference
      ? `Distilled minus alone, on the same nuclei: ${["sensitivity", "specificity", "auc"].map((m) => inWords(m, b.difference[m])).join("; ")}. ` +
        "That is of one pair of students: the intervals are over nuclei, and another beginning may say otherwise." : "";
  };
  const drawResult = () => {
    const r = result();
    if (!r.networks) return;
    tables.replaceChildren(...Object.entries(r.networks).map(([name, { confusion, accuracy }]) => confusionTable([NETWORK[name].label, `right: ${interval(accuracy)}`], names, confusion)));
    chart = rocChart(`ROC curves, ${names[r.position.class_index]} against the rest`, r.networks);
    curve.replaceChildren(chart);
    youden.replaceChildren(el("span", {}, "Set by Youden’s index on the validation nuclei of: "), ...Object.entries(r.networks).map(([name, one]) => {
      const best = Number(one.youden.toFixed(4));
      return button(`${NETWORK[name].label} (${plain(best)})`, () => store.set({ threshold: best }));
    }));
    note.textContent = r.networks.alone ? "Students: the first seed’s pair of the last training." : FIRST_TRAIN;
    drawFigures();
  };
  model.on("change:result", drawResult);
  model.on("change:bounds", drawFigures);
  const request = () => ask(model, pick(store, POSITIVE)), later = rest(request, 200);
  model.on("change:trained", () => { if (result().networks) request(); });
  const root = el("div", {}, warning(), el("h3", { class: "kd-next" }, "Which class is called what: test nuclei"), tables, note,
    el("h3", { class: "kd-next" }, "One class against the rest"),
    el("div", { class: "kd-split kd-live" }, el("div", {}, positive, threshold, youden, summary, paired, status), curve), figures);
  const show = () => { positive.draw(); threshold.draw(); drawFigures(); };
  drawResult();
  show();
  return [root, follow(store, POSITIVE, root, () => { show(); later(); }, true)];
}

// Panel 5: calibration.
const SURE = { better: "too sure", worse: "not sure enough", "not told apart": "as sure as it is right, as far as can be told" };
function renderCalibration(model, store) {
  const pictures = el("div", { class: "kd-maps" }), summary = el("p", { class: "kd-summary", role: "status" });
  const status = statusLine(model, { idle: () => "", computing: () => LOADING });
  const draw = () => {
    const { networks } = model.get("result");
    if (!networks) return;
    pictures.replaceChildren(...Object.entries(networks).map(([name, one]) => el("figure", { class: "kd-figure" }, el("figcaption", {}, `${NETWORK[name].label}: ECE ${share(one.error)}`),
      reliabilityChart(`Reliability diagram of ${NETWORK[name].label}: accuracy against confidence`, one, NETWORK[name].colour))));
    summary.textContent = Object.entries(networks).map(([name, { accuracy, mean_confidence, gap }]) =>
      `The ${NETWORK[name].label} is on average ${share(mean_confidence)} sure and ${share(accuracy)} right, ${difference(gap)}: ${SURE[gap.verdict]}.`).join(" ") +
      " A larger dot has more nuclei; one of a few nuclei may lie anywhere, and so the ECE of few nuclei is never quite 0." + (networks.alone ? " Students: the first seed’s pair." : ` ${FIRST_TRAIN}`);
  };
  model.on("change:result", draw);
  model.on("change:trained", () => { if (model.get("result").networks) ask(model, {}); });
  draw();
  const root = el("div", {}, pictures, summary, status);
  return [root, follow(store, ["temperature"], root, rest(() => { if (!model.get("result").networks && model.get("status") !== "computing") ask(model, {}); }, 0), true)];
}

// Panel 6: a random split beside one by region.
const SPLITS = { region: { label: "split by region", colour: "blue" }, random: { label: "split at random", colour: "vermillion", dash: "9 5" } };
function renderLeakage(model, store) {
  const computing = () => model.get("status") === "computing", result = () => model.get("result"), seeds = model.get("seeds");
  const press = button("", () => ask(model, computing() ? { stop: true } : {}));
  const bar = el("progress", { max: 1, value: 0, "aria-label": "epochs trained" }), curves = el("div"), table = plainTable("Accuracy by split"), summary = el("p", { class: "kd-summary", role: "status" });
  const status = statusLine(model, {
    idle: () => (result().done && result().done < result().total ? `Stopped after ${result().done} of ${result().total} epochs.` : result().done ? "" : "This takes about half a minute."),
    computing: () => (result().done && result().done < result().total ? `Training … ${result().done} of ${result().total} epochs.` : LOADING),
  });
  const draw = () => {
    press.textContent = computing() ? "■ Stop" : `Train ${seeds} students on each split`;
    bar.hidden = !computing();
    const { splits, done, total, difference: gap } = result();
    bar.value = done && computing() ? done / total : 0;
    table.hidden = !gap;
    summary.textContent = "";
    if (!splits) return;
    curves.replaceChildren(manyCurves({
      title: "Test accuracy while they learn: a line is a student", epochs: model.get("epochs"),
      kinds: Object.entries(SPLITS).map(([name, look]) => ({ ...look, runs: splits[name]?.per_epoch ?? [] })),
    }));
    if (!gap) return;
    table.fill({ caption: `Test accuracy, mean of ${seeds} students with 95 % interval over their beginnings`, heads: ["", "test accuracy"], rows: Object.entries(SPLITS).map(([name, { label }]) => [label, interval(splits[name].accuracy)]) });
    summary.textContent = `Random minus region: ${difference(gap)}. ${gap.verdict === "better"
      ? "The student is the same and knows no more: the random split asks it about nuclei among those that it was trained on. (A part of the gap may be that the test region is harder than the others: the interval is over beginnings, not over regions.)"
      : gap.verdict === "worse" ? "Here the random split comes out lower: with so few test nuclei one region may simply be easier than another."
        : "Not told apart: so small a student hardly learns nuclei by heart, and one region may be easier than another. The leak is there all the same."}`;
  };
  model.on("change:result change:status", draw);
  draw();
  return [el("div", { class: "kd-split kd-live" }, el("div", {}, press, bar, status, table, summary), curves)];
}

// Panel 7: two accuracies on a test set of some size.
const CHANCES = ["samples", "first", "second"];
function renderChance(model, store) {
  const number = (label, name, scale) => numberControl({
    label, scale, ...(name === "samples" ? { min: 10, max: store.rules.samples.max, step: 0.01 } : { min: 0.5, max: 1, step: 0.0001 }), accepts: store.rules[name].accepts,
    accept: (value) => (name === "samples" ? Number.isInteger(value) && value >= store.rules.samples.min && value <= store.rules.samples.max : value >= 0 && value <= 1),
    format: (value) => (name === "samples" ? `${value}` : `${Number(value.toFixed(4))}`),
    read: () => store.get(name), write: (value) => store.set({ [name]: name === "samples" ? Math.round(value) : Number(value.toFixed(4)) }),
  });
  const controls = [number("Test images n", "samples", LOGARITHMIC), number("Student right", "first"), number("Teacher right", "second")];
  const picture = el("div"), verdict = el("p", { class: "kd-verdict" }), summary = el("p", { class: "kd-summary", role: "status" });
  const line = madeFor(model, store, CHANCES, [picture, verdict, summary], (made) => `${grouped(made.samples)} test images, ${made.first} and ${made.second}`);
  const status = statusLine(model, { idle: () => "", computing: () => "" });
  const draw = () => {
    const { intervals, right, needed, position, standard_error: error } = model.get("result");
    if (!intervals) return;
    picture.replaceChildren(intervalChart("95 % intervals of two accuracies", [["student", "blue"], ["teacher", "black"]].map(([label, colour], i) => ({ label: `${label}: ${interval(intervals[i])}`, colour, values: intervals[i] }))));
    const enough = needed !== null && position.samples >= needed;
    verdict.className = `kd-verdict kd-${enough ? "yes" : "open"}`;
    const gap = position.first - position.second;
    // At 1.96 standard errors two test sets tell them apart every second time.
    verdict.textContent = needed === null ? "The two are equal." : enough ? "So many images can tell these two apart."
      : Math.abs(gap) < 1.96 * error ? "So few images cannot tell these two apart." : "So many images tell these two apart more often than not, but not yet four times in five.";
    summary.textContent = `That is ${grouped(right[0])} and ${grouped(right[1])} of ${grouped(position.samples)} right. The difference is ${gap < 0 ? "−" : "+"}${Math.abs(100 * gap).toFixed(2)} points, and by chance alone two such test sets differ by about ${(100 * error).toFixed(1)} points (one standard error). ` +
      (needed === null ? "" : `To tell them apart four times in five takes about ${grouped(needed < 1000 ? needed : Number(needed.toPrecision(3)))} test images. Testing both on the same images needs fewer, and which of them each got right: that must be reported, too.`);
  };
  model.on("change:result", draw);
  const root = el("div", { class: "kd-split kd-live" }, el("div", {}, controls, verdict, summary, line, status), picture);
  draw();
  return [root, follow(store, CHANCES, root, () => { for (const control of controls) control.draw(); line.draw(); ask(model, pick(store, CHANCES)); })];
}

export default chapterPanels({
  images: renderImages, cost: renderCost, training: renderTraining, decision: renderDecision, calibration: renderCalibration, leakage: renderLeakage, chance: renderChance,
}, "images");
