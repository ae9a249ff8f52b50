// Chapter 5: a student converted, held against boards, compared in pairs before and after int8, rounded, and as C source.

const CHOSEN = ["task", "width", "temperature", "alpha"];
const FORMS = { Keras: "Keras", float32: "LiteRT float32", int8: "LiteRT int8" };
const LINES = [
  ["student", "float32", { colour: "orange", dash: "9 5" }], ["student", "int8", { colour: "blue" }],
  ["teacher", "float32", { colour: "vermillion", dash: "3 4" }], ["teacher", "int8", { colour: "black", dash: "12 4 3 4" }],
];
const QUANTISED = {
  alone: { label: "alone, float32", colour: "orange" }, alone_int8: { label: "alone, int8", colour: "vermillion" },
  distilled: { label: "distilled, float32", colour: "sky" }, distilled_int8: { label: "distilled, int8", colour: "blue" },
};
const ORDER_VERDICTS = {
  better: ["yes", "Yes: distilled, then quantised, is better here."],
  worse: ["no", "No: distilled, then quantised, is worse here."],
  "not told apart": ["open", "Not told apart from chance."],
};
const LOADING = "Loading TensorFlow and preparing; the first time this takes some seconds …";
const taskOf = (model, name) => model.get("tasks").find((task) => task.name === name);
const chosenWords = (model) => (made) => `${taskOf(model, made.task).title}, ${made.width} student, T = ${plain(made.temperature)}, α = ${plain(made.alpha)}`;

function chosenControls(model, store) {
  const controls = [
    choice(store, "Task", "task", model.get("tasks").map(({ name, title }) => [name, title])),
    choice(store, "Student", "width", model.get("widths").map((name) => [name, name])),
    temperatureControl(store), alphaControl(store),
  ];
  const box = el("div", {}, controls);
  box.draw = () => { for (const control of controls) control.draw(); };
  return box;
}

// The bar of long work with what is being done; nothing while there is none.
function workingLine(model) {
  const bar = el("progress", { max: 1, value: 0, "aria-label": "work done" }), words = el("p", { class: "kd-order" });
  const line = el("div", {}, bar, words);
  const draw = () => {
    const { words: what, done, total } = model.get("progress");
    line.hidden = model.get("status") !== "computing" || !what;
    bar.value = total ? done / total : 0;
    words.textContent = what ? `${what}: ${done} of ${total}.` : "";
  };
  model.on("change:progress change:status", draw);
  draw();
  return line;
}

// Panel 1: the student's forms beside the teacher's.
function renderConvert(model, store) {
  const controls = chosenControls(model, store);
  const live = () => taskOf(model, store.get("task")).live;
  const computing = () => model.get("status") === "computing";
  const start = button("", () => ask(model, computing() ? { stop: true } : pick(store, CHOSEN)));
  const table = plainTable("The student and its teacher, converted"), summary = el("p", { class: "kd-summary", role: "status" });
  const status = statusLine(model, {
    idle: () => {
      if (model.get("stopped")) return "Stopped: nothing was converted.";
      const { seconds } = model.get("result");
      return seconds ? `Trained in ${milliseconds(seconds.training)}, converted and run in ${milliseconds(seconds.converting)}.` : live() ? "" : "This student is trained when you press the button.";
    },
    computing: () => (model.get("result").rows ? "Training, converting, running …" : LOADING),
  });
  const line = madeFor(model, store, CHOSEN, [table, summary], chosenWords(model));
  const drawButton = () => {
    start.hidden = live();
    start.textContent = computing() ? "■ Stop" : "Train and convert";
  };
  const drawResult = () => {
    drawButton();
    const r = model.get("result");
    if (!r.rows) return;
    table.fill({
      caption: `The student is ${r.student}. Accuracy on ${r.samples} test samples with its 95 % interval; time of one sample on one core of this machine, median and quartiles.`,
      heads: ["model", "test accuracy", "agrees with Keras", "file", "arena", "multiply-adds", "time"],
      rows: r.rows.map((row) => [`${row.name}, ${FORMS[row.form]}`, interval(row.accuracy), row.form === "Keras" ? "" : share(row.agreement), bytes(row.bytes),
        row.arena === undefined ? "" : bytes(row.arena), row.multiply_adds.toLocaleString("en"), duration(row.seconds)]),
    });
    const [keras, float32, int8] = r.rows;
    summary.textContent = `In int8 the file has ${share(int8.bytes / float32.bytes)} of its float32 bytes; the weights alone would be 25 %, but biases keep 4 bytes, and the rest says how the layers are joined. ` +
      (r.changed ? `Of ${r.samples} test samples int8 puts ${r.changed} in another class: ${r.lost} from right to wrong, ${r.won} from wrong to right. ` : `int8 puts all ${r.samples} test samples in the class that float32 puts them in. `) +
      `Here int8 takes ${digits(int8.seconds[0] / float32.seconds[0], 2)} times as long as float32, turning its input to integers and its output back included, and Keras ${digits(keras.seconds[0] / float32.seconds[0], 2)} times as long. This is a PC, quick at float32: it does not say how fast a microcontroller is.`;
  };
  model.on("change:result", drawResult);
  model.on("change:status", drawButton);
  const root = el("div", {}, linkNotes(store), el("div", { class: "kd-split" }, el("div", {}, controls), el("div", {}, start, workingLine(model), status, line)), table, summary);
  drawResult();
  return [root, follow(store, CHOSEN, root, () => {
    controls.draw();
    line.draw();
    drawButton();
    if (live()) ask(model, pick(store, CHOSEN));
  }, true)];
}

