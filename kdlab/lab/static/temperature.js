// Chapter 1's panels; `panel` says which. All of it is computed here, in the browser, from the teacher's real logits.

function readDigits(model) {
  const bytes = (name) => model.get(name);
  const floats = (view) => new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  const logits = floats(bytes("logit_bytes"));
  const images = bytesOf(bytes("image_bytes"));
  const labels = [...bytesOf(bytes("label_bytes"))];
  return {
    count: labels.length,
    labels,
    logits: (i) => Array.from(logits.subarray(10 * i, 10 * i + 10)),
    image: (i) => images.subarray(64 * i, 64 * i + 64),
    order: model.get("order"),
  };
}

const CLASSES = [..."0123456789"];
const current = (store, digits) => (store.get("logits").length ? store.get("logits") : digits.logits(store.get("digit")));
const trueClass = (store, digits) => (store.get("logits").length ? null : digits.labels[store.get("digit")]);

function digitButton(digits, i, text, chosen) {
  return el("button", { class: "kd-digit", type: "button", "data-rove": true, "data-digit": i, tabindex: -1, "aria-label": text, title: text, onclick: chosen },
    thumbnail(digits.image(i), 8));
}

// Panel 1: pick a digit or set the logits, and soften.
function renderBars(model, store, digits) {
  const columns = () => Math.max(1, Math.floor(grid.clientWidth / 50));
  const grid = el("div", { class: "kd-grid-digits", role: "group", "aria-label": "Digits of the test set, the ambiguous ones first" });
  let shown = 0;
  const more = el("button", { type: "button", class: "kd-button", onclick: () => addDigits(30) }, "Show 30 more");
  const addDigits = (count) => {
    for (const i of digits.order.slice(shown, shown + count)) {
      const [first, second] = ranking(digits.logits(i));
      grid.append(digitButton(digits, i, `a ${digits.labels[i]}; the teacher says ${first}, then ${second}`, () => store.set({ digit: i, logits: [] })));
    }
    shown = Math.min(shown + count, digits.count);
    more.hidden = shown >= digits.count;
    mark();
  };
  const mark = () => {
    const own = store.get("logits").length > 0;
    const buttons = [...grid.children];
    for (const button of buttons) button.setAttribute("aria-pressed", String(!own && Number(button.dataset.digit) === store.get("digit")));
    if (!buttons.some((button) => button.tabIndex === 0)) (buttons.find((b) => b.getAttribute("aria-pressed") === "true") ?? buttons[0]).tabIndex = 0;
  };
  rove(grid, columns);

  const message = el("p", { class: "kd-message", role: "alert" });
  const boxes = CLASSES.map((name, k) => el("input", {
    type: "text", inputmode: "decimal", class: "kd-box", "aria-label": `logit of class ${name}`,
    onchange: () => {
      const value = boxes[k].value.trim() === "" ? NaN : Number(boxes[k].value.replace(",", "."));
      if (!Number.isFinite(value)) {
        message.textContent = `The logit of class ${name} must be a finite number, got “${boxes[k].value}”. The bars still show the last good logits.`;
        return;
      }
      message.textContent = "";
      store.set({ logits: current(store, digits).map((z, i) => (i === k ? value : z)) });
    },
  }));
  const byHand = el("details", { class: "kd-details" }, el("summary", {}, "Set the logits by hand"),
    el("div", { class: "kd-logits" }, boxes.map((box, k) => el("label", {}, `z${String.fromCharCode(8320 + k)}`, box))),
    el("button", { type: "button", class: "kd-button", onclick: () => { message.textContent = ""; store.set({ logits: [] }); drawHand(); } }, "Back to the digit"),
    message);
  const drawHand = () => boxes.forEach((box, k) => { box.value = plain(current(store, digits)[k]); });

  const control = temperatureControl(store);
  const picked = el("div", { class: "kd-picked" });
  const table = barTable(CLASSES, [{ bare: true }, { colour: "black" }, { colour: "orange" }, { colour: "blue" }],
    "Logit, hard label, probabilities at T = 1 and at the chosen temperature, for each class");
  const summary = el("p", { class: "kd-summary", role: "status" });
  const order = el("p", { class: "kd-order" });

  let voice;
  const draw = (changed) => {
    const T = store.get("temperature");
    const logits = current(store, digits);
    const truth = trueClass(store, digits);
    const now = softmax(logits, T);
    const hard = logits.map((_, k) => (k === (truth ?? ranking(logits)[0]) ? 1 : 0));
    table.draw([
      { title: "logit", values: logits, text: plain },
      { title: truth === null ? "largest" : "hard label", values: hard },
      { title: "T = 1", values: softmax(logits, 1) },
      { title: `T = ${plain(T)}`, values: now },
    ], truth === null ? [] : [truth]);
    control.draw();
    if (changed.includes("digit") || changed.includes("logits")) {
      drawHand();
      mark();
      picked.replaceChildren(...(truth === null
        ? [el("p", {}, "Your own logits")]
        : [thumbnail(digits.image(store.get("digit")), 8), el("p", {}, `A “${truth}” by its label; the teacher reads “${ranking(logits)[0]}”.`)]));
      order.textContent = `Rank of the classes, the same at every T: ${ranking(logits).join(" > ")}`;
    }
    // The sentence is for reading, not for watching: it follows when the hand rests.
    clearTimeout(voice);
    voice = setTimeout(() => {
      const [first, second] = ranking(logits);
      summary.textContent = `At T = ${plain(T)} class ${first} has ${percent(now[first])}, class ${second} ${percent(now[second])}; ` +
        `entropy ${entropyBits(now).toFixed(2)} of at most ${Math.log2(10).toFixed(2)} bits.`;
    }, 250);
  };
  const root = el("div", { class: "kd-split" },
    el("div", {}, el("h3", {}, "A real digit"), grid, more, byHand),
    el("div", {}, el("div", { class: "kd-picked-row" }, picked), control, table, order, summary));
  addDigits(30);
  return [root, follow(store, ["temperature", "digit", "logits"], root, draw)];
}

