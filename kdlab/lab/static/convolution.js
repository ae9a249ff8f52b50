// Chapter 3's convolutional students of nuclei: trained at a press, drawn epoch by epoch; then, where they look.

const CONVOLUTION = ["temperature", "alpha", "convolution_method", "stage", "convolution_alpha"];
const convolutionRequest = (store) => ({
  ...pick(store, ["temperature", "alpha", "stage"]), method: store.get("convolution_method"), feature_alpha: store.get("convolution_alpha"),
});
const convolutionWords = (model) => (made) =>
  `${titleOf(model.get("methods"), made.method)}, ${made.stage} layers, α_f = ${plain(made.feature_alpha)}, T = ${plain(made.temperature)}, α = ${plain(made.alpha)}`;
const stageChoice = (model, store) => choice(store, "Layers", "stage", model.get("stages").map((one) => [one.name, one.title]));

// Panel 3a: three students of each kind, one after another.
function renderConvolution(model, store) {
  const method = choice(store, "Feature loss", "convolution_method", model.get("methods").map((one) => [one.name, one.title]));
  const controls = [method, stageChoice(model, store), featureAlphaControl(store, "convolution_alpha"), alphaControl(store), temperatureControl(store)];
  const computing = () => model.get("status") === "computing";
  const start = button("", () => ask(model, computing() ? { stop: true } : convolutionRequest(store)));
  const bar = el("progress", { max: 1, value: 0, "aria-label": "epochs trained" });
  const verdict = el("p", { class: "kd-verdict" }), summary = el("p", { class: "kd-summary", role: "status" });
  const strip = el("div", { class: "kd-strip" }), curves = el("div");
  const stripTitle = el("h3", { class: "kd-next" }, "Test accuracy after the last epoch");
  const status = statusLine(model, {
    idle: () => {
      const { done, total, seconds } = model.get("result");
      if (!done) return "";
      return done === total ? `${done} epochs in all, what was new trained in ${seconds.toFixed(0)} s.` : `Stopped after ${done} of ${total} epochs: there is no verdict on half-trained students.`;
    },
    computing: () => (model.get("result").done ? `Training … ${model.get("result").done} of ${model.get("result").total} epochs.` : "Loading TensorFlow and preparing; the first time this takes some seconds …"),
  });
  const same = (made) => JSON.stringify(Object.entries(made).sort()) === JSON.stringify(Object.entries(convolutionRequest(store)).sort());
  const line = madeFor(model, store, [], [verdict, summary, strip, curves], convolutionWords(model), (r) => same(r.position));
  const draw = () => {
    start.textContent = computing() ? "■ Stop" : "Train three students of each kind";
    const r = model.get("result");
    bar.hidden = !computing();
    bar.value = r.done && computing() ? r.done / r.total : 0;
    stripTitle.hidden = true;
    if (!r.students) return;
    curves.replaceChildren(manyCurves({
      title: "Test accuracy while they learn: a line is a student", epochs: model.get("epochs"),
      kinds: Object.entries(KINDS).map(([kind, look]) => ({ ...look, runs: r.students[kind]?.per_epoch ?? [] })),
    }));
    verdict.textContent = summary.textContent = "";
    strip.replaceChildren();
    if (!r.differences) return;
    stripTitle.hidden = false;
    const [tone, sentence] = VERDICTS[r.differences.response.verdict];
    verdict.className = `kd-verdict kd-${tone}`;
    verdict.textContent = sentence;
    summary.textContent = `With features minus answers only, from the same three beginnings: ${difference(r.differences.response)}. Against no distillation at all: ${difference(r.differences.alone)}, ` +
      `${VERBS[r.differences.alone.verdict]}. Three students tell little apart: press again with other settings before you believe in a small difference.`;
    strip.replaceChildren(stripChart({
      title: "Test accuracy of the teacher and of three students of each kind", teacher: { label: "teacher", accuracy: r.teacher.accuracy },
      kinds: kindsOf(r.students), epoch: model.get("epochs") - 1,
    }));
  };
  model.on("change:result change:status", draw);
  const root = el("div", { class: "kd-split kd-live" }, el("div", {}, controls, start, bar, status, verdict, summary, line), el("div", {}, curves, stripTitle, strip));
  draw();
  return [root, follow(store, CONVOLUTION, root, () => { for (const control of controls) control.draw(); line.draw(); })];
}