// Panel 2: flash and RAM of boards against the models of panel 1.
const SIGNS = { fits: "✓", close: "≈", "does not fit": "✗" };
function renderBoards(model, store) {
  const boards = model.get("boards");
  const pictures = el("div", { class: "kd-boards" }), table = plainTable("Boards and models"), summary = el("p", { class: "kd-summary", role: "status" });
  const waiting = el("p", { class: "kd-status" }, "This follows the student that section 1 converts.");
  const line = madeFor(model, store, CHOSEN, [pictures, table, summary], chosenWords(model));
  const verdict = (row, i) => {
    const [flash, ram] = [row.bytes / boards[i].flash, row.arena / boards[i].ram];
    return `${SIGNS[row.boards[i]]} ${row.boards[i]}: ${flash > ram ? `flash ${share(flash)}` : `RAM ${share(ram)}`}`;
  };
  const drawResult = () => {
    const r = model.get("result");
    waiting.hidden = Boolean(r.rows);
    if (!r.rows) return;
    const found = LINES.map(([name, form, look]) => ({ row: r.rows.find((row) => row.name === name && row.form === form), label: `${name}, ${form}`, look })).filter(({ row }) => row);
    const chart = (title, memory, needs) => memoryChart({
      title, boards: boards.map((board) => ({ name: board.name, bytes: board[memory] })), models: found.map(({ row, label, look }) => ({ label, bytes: row[needs], ...look })),
    });
    pictures.replaceChildren(chart("Flash of the boards, and the files", "flash", "bytes"), chart("RAM in one piece, and the arenas", "ram", "arena"));
    table.fill({
      caption: `Close: more than ${100 * model.get("close_from")} % of flash or RAM, whichever has less room left; program, interpreter and stack want theirs too.`,
      heads: ["board", "flash", "RAM", ...found.map(({ label }) => label), "numbers from"],
      rows: boards.map((board, i) => [board.name, bytes(board.flash), board.counted || bytes(board.ram), ...found.map(({ row }) => verdict(row, i)),
        el("a", { href: board.source, target: "_blank", rel: "noopener" }, new URL(board.source).hostname)]),
    });
    const count = (row, wanted) => row.boards.filter((one) => one === wanted).length;
    summary.textContent = `Of ${boards.length} boards: ${found.map(({ row, label }) => `${label}: ${Object.keys(SIGNS).filter((one) => count(row, one)).map((one) => `${one} on ${count(row, one)}`).join(", ")}`).join("; ")}.`;
  };
  model.on("change:result", drawResult);
  const root = el("div", {}, waiting, pictures, summary, table, line);
  drawResult();
  return [root, follow(store, CHOSEN, root, () => line.draw())];
}

