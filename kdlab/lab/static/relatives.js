// Chapter 3's relatives: two students that teach each other, many distilled ones together, and another view.

const RELATIVE_VERDICTS = { better: "yes", worse: "no", "not told apart": "open" };

// A panel of two kinds of students: `words` has {without, with, teacher, verdicts, sentence(result)}, `extra` what else it shows.
function renderPair(model, store, names, controls, words, extra = null) {
  const verdict = el("p", { class: "kd-verdict" });
  const summary = el("p", { class: "kd-summary", role: "status" });
  const strip = el("div", { class: "kd-strip" });
  const status = statusLine(model, { idle: () => "", computing: () => (model.get("result").students ? "Training …" : FIRST_TIME) });
  const line = madeFor(model, store, names, [verdict, summary, strip], words.position);
  const drawResult = () => {
    const r = model.get("result");
    if (!r.students) return;
    verdict.className = `kd-verdict kd-${RELATIVE_VERDICTS[r.difference.verdict]}`;
    verdict.textContent = words.verdicts[r.difference.verdict];
    summary.textContent = words.sentence(r);
    const kinds = [["without", "orange"], ["with", "blue"]].map(([kind, colour]) => ({ label: words[kind], colour, runs: r.students[kind].per_epoch, accuracy: r.students[kind].accuracy }));
    strip.replaceChildren(stripChart({ title: words.title, teacher: { label: words.teacher, accuracy: r.teacher }, kinds, epoch: kinds[0].runs[0].length - 1 }));
  };
  model.on("change:result", drawResult);
  const root = el("div", { class: "kd-split kd-live" }, el("div", {}, controls, extra, status, verdict, summary, line), el("div", {}, el("h3", {}, "Test accuracy: each dot is a student"), strip));
  drawResult();
  return [root, follow(store, names, root, () => {
    for (const control of controls) control.draw();
    extra?.draw();
    line.draw();
    ask(model, pick(store, names));
  }, true)];
}

const TASK = ["temperature", "alpha", "scenario", "width"];
const taskWords = (model) => (made) => `“${titleOf(model.get("scenarios"), made.scenario)}”, T = ${plain(made.temperature)}, α = ${plain(made.alpha)}, ${made.width} units a layer`;
const scenarioChoice = (model, store) => choice(store, "Scenario", "scenario", model.get("scenarios").map((one) => [one.name, one.title]));

// Panel 5a: deep mutual learning.
const renderMutual = (model, store) => renderPair(model, store, TASK, [scenarioChoice(model, store), temperatureControl(store), alphaControl(store)], {
  title: "Test accuracy of ten students alone and of ten that learnt in pairs", without: "alone", with: "in pairs", teacher: "a teacher",
  position: taskWords(model),
  verdicts: { better: "Yes: they teach each other something.", worse: "No: together they learn less.", "not told apart": "Not told apart from chance." },
  sentence: (r) => `In pairs minus alone, the same beginnings and batches: ${difference(r.difference)}, means of ten pairs. The teacher is drawn for comparison and taught none of them.`,
});

// Panel 5c: a student that sees something else than its teacher.
function renderView(model, store) {
  const view = choice(store, "Student sees", "view", model.get("views").map((one) => [one.name, one.title]));
  const pictures = el("div", { class: "kd-views" });
  const images = bytesOf(model.get("image_bytes"));
  const extra = el("div", {}, pictures);
  const count = images.length / 64 / (1 + model.get("views").length);  // the whole digits first, then view by view
  extra.draw = () => {
    const k = 1 + model.get("views").findIndex((one) => one.name === store.get("view"));
    const row = (which, words) => el("figure", { class: "kd-figure" }, el("figcaption", {}, words), el("div", { class: "kd-channels" },
      Array.from({ length: count }, (_, i) => thumbnail(images.subarray(64 * (count * which + i), 64 * (count * which + i + 1)), 8))));
    pictures.replaceChildren(row(0, "What the teacher sees"), row(k, "What the student sees"));
  };
  return renderPair(model, store, ["view", "temperature", "alpha", "width"], [view, temperatureControl(store), alphaControl(store)], {
    title: "Test accuracy of the teacher on whole digits and of ten students on their view of them", without: "labels only", with: "distilled", teacher: "teacher, whole",
    position: (made) => `${titleOf(model.get("views"), made.view)}, ${taskWords(model)(made)}`,
    verdicts: { better: "Yes: the teacher’s view helps.", worse: "No: the teacher’s view hurts.", "not told apart": "Not told apart from chance." },
    sentence: (r) => `Distilled minus labels only, both on the view: ${difference(r.difference)}.`,
  }, extra);
}

// Panel 5b: one and many.
function renderEnsemble(model, store) {
  const controls = [scenarioChoice(model, store), temperatureControl(store), alphaControl(store)];
  const table = plainTable("Students together"), chart = el("div");
  const summary = el("p", { class: "kd-summary", role: "status" });
  const line = madeFor(model, store, TASK, [table, chart, summary], taskWords(model));
  const status = statusLine(model, { idle: () => "", computing: () => (model.get("result").together ? "Training a hundred students …" : FIRST_TIME) });
  const drawResult = () => {
    const { together, gain, teacher } = model.get("result");
    if (!together) return;
    const sizes = together.alone.map((_, i) => i + 1);
    const means = (kind) => together[kind].map(([mean]) => mean);
    const low = Math.floor(20 * Math.min(...means("alone"), ...means("distilled"))) / 20;
    const picture = lineChart({
      title: "Test accuracy of students that answer as one", x: sizes, yMin: low, yMax: Math.min(1, Math.ceil(20 * teacher + 0.01) / 20), withCursor: false, xLabel: "students together", yLabel: "accuracy", height: 240,
      series: [{ label: "distilled", colour: "blue", values: means("distilled") }, { label: "no distillation", colour: "orange", dash: "9 5", values: means("alone") },
        { label: "the teacher", colour: "black", dash: "2 4", values: sizes.map(() => teacher) }],
    });
    chart.replaceChildren(picture);
    table.fill({
      caption: "Test accuracy with 95 % intervals over ten groups of students", hidden: true, heads: ["", "no distillation", "distilled"],
      rows: [0, sizes.length - 1].map((i) => [i ? `${sizes[i]} students together` : "one student", interval(together.alone[i]), interval(together.distilled[i])]),
    });
    summary.textContent = `With ${sizes.length} together instead of one the students without distillation change by ${points(gain.alone.mean)} points, the distilled ones by ${points(gain.distilled.mean)}. ` +
      "Students of one teacher err more alike, so there may be less left to gain.";
  };
  model.on("change:result", drawResult);
  const root = el("div", { class: "kd-split kd-live" }, el("div", {}, controls, status, summary, line), el("div", {}, chart, table));
  drawResult();
  return [root, follow(store, TASK, root, () => { for (const control of controls) control.draw(); line.draw(); ask(model, pick(store, TASK)); }, true)];
}

export default chapterPanels({ mutual: renderMutual, ensemble: renderEnsemble, view: renderView });
