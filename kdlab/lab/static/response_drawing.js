// Chapter 2's panels with pictures made of pixels: decision regions, and a digit drawn by hand.

// Panel 4: decision regions.
function renderRegions(model, store) {
  const names = ["shape", "temperature", "alpha"];
  const shape = choiceControl("Data", model.get("shapes").map((s) => [s, s]), () => store.get("shape"), (value) => store.set({ shape: value }));
  const [temperature, alpha] = [temperatureControl(store), alphaControl(store)];
  const status = statusLine(model, { idle: () => "", computing: () => (model.get("result").x ? "Training …" : "Training the teacher and the first students …") });
  const maps = el("div", { class: "kd-maps" });
  const line = made(model, store, names, [maps]);
  const networks = { teacher: "Teacher", alone: "Student alone", distilled: "Distilled student" };
  const drawResult = () => {
    const r = model.get("result");
    if (!r.x) return;
    const side = Math.sqrt(r.teacher.map.length);
    maps.replaceChildren(...Object.entries(networks).map(([key, name]) => {
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
    for (const control of [shape, temperature, alpha, line]) control.draw();
    ask(model, pick(store, names));
  };
  const root = el("div", {}, shape, temperature, alpha, maps, line, status);
  drawResult();
  return [root, follow(store, names, root, draw, true)];
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
  const tests = bytesOf(model.get("image_bytes"));
  let pixels = null, last = null, drawing = 0;  // which drawing it is, so that an answer to the one before is not taken for its own
  const line = made(model, store, POSITION, [table, summary], (r) => r.drawing === drawing);
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
    ask(model, { pixels, drawing, ...position(store) });
  };
  const begin = (drawn) => { pixels = drawn; drawing += 1; send(); };
  canvas.addEventListener("pointerdown", (event) => { event.preventDefault(); canvas.setPointerCapture(event.pointerId); last = null; stroke(event); });
  canvas.addEventListener("pointermove", (event) => event.buttons && stroke(event));
  canvas.addEventListener("pointercancel", () => { last = null; });
  canvas.addEventListener("pointerup", () => { last = null; begin(shrink()); draw(); });
  const clear = button("Clear", () => { ink.fill(0); paint(); pixels = null; small.replaceChildren(); draw(); });
  let next = 0;
  const example = button("Take a test digit", () => {
    const count = tests.length / 64;
    next = (next + 7) % count;
    const digit = tests.subarray(64 * next, 64 * next + 64);
    for (let i = 0; i < side * side; i += 1) ink[i] = digit[8 * Math.floor(i / side / 4) + Math.floor((i % side) / 4)] > 110 ? 1 : 0;
    paint();
    begin([...digit].map((value) => value / 255));
    draw();
  });
  const draw = () => {
    temperature.draw();
    const r = model.get("result");
    table.hidden = line.hidden = !pixels || !r.teacher;
    line.draw();
    if (table.hidden) { summary.textContent = "Draw with mouse, pen or finger, or take a test digit."; return; }
    const T = store.get("temperature");
    const [teacher, alone, distilled] = ["teacher", "alone", "distilled"].map((name) => softmax(r[name], T));
    table.draw([{ title: "teacher", values: teacher }, { title: "alone", values: alone }, { title: "distilled", values: distilled }]);
    const says = (p) => ranking(p)[0];
    summary.textContent = `At T = ${plain(T)} teacher, student alone and distilled student read ${says(teacher)}, ${says(alone)} and ${says(distilled)}.`;
  };
  model.on("change:result", draw);
  paint();
  const root = el("div", { class: "kd-split kd-drawing" }, el("div", {}, canvas, clear, example, small), el("div", {}, temperature, table, summary, line, status));
  const undoDraw = follow(store, POSITION, root, draw);
  const undoSend = follow(store, POSITION, root, send, true);
  return [root, () => { undoDraw(); undoSend(); }];
}
