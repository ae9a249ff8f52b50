// What chapter 5's panels draw: bytes in words, memory of boards against models, and weights rounded to a few levels.

const digits = (x, count) => String(Number(x.toPrecision(count)));
const bytes = (n) => (n < 1024 ? `${n} bytes` : n < 1024 ** 2 ? `${digits(n / 1024, 3)} KiB` : `${digits(n / 1024 ** 2, 3)} MiB`);
// Median and quartiles, in the unit that suits the median.
const duration = ([median, low, high]) => {
  const [unit, factor] = median < 0.001 ? ["µs", 1e6] : ["ms", 1000];
  return `${digits(factor * median, 2)} ${unit} (${digits(factor * low, 2)} to ${digits(factor * high, 2)})`;
};

// A bar per board, on a logarithmic axis, and a line across all of them per model: `boards` {name, bytes}, `models`
// {label, bytes, colour, dash}. Where a line lies within a bar there is room.
function memoryChart({ title, boards, models }) {
  const width = 560, left = 8, right = 16, top = 8, step = 44, height = top + step * boards.length + 34;
  const low = Math.log10(50), high = Math.log10(8 * 1024 ** 2);
  const px = (value) => left + ((Math.log10(Math.max(value, 50)) - low) / (high - low)) * (width - left - right);
  const ticks = [[100, "100 B"], [1024, "1 KiB"], [10 * 1024, "10 KiB"], [100 * 1024, "100 KiB"], [1024 ** 2, "1 MiB"]];
  return el("figure", { class: "kd-figure" }, el("figcaption", {}, title),
    svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "kd-chart kd-memory", role: "img" }, svg("title", {}, title),
      ticks.map(([value, text]) => [
        svg("line", { class: "kd-grid", x1: px(value), x2: px(value), y1: top, y2: height - 30 }),
        svg("text", { x: px(value), y: height - 12, "text-anchor": "middle" }, text),
      ]).flat(),
      boards.map(({ bytes: size }, i) => svg("rect", { x: left, y: top + step * i + 22, width: px(size) - left, height: 16, rx: 3, fill: "#cfd8e0" })),
      // Across every bar, but not across the names above them.
      models.map(({ bytes: size, colour, dash }) => svg("path", {
        d: boards.map((_, i) => `M${px(size)} ${top + step * i + 20}v20`).join(""), stroke: `var(--kd-${colour})`, "stroke-width": 4, "stroke-dasharray": dash, "data-bytes": size,
      })),
      boards.map(({ name, bytes: size }, i) => svg("text", { x: left + 2, y: top + step * i + 17, class: "kd-box-title" }, `${name}: ${bytes(size)}`))),
    el("ul", { class: "kd-legend" }, models.map(({ label, bytes: size, colour, dash }) => el("li", {},
      svg("svg", { viewBox: "0 0 34 10", class: "kd-key", "aria-hidden": "true" }, svg("line", { x1: 0, x2: 34, y1: 5, y2: 5, stroke: `var(--kd-${colour})`, "stroke-width": 4, "stroke-dasharray": dash })),
      `${label}: ${bytes(size)}`))));
}

// The weights of one unit above, what they are rounded to below; the upright lines are the levels there are.
function roundingPicture({ title, weights, rounded, bits }) {
  const width = 560, margin = 24, top = 34, below = 114, height = 160;
  const most = Math.max(...weights.map(Math.abs));
  const px = (value) => width / 2 + (value / most) * (width / 2 - margin);
  const steps = 2 ** (bits - 1) - 1;
  const levels = Array.from({ length: 2 * steps + 1 }, (_, i) => (i - steps) / steps * most);
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "kd-chart", role: "img" }, svg("title", {}, title),
    levels.length < 64 ? levels.map((value) => svg("line", { class: "kd-level", x1: px(value), x2: px(value), y1: top - 8, y2: below + 8 })) : null,
    [-most, 0, most].map((value) => svg("text", { x: px(value), y: height - 8, "text-anchor": "middle" }, value === 0 ? "0" : value.toFixed(2).replace("-", "−"))),
    svg("text", { x: 4, y: 14, class: "kd-box-title" }, "float32"), svg("text", { x: width - 4, y: 14, "text-anchor": "end", class: "kd-box-title" }, `below: ${bits} bits, ${levels.length} levels`),
    weights.map((value, i) => [
      svg("line", { x1: px(value), x2: px(rounded[i]), y1: top, y2: below, stroke: "var(--kd-quiet)", "stroke-width": 0.8, opacity: 0.6 }),
      svg("circle", { cx: px(value), cy: top, r: 4, fill: "var(--kd-blue)", opacity: 0.7 }),
      svg("circle", { cx: px(rounded[i]), cy: below, r: 4, fill: "var(--kd-orange)", class: "kd-rounded", "data-value": rounded[i] }),
    ]).flat());
}