// Panel 2: the mean softened distribution per true class, and the digits behind one of its cells.
function renderKnowledge(model, store, digits) {
  const control = temperatureControl(store);
  const members = CLASSES.map((_, c) => digits.labels.flatMap((label, i) => (label === c ? [i] : [])));
  const chosen = () => store.get("cell").split("-").map(Number);
  const cells = CLASSES.map((_, r) => CLASSES.map((_, c) => el("button", {
    type: "button", "data-rove": true, tabindex: r === chosen()[0] && c === chosen()[1] ? 0 : -1, class: r === c ? "kd-cell kd-diagonal" : "kd-cell",
    onclick: () => store.set({ cell: `${r}-${c}` }),
  })));
  const body = el("tbody", {}, cells.map((row, r) => el("tr", {}, el("th", { scope: "row" }, CLASSES[r]), row.map((cell) => el("td", {}, cell)))));
  const table = el("table", { class: "kd-matrix" },
    el("caption", {}, "Row: the true class. Column: the share this teacher gives that class, in per cent."),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "true"), CLASSES.map((name) => el("th", { scope: "col" }, name)))), body);
  rove(body, () => 10);
  const heading = el("h3", {});
  const alike = el("div", { class: "kd-grid-alike", role: "group" });
  rove(alike, () => 1);
  const summary = el("p", { class: "kd-summary", role: "status" });
  const draw = () => {
    control.draw();
    const T = store.get("temperature");
    const [shownRow, shownColumn] = chosen();
    const soft = digits.labels.map((_, i) => softmax(digits.logits(i), T));
    const mean = members.map((rows) => CLASSES.map((_, c) => rows.reduce((sum, i) => sum + soft[i][c], 0) / rows.length));
    const off = Math.max(...mean.flatMap((row, r) => row.filter((_, c) => c !== r)));
    mean.forEach((row, r) => row.forEach((value, c) => {
      const cell = cells[r][c];
      const strength = r === c ? 0 : value / off;
      cell.textContent = value < 0.0005 ? "·" : value < 0.0995 ? (100 * value).toFixed(1) : (100 * value).toFixed(0);
      cell.style.setProperty("--kd-strength", `${Math.round(100 * strength)}%`);
      cell.classList.toggle("kd-strong", strength > 0.7);
      cell.dataset.value = value;
      cell.setAttribute("aria-label", `true ${r}, share of class ${c}: ${percent(value)}`);
      cell.setAttribute("aria-pressed", String(r === shownRow && c === shownColumn));
    }));
    const [r, c] = [shownRow, shownColumn];
    heading.textContent = r === c ? `The ${r}s this teacher is surest of` : `Which ${r}s look like ${c}s to this teacher`;
    const best = [...members[r]].sort((a, b) => soft[b][c] - soft[a][c]).slice(0, 6);
    alike.setAttribute("aria-label", heading.textContent);
    alike.replaceChildren(...best.map((i) => el("div", { class: "kd-alike" },
      digitButton(digits, i, `this ${r}, with ${percent(soft[i][c])} for ${c}: show it in the bars above`, () => store.set({ digit: i, logits: [] })),
      el("span", {}, percent(soft[i][c])))));
    alike.querySelector("button").tabIndex = 0;
    const pairs = mean.flatMap((row, a) => row.map((value, b) => [value, a, b])).filter(([, a, b]) => a !== b).sort((a, b) => b[0] - a[0]);
    summary.textContent = `At T = ${plain(T)} the likeliest mix-ups: ` +
      pairs.slice(0, 3).map(([value, a, b]) => `${a} as ${b} (${percent(value)})`).join(", ") + ".";
  };
  const root = el("div", {}, control, el("div", { class: "kd-split" }, el("div", {}, table), el("div", {}, heading, alike, summary)));
  return [root, follow(store, ["temperature", "cell"], root, draw)];
}

