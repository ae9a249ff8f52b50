// Chapter 3's panels of dense students, trained by the kernel; this draws what comes back.

const POSITION = ["temperature", "alpha", "feature_alpha", "method", "teacher_layer", "student_layer", "scenario", "width"];
const pairWords = (pairs) => pairs.map(([t, s]) => `the teacher’s ${layerTitle(t)} with the student’s ${layerTitle(s)}`).join(", ");
const positionWords = (model) => (made) => [
  titleOf(model.get("methods"), made.method), `α_f = ${plain(made.feature_alpha)}`,
  `teacher ${layerTitle(made.teacher_layer)}, student ${layerTitle(made.student_layer)}`,
  `“${titleOf(model.get("scenarios"), made.scenario)}”`, `T = ${plain(made.temperature)}`, `α = ${plain(made.alpha)}`, `${made.width} units a layer`,
].join(", ");

// Panel 1: which layers are tied, and ten students at every position.
function renderLive(model, store) {
  const result = () => model.get("result");
  const options = (name) => model.get(name).map((one) => [one.name, one.title]);
  const scenario = choice(store, "Scenario", "scenario", options("scenarios"));
  const width = choiceControl("Units a layer", model.get("widths").map((w) => [w, `${w}`]), () => store.get("width"), (w) => store.set({ width: Number(w) }));
  const method = choice(store, "Feature loss", "method", options("methods"));
  const layers = model.get("layers").map((name) => [name, layerTitle(name)]);
  const teacherLayer = choice(store, "Teacher’s layer", "teacher_layer", layers);
  const studentLayer = choice(store, "Student’s layer", "student_layer", layers);
  const [featureAlpha, alpha, temperature] = [featureAlphaControl(store), alphaControl(store), temperatureControl(store)];
  const controls = [scenario, width, method, teacherLayer, studentLayer, featureAlpha, alpha, temperature];
  const cases = model.get("cases").map((one) => [one, button(one.title, () => store.set(one.position))]);
  const caseNote = el("p", { class: "kd-expect" });
  const picture = el("div");
  const verdict = el("p", { class: "kd-verdict" });
  const words = el("p", { class: "kd-summary" });
  const status = statusLine(model, {
    idle: () => (result().students ? `Ten students with features ${result().compiled ? "compiled and " : ""}trained in ${milliseconds(result().seconds)}.` : ""),
    computing: () => (result().students ? "Training …" : FIRST_TIME),
  });
  const strip = el("div", { class: "kd-strip" }), curves = el("div");
  const replay = replayControl(store, () => result().students?.features.per_epoch[0].length ?? 0);
  const line = madeFor(model, store, POSITION, [verdict, words, strip, curves], positionWords(model));
  let chart = null;

  const drawTies = () => {
    const names = ["hidden_1", "hidden_2"];
    const tied = model.get("ties")[store.get("teacher_layer")][store.get("student_layer")];
    const units = (hidden) => [["pixels", 64], ["hidden 1", hidden], ["hidden 2", hidden], ["logits", 10]]
      .map(([title, n]) => ({ title, units: `${n}${title.startsWith("hidden") ? " units" : ""}` }));
    const on = store.get("feature_alpha") > 0;
    const response = store.get("alpha") > 0 && store.get("feature_alpha") < 1;
    picture.replaceChildren(
      tiesPicture({
        teacher: units(256), student: units(store.get("width")), response,
        ties: on ? tied.map(([t, s]) => [1 + names.indexOf(t), 1 + names.indexOf(s)]) : [],
        words: `${on ? `The feature loss ties ${pairWords(tied)}` : "No layers are tied"}; ${response ? "the softened answers are compared too" : "the softened answers are not compared"}.`,
      }),
      el("p", { class: "kd-order" }, weights()));
  };
  const weights = () => {
    const [f, a] = [store.get("feature_alpha"), store.get("alpha")];
    return `Weights: features ${plain(f)}, softened answers ${plain((1 - f) * a)}, labels ${plain((1 - f) * (1 - a))}.`;
  };
  const drawEpoch = () => {
    replay.draw();
    if (!result().students) return;
    strip.replaceChildren(stripChart({
      title: "Test accuracy of the teacher and of ten students without distillation, with answers only, and with features",
      teacher: { label: "teacher", accuracy: result().teacher.accuracy }, kinds: kindsOf(result().students), epoch: replay.at(),
    }));
    chart.at(replay.at() + 1);
  };
  const drawResult = () => {
    const r = result();
    if (!r.students) return;
    replay.stop();
    const [tone, sentence] = VERDICTS[r.differences.response.verdict];
    verdict.className = `kd-verdict kd-${tone}`;
    verdict.textContent = sentence;
    words.textContent = `With features minus answers only, the same ten beginnings and batches: ${difference(r.differences.response)}. ` +
      `Against no distillation at all: ${difference(r.differences.alone)}, ${VERBS[r.differences.alone.verdict]}.`;
    chart = learningCurves({ title: "Test accuracy while they learn, mean of ten", kinds: kindsOf(r.students).reverse() });
    curves.replaceChildren(chart);
    drawEpoch();
  };
  model.on("change:result", drawResult);
  let asked;
  const draw = () => {
    for (const control of controls) control.draw();
    const here = cases.find(([one]) => Object.entries(one.position).every(([name, value]) => store.get(name) === value));
    for (const [one, press] of cases) press.setAttribute("aria-pressed", String(one === here?.[0]));
    caseNote.textContent = here?.[0].sentence ?? "";
    drawTies();
    line.draw();
    drawEpoch();
    const wanted = JSON.stringify(pick(store, POSITION));
    if (wanted === asked) return;
    if (asked) store.set({ epoch: null });
    asked = wanted;
    ask(model, pick(store, POSITION));
  };
  const root = el("div", {},
    el("div", { role: "group", "aria-label": "Cases" }, cases.map(([, press]) => press)), caseNote,
    el("div", { class: "kd-split kd-live" },
      el("div", {}, controls, status, verdict, words, line),
      el("div", {}, el("h3", {}, "What is compared"), picture, el("h3", { class: "kd-next" }, "Test accuracy: each dot is a student"), strip, curves, replay)));
  drawResult();
  return [root, follow(store, [...POSITION, "epoch"], root, draw)];
}

