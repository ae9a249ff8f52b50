// Chapter 4's single images: where teacher and student look, and an image of one's own.

const WAITING = "Loading TensorFlow and the teacher …";

// An image in grey with a Grad-CAM over it: the more orange, the more a place speaks for the class.
function camCanvas(pixels, map, side, words) {
  const canvas = el("canvas", { width: side, height: side, class: "kd-pixels", role: "img", "aria-label": words });
  const context = canvas.getContext("2d"), picture = context.createImageData(side, side);
  for (let i = 0; i < side * side; i += 1) {
    const grey = 0.3 * pixels[3 * i] + 0.59 * pixels[3 * i + 1] + 0.11 * pixels[3 * i + 2], v = 0.8 * (map[i] / 255) ** 1.5;
    picture.data.set([213, 94, 0].map((c) => (1 - v) * grey + v * c).concat(255), 4 * i);  // vermillion, as in panel.css
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

// In words: how much of a map lies in the middle quarter of the image, where the nucleus is.
function middle(map, side) {
  let [all, inside] = [0, 0];
  const within = (place) => place >= side / 4 && place < (3 * side) / 4;
  map.forEach((v, i) => { all += v; if (within(i % side) && within(Math.floor(i / side))) inside += v; });
  return all ? `${percent(inside / all)} of it in the middle quarter of the image` : "nothing speaks for it";
}

// What each network says, side by side: image, Grad-CAM, probabilities.
function seenBy(pixels, side, seen, classes, caption) {
  const figures = Object.entries(seen).map(([kind, { answer, shown, map }]) => el("figure", { class: "kd-figure" },
    el("figcaption", {}, `${NETWORK[kind].label}: ${answer}${shown === answer ? "" : `; map: ${shown}`}`),
    camCanvas(pixels, bytesOf(map), side, `Grad-CAM of the ${NETWORK[kind].label} for ${shown}: ${middle(bytesOf(map), side)}`)));
  const table = plainTable("Probabilities of the classes");
  table.fill({
    caption: "Probabilities", hidden: true, heads: ["", ...classes],
    rows: Object.entries(seen).map(([kind, { probabilities }]) => [NETWORK[kind].label, ...probabilities.map(percent)]),
  });
  return [el("div", { class: "kd-seen kd-cams" }, el("figure", { class: "kd-figure" }, el("figcaption", {}, caption), mapCanvas(pixels, [side, side], caption)), figures), table];
}

// Panel: where they look in a test nucleus.
const LOOK = ["group", "nucleus", "speaks_for"];
function renderLook(model, store) {
  const classes = model.get("classes");
  const groups = choice(store, "Show nuclei", "group", model.get("groups"));
  const speaks = choice(store, "Evidence for", "speaks_for", [["named", "the class that each names"], ...classes.map((name) => [name, name])]);
  const grid = el("div", { class: "kd-grid-digits kd-grid-nuclei", role: "group", "aria-label": "Nuclei" });
  rove(grid, () => Math.max(1, Math.floor(grid.clientWidth / 66)));
  const seen = el("div"), count = el("p", { class: "kd-order" }), summary = el("p", { class: "kd-summary", role: "status" });
  const titled = (name) => model.get("groups").find(([key]) => key === name)[1];
  const line = madeFor(model, store, LOOK, [seen, summary], (made) => `nucleus ${(model.get("result").chosen ?? 0) + 1} of those ${titled(made.group)}`);
  const status = statusLine(model, { idle: () => "", computing: () => (model.get("result").seen ? "Looking …" : WAITING) });
  let shown = null;
  const drawGrid = ({ images, side, labels, position }) => {
    const pixels = bytesOf(images), size = 3 * side * side, focused = grid.contains(document.activeElement);
    grid.replaceChildren(...labels.map((label, i) => el("button", {
      type: "button", class: "kd-digit", "data-rove": true, tabindex: i ? -1 : 0, "aria-label": `nucleus ${i + 1}, ${label}`, onclick: () => store.set({ nucleus: i }),
    }, mapCanvas(pixels.subarray(i * size, (i + 1) * size), [side, side]))));
    if (focused) grid.querySelector("button")?.focus();
    shown = position.group;
  };
  const mark = () => {
    const at = Math.min(store.get("nucleus"), grid.children.length - 1);
    [...grid.children].forEach((one, i) => one.setAttribute("aria-pressed", String(i === at)));
  };
  let students;
  const draw = () => {
    const r = model.get("result");
    if (!r.seen) return;
    if (shown !== r.position.group || students !== r.students) drawGrid(r);
    students = r.students;
    mark();
    count.textContent = r.total
      ? `${r.total} test nuclei are like that${r.total > r.labels.length ? `; here are ${r.labels.length}` : ""}.${r.students ? "" : ` ${FIRST_TRAIN}`}`
      : r.students ? "No test nucleus is like that." : `No student is trained yet. ${FIRST_TRAIN}`;
    const kinds = Object.keys(r.seen);
    const size = 3 * r.side * r.side, pixels = bytesOf(r.images).subarray(r.chosen * size, (r.chosen + 1) * size);
    seen.replaceChildren(...(kinds.length ? seenBy(pixels, r.side, r.seen, classes, `it is ${r.labels[r.chosen]}`) : []));
    summary.textContent = kinds.map((kind) => `What speaks for “${r.seen[kind].shown}” to the ${NETWORK[kind].label}: ${middle(bytesOf(r.seen[kind].map), r.side)}.`).join(" ") +
      (kinds.length ? " Spread evenly it would be 25 %. The more orange, the more a place speaks for the class; colours of two images cannot be compared." : "");
  };
  model.on("change:result", draw);
  const request = () => ask(model, pick(store, LOOK));
  model.on("change:trained", request);
  const root = el("div", {}, groups, count, grid, speaks, status, seen, summary, line);
  draw();
  return [root, follow(store, LOOK, root, () => {
    for (const control of [groups, speaks, line]) control.draw();
    mark();
    request();
  }, true)];
}

// Panel: an image of one's own.
function renderUpload(model) {
  const classes = model.get("classes"), most = model.get("max_bytes");
  const message = el("p", { class: "kd-message", role: "alert" });
  const found = el("div"), summary = el("p", { class: "kd-summary", role: "status" });
  const send = async (file, name) => {
    message.textContent = file.size > most ? `“${name}” has ${file.size.toLocaleString("en")} bytes; accepted are at most ${most.toLocaleString("en")}.` : "";
    if (!message.textContent) model.send({ name }, undefined, [await file.arrayBuffer()]);
  };
  const id = unique("file");
  const input = el("input", { id, type: "file", accept: "image/png,image/jpeg,image/bmp,image/tiff", class: "kd-box", onchange: () => input.files[0] && send(input.files[0], input.files[0].name) });
  const example = button("Take a test nucleus", () => {
    input.value = "";
    send(new Blob([bytesOf(model.get("example"))]), "a test nucleus (neoplastic)");
  });
  const status = statusLine(model, { idle: () => "", computing: () => (model.get("result").seen ? "Reading …" : WAITING) });
  const draw = () => {
    const r = model.get("result");
    if (!r.seen) return;
    found.replaceChildren(...seenBy(bytesOf(r.image), r.side, r.seen, classes, r.name));
    const kinds = Object.keys(r.seen);
    summary.textContent = kinds.map((kind) => {
      const { answer, probabilities } = r.seen[kind];
      return `The ${NETWORK[kind].label} calls it ${answer} (${percent(probabilities[classes.indexOf(answer)])}).`;
    }).join(" ") + (kinds.length > 1 ? "" : ` ${FIRST_TRAIN}`);
  };
  model.on("change:result", draw);
  model.on("change:trained", () => { if (model.get("result").seen) ask(model, {}); });
  draw();
  const words = el("p", { class: "kd-order" }, `PNG, JPEG, BMP or TIFF, at most ${most.toLocaleString("en")} bytes. The whole image is stretched to 48 × 48 pixels: cut a square around one nucleus, as in section 1. It stays in the memory of this page and goes with it.`);
  return [el("div", {}, warning(), el("div", { class: "kd-control kd-choice-control" }, el("label", { for: id }, "Your image"), input), example, message, status, words, found, summary)];
}

export default chapterPanels({ look: renderLook, upload: renderUpload }, null);