// Panel 3b: where teacher and students look in a nucleus.
const NETWORKS = { teacher: "teacher", alone: "no distillation", response: "answers only", features: "with features" };
function renderMaps(model, store) {
  const { bytes, side, labels } = model.get("nuclei");
  const pixels = bytesOf(bytes);
  const size = 3 * side * side;
  const nucleus = (i, words) => mapCanvas(pixels.subarray(i * size, (i + 1) * size), [side, side], words);
  const stage = stageChoice(model, store);
  const chosen = labels.map((label, i) => el("button", {
    type: "button", class: "kd-digit", "data-rove": true, tabindex: i ? -1 : 0, "aria-label": `nucleus ${i + 1}, ${label}`, onclick: () => store.set({ nucleus: i }),
  }, nucleus(i)));
  const grid = el("div", { class: "kd-grid-digits kd-grid-nuclei", role: "group", "aria-label": "Nuclei" }, chosen);
  rove(grid, () => Math.max(1, Math.floor(grid.clientWidth / 66)));
  const seen = el("div", { class: "kd-seen" }), channels = el("div");
  const summary = el("p", { class: "kd-summary", role: "status" });
  const line = madeFor(model, store, ["stage"], [seen, channels, summary], (made) => `nucleus ${made.image + 1}, ${made.stage} layers`, (r) => r.position.image === store.get("nucleus"));
  const status = statusLine(model, { idle: () => "", computing: () => (model.get("result").attention ? "Looking …" : "Loading TensorFlow and the teacher …") });
  const drawResult = () => {
    const r = model.get("result");
    if (!r.attention) return;
    const { image } = r.position;
    const known = Object.entries(NETWORKS).filter(([kind]) => r.attention[kind]);
    seen.replaceChildren(
      el("figure", { class: "kd-figure" }, el("figcaption", {}, `nucleus ${image + 1}: ${r.label}`), nucleus(image, `nucleus ${image + 1}`)),
      ...known.map(([kind, title]) => el("figure", { class: "kd-figure" }, el("figcaption", {}, `${title}: ${r.answers[kind]}`), mapCanvas(r.attention[kind], r.shape, `attention map, ${title}`))));
    channels.replaceChildren(...known.map(([kind, title]) => el("div", { class: "kd-channel-row" }, el("span", {}, title),
      el("div", { class: "kd-channels" }, r.channels[kind].map((map, c) => mapCanvas(map, r.shape, `channel ${c + 1}, ${title}`))))));
    summary.textContent = known.length > 1
      ? "Blue is where a network responds. The students are the first of each kind that the panel above trained to the end."
      : "Blue is where the network responds. Train students in the panel above to see theirs beside it.";
  };
  model.on("change:result", drawResult);
  const root = el("div", {}, el("h3", {}, "Choose a nucleus of the test region"), grid, stage,
    el("h3", { class: "kd-next" }, "Where they look (attention maps), and what they answer"), seen, el("h3", { class: "kd-next" }, "Feature maps: the channels that respond most"), channels, summary, line, status);
  const request = () => ask(model, { image: store.get("nucleus"), stage: store.get("stage") });
  model.on("change:trained", request);
  drawResult();
  return [root, follow(store, ["nucleus", "stage"], root, () => {
    chosen.forEach((one, i) => one.setAttribute("aria-pressed", String(i === store.get("nucleus"))));
    stage.draw();
    line.draw();
    request();
  }, true)];
}

export default chapterPanels({ convolution: renderConvolution, maps: renderMaps });