// Panel 2: how alike teacher and student are inside.
const STAGES = { alone: "no distillation", response: "answers only", features: "with features" };
function renderInside(model, store) {
  const tables = el("div", { class: "kd-heats" });
  const planes = el("div", { class: "kd-planes" });
  const words = el("p", { class: "kd-summary", role: "status" }), planeWords = el("p", { class: "kd-summary" });
  const status = statusLine(model, { idle: () => "", computing: () => (model.get("result").cka ? "Looking …" : FIRST_TIME) });
  const line = madeFor(model, store, POSITION, [tables, planes, words, planeWords], positionWords(model));
  const drawResult = () => {
    const r = model.get("result");
    if (!r.cka) return;
    const titles = r.layers.map(layerTitle);
    tables.replaceChildren(...Object.entries({ before: "before training", ...STAGES }).map(([stage, title]) => heatmap({ title, rows: titles, columns: titles, corner: "T \\ S", values: r.cka[stage], marked: r.tied })));
    const [i, j] = r.tied[0];
    const at = (stage) => r.cka[stage][i][j].toFixed(2);
    words.textContent = `Similarity of the teacher’s ${layerTitle(r.layers[i])} and the student’s ${layerTitle(r.layers[j])}${r.tied.length > 1 ? ", the first of the tied pairs" : ", which are tied"}: ` +
      `${at("before")} before training, ${at("alone")} without distillation, ${at("response")} from answers only, ${at("features")} with features. Means of ten students. Rows are the teacher’s layers, columns the student’s; what is tied is framed.`;
    const { labels, limits, shares, points: where } = r.plane;
    planes.replaceChildren(...Object.entries({ teacher: "teacher", ...STAGES }).map(([kind, title]) => el("figure", { class: "kd-figure" },
      el("figcaption", {}, title), numerals({ title: `${labels.length} test digits as ${kind === "teacher" ? "the teacher’s layer" : `the student’s layer, ${title},`} sees them`, x: where[kind], labels, limits }))));
    planeWords.textContent = `${labels.length} test digits at these two layers. The axes are the two directions in which the teacher’s layer varies most; each student’s features are turned, mirrored and scaled ` +
      `as a whole to lie as near to the teacher’s as they can. The plane shows ${share(shares.teacher)} of the variance of the teacher’s layer, and of the first student’s ` +
      `${share(shares.alone)} without distillation, ${share(shares.response)} from answers only, ${share(shares.features)} with features.`;
  };
  model.on("change:result", drawResult);
  const root = el("div", {}, el("h3", {}, "Similarity (CKA) of every two layers"), tables, words, el("h3", { class: "kd-next" }, "Teacher and student in one plane"), planes, planeWords, line, status);
  drawResult();
  return [root, follow(store, POSITION, root, () => { line.draw(); ask(model, pick(store, POSITION)); }, true)];
}

export default chapterPanels({ live: renderLive, inside: renderInside });