// Panel 3: students alone and distilled, before and after int8, in pairs.
function renderPairs(model, store) {
  const controls = chosenControls(model, store);
  const computing = () => model.get("status") === "computing";
  const start = button("", () => ask(model, computing() ? { stop: true } : pick(store, CHOSEN)));
  const verdict = el("p", { class: "kd-verdict" }), summary = el("p", { class: "kd-summary", role: "status" });
  const strip = el("div", { class: "kd-strip" }), table = plainTable("Paired differences");
  const status = statusLine(model, {
    idle: () => {
      if (model.get("stopped")) return "Stopped before there were two pairs: there is nothing to compare.";
      const { pairs, seconds } = model.get("result");
      return pairs ? `${pairs} pairs in ${seconds.toFixed(0)} s.` : "Ten pairs of digits take some seconds, five of nuclei a minute or two.";
    },
    computing: () => (model.get("result").pairs ? "Working …" : "Working; the first time TensorFlow has to be loaded, too …"),
  });
  const line = madeFor(model, store, CHOSEN, [verdict, summary, strip, table], chosenWords(model));
  const drawButton = () => { start.textContent = computing() ? "■ Stop" : "Train and quantise the pairs"; };
  const drawResult = () => {
    const r = model.get("result");
    if (!r.differences) return;
    const [tone, sentence] = ORDER_VERDICTS[r.differences.order.verdict];
    verdict.className = `kd-verdict kd-${tone}`;
    verdict.textContent = sentence;
    strip.replaceChildren(stripChart({
      title: "Test accuracy of the teacher and of every student, before and after int8", teacher: { label: "teacher", accuracy: r.teacher }, epoch: 0,
      kinds: Object.entries(QUANTISED).map(([kind, look]) => ({ ...look, runs: r.students[kind].runs.map((value) => [value]), accuracy: r.students[kind].accuracy })),
    }));
    const rows = { order: "distilled − alone, both in int8", float32: "distilled − alone, both in float32", alone: "int8 − float32, alone", distilled: "int8 − float32, distilled" };
    table.fill({
      caption: `Paired differences in points of accuracy, mean of ${r.pairs} pairs with 95 % interval.`, heads: ["difference", "points", "95 % interval", "says of the first"],
      rows: Object.entries(rows).map(([name, words]) => { const d = r.differences[name]; return [words, points(d.mean), `${points(d.low)} to ${points(d.high)}`, VERBS[d.verdict]]; }),
    });
    const { alone, distilled, alone_int8: before, distilled_int8: after } = r.students;
    summary.textContent = `Alone ${interval(alone.accuracy)}, in int8 ${interval(before.accuracy)}. Distilled ${interval(distilled.accuracy)}, in int8 ${interval(after.accuracy)}. ` +
      "Intervals speak of the seeds alone; all students see the same test samples. With four comparisons at a time, one small “better” or “worse” may well be luck.";
  };
  model.on("change:result", drawResult);
  model.on("change:status", drawButton);
  const root = el("div", {}, el("div", { class: "kd-split kd-live" }, el("div", {}, controls, start, workingLine(model), status, verdict, line), el("div", {}, strip)), summary, table);
  drawButton();
  drawResult();
  return [root, follow(store, CHOSEN, root, () => { controls.draw(); line.draw(); })];
}