// Panel 3: why T².
function renderGradients(model, store) {
  const curves = model.get("curves");
  const control = temperatureControl(store);
  const top = Math.max(...curves.with_square, curves.hard) * 1.08;
  const size = lineChart({
    title: "Size of the gradient that reaches the student's logits", x: curves.temperatures, logarithmic: true, yMin: 0, yMax: top,
    xLabel: "temperature T (log scale)", yLabel: "mean gradient norm",
    series: [
      { label: "soft term with T²", values: curves.with_square, colour: "blue" },
      { label: "soft term without T²", values: curves.without_square, colour: "vermillion", dash: "9 5" },
      { label: "hard labels (no T in it)", values: curves.temperatures.map(() => curves.hard), colour: "black", dash: "2 4" },
    ],
  });
  const cosine = lineChart({
    title: "Its direction: cosine to logit matching", x: curves.temperatures, logarithmic: true, yMin: 0, yMax: 1,
    xLabel: "temperature T (log scale)", yLabel: "cosine",
    series: [{ label: "cosine; 1 = same direction", values: curves.cosine, colour: "green" }],
  });
  const summary = el("p", { class: "kd-summary", role: "status" });
  const draw = () => {
    control.draw();
    const T = store.get("temperature");
    const [withSquare, without, hard] = size.at(T);
    const [direction] = cosine.at(T);
    summary.textContent = `At T = ${plain(Math.min(Math.max(T, 0.1), 100))}: with T² ${plain(withSquare)}, without ${plain(without)} ` +
      `(${plain(hard / without)} times smaller than the hard labels' ${plain(hard)}); cosine to logit matching ${direction.toFixed(3)}.`;
  };
  const root = el("div", {}, control, el("div", { class: "kd-split" }, size, cosine), summary);
  return [root, follow(store, ["temperature"], root, draw)];
}

// Panel 4: the two limits, and label smoothing as a teacher that knows nothing.
function renderLimits(model, store, digits) {
  const control = temperatureControl(store);
  const smoothing = numberControl({
    label: "Smoothing ε", min: 0, max: 1, step: 0.01, accepts: "a number from 0 to 1",
    accept: (value) => value >= 0 && value <= 1, read: () => store.get("smoothing"), write: (value) => store.set({ smoothing: value }),
  });
  const match = el("button", {
    type: "button", class: "kd-button",
    onclick: () => {
      // Entropy grows with ε, so halving the interval finds the ε of the teacher's entropy.
      const wanted = entropyBits(softmax(current(store, digits), store.get("temperature")));
      let [low, high] = [0, 1];
      for (let i = 0; i < 40; i += 1) {
        const middle = (low + high) / 2;
        if (entropyBits(smoothed(middle)) < wanted) low = middle; else high = middle;
      }
      store.set({ smoothing: Number(high.toPrecision(3)) });
    },
  }, "Give it the teacher's entropy");
  const hardClass = () => trueClass(store, digits) ?? ranking(current(store, digits))[0];
  const smoothed = (epsilon) => CLASSES.map((_, k) => (k === hardClass() ? 1 - epsilon : 0) + epsilon / 10);
  const table = barTable(CLASSES, [{ colour: "black" }, { colour: "blue" }, { colour: "sky" }, { colour: "purple" }],
    "Probabilities close to both limits, at the chosen temperature, and the smoothed label");
  const summary = el("p", { class: "kd-summary", role: "status" });
  const draw = () => {
    control.draw();
    smoothing.draw();
    const logits = current(store, digits);
    const T = store.get("temperature");
    const [now, flat] = [softmax(logits, T), smoothed(store.get("smoothing"))];
    table.draw([
      { title: "T = 0.001", values: softmax(logits, 0.001) },
      { title: `T = ${plain(T)}`, values: now },
      { title: "T = 10⁶", values: softmax(logits, 1e6) },
      { title: `ε = ${plain(store.get("smoothing"))}`, values: flat },
    ]);
    const [, second, third] = ranking(logits);
    const times = Math.exp((logits[second] - logits[third]) / T);  // of the logits: the shares themselves may underflow
    summary.textContent = `The teacher at T = ${plain(T)} gives its second class, ${second}, ${times < 1e6 ? plain(times) : "over a million"} times the share of its third; ` +
      `the smoothed label gives every wrong class the same ${percent(store.get("smoothing") / 10)}.`;
  };
  const root = el("div", {}, control, smoothing, match, table, summary);
  return [root, follow(store, ["temperature", "digit", "logits", "smoothing"], root, draw)];
}

function render({ model, el: host }) {
  const store = pageStore(model);
  const digits = readDigits(model);
  const panel = { bars: renderBars, knowledge: renderKnowledge, gradients: renderGradients, limits: renderLimits }[model.get("panel")];
  const [root, undo] = panel(model, store, digits);
  host.classList.add("kd-panel");
  host.dataset.panel = model.get("panel");
  if (model.get("panel") !== "bars") { host.append(root); return undo; }
  host.append(...[linkNotes(store), root].filter(Boolean));
  const unsync = syncWithKernel(model, store, ["temperature", "digit", "logits"]);
  return () => { undo(); unsync(); };
}
export default { render };