// Panel 4: fewer bits.
function renderBits(model, store) {
  const bits = numberControl({
    label: "Bits", min: 2, max: 8, step: 1, accepts: "a whole number from 2 to 8", accept: (value) => store.rules.bits.choices.includes(value),
    read: () => store.get("bits"), write: (value) => store.set({ bits: value }),
  });
  const task = choice(store, "Task", "task", model.get("tasks").map(({ name, title }) => [name, title]));
  const heading = el("h3", {}, "The weights of one unit"), picture = el("div"), curve = el("div"), summary = el("p", { class: "kd-summary", role: "status" });
  const missing = el("p", { class: "kd-status" }, "Students of nuclei take longer: train the pairs of section 3 first, then look here.");
  const status = statusLine(model, { idle: () => "", computing: () => (model.get("result").bits ? "Rounding …" : LOADING) });
  const line = madeFor(model, store, CHOSEN, [picture, curve, summary], chosenWords(model));
  let chart = null;
  const draw = () => {
    const r = model.get("result");
    missing.hidden = !r.position || Boolean(r.bits);
    heading.hidden = picture.hidden = curve.hidden = line.hidden = !r.bits;
    if (!r.bits) { summary.textContent = ""; return; }
    const now = r.bits.find((one) => one.bits === store.get("bits"));
    picture.replaceChildren(roundingPicture({ title: `${r.unit.length} weights of one unit, rounded to ${now.bits} bits`, weights: r.unit, rounded: now.unit, bits: now.bits }));
    chart?.at(now.bits);
    summary.textContent = `With ${now.bits} bits a weight, the rounding errors are ${share(now.error)} of the weights’ own size. Test accuracy, mean of ${r.students}: ` +
      `alone ${interval(now.accuracy.alone)}, with unrounded weights ${share(r.float32.alone[0])}; distilled ${interval(now.accuracy.distilled)}, with unrounded weights ${share(r.float32.distilled[0])}.`;
  };
  const drawResult = () => {
    const r = model.get("result");
    if (r.bits) {
      const series = (kind) => r.bits.map((one) => one.accuracy[kind][0]);
      const all = [...series("alone"), ...series("distilled")];
      chart = lineChart({
        title: `Test accuracy by bits of the weights, mean of ${r.students} students`, x: r.bits.map((one) => one.bits), xLabel: "bits", yLabel: "accuracy", height: 230,
        yMin: Math.floor(10 * Math.min(...all)) / 10, yMax: 1,
        series: [{ label: "alone", colour: "orange", dash: "9 5", values: series("alone") }, { label: "distilled", colour: "blue", values: series("distilled") }],
      });
      curve.replaceChildren(chart);
    }
    draw();
  };
  model.on("change:result", drawResult);
  const request = () => ask(model, pick(store, CHOSEN));
  model.on("change:trained", request);
  const root = el("div", { class: "kd-split kd-live" }, el("div", {}, task, bits, summary, missing, line, status),
    el("div", {}, heading, picture, curve));
  drawResult();
  return [root, follow(store, [...CHOSEN, "bits"], root, (changed) => {
    task.draw();
    bits.draw();
    line.draw();
    draw();
    if (changed.some((name) => name !== "bits")) request();
  }, true)];
}

// Panel 5: the file as C source.
const HEAD = 9;  // lines
function renderSource(model, store) {
  const code = el("pre", { class: "kd-code", tabindex: 0, "aria-label": "head of the C source" }), words = el("p", { class: "kd-summary", role: "status" });
  const link = el("a", { class: "kd-button kd-download" });
  const waiting = el("p", { class: "kd-status" }, "This follows the student that section 1 converts.");
  const line = madeFor(model, store, CHOSEN, [code, words], chosenWords(model));
  let url = null;
  const draw = () => {
    const { source, position } = model.get("result");
    waiting.hidden = Boolean(source);
    link.hidden = !source;
    if (!source) return;
    const lines = source.trimEnd().split("\n");
    code.textContent = [...lines.slice(0, HEAD), "    …", ...lines.slice(-2)].join("\n");
    if (url) URL.revokeObjectURL(url);
    url = URL.createObjectURL(new Blob([source], { type: "text/x-c" }));
    const name = `student_${position.task}.h`;
    Object.assign(link, { href: url, download: name });
    link.textContent = `Download ${name}`;
    words.textContent = `${lines.length} lines, ${lines.at(-1).match(/\d+/g).at(-1)} bytes of the int8 file from section 1.`;
  };
  model.on("change:result", draw);
  const root = el("div", {}, waiting, code, words, link, line);
  draw();
  return [root, follow(store, CHOSEN, root, () => line.draw())];
}

export default chapterPanels({ convert: renderConvert, boards: renderBoards, pairs: renderPairs, bits: renderBits, source: renderSource });
