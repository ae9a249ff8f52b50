// Questions with immediate feedback. The answer goes to the kernel, which checks it; the explanation comes back.

function renderQuestion(model, question, number) {
  const name = unique("question");
  const feedback = el("p", { class: "kd-feedback", role: "status" });
  let waiting;
  const ask = (answer) => {
    clearTimeout(waiting);
    feedback.className = "kd-feedback";
    feedback.textContent = "…";
    waiting = setTimeout(() => { feedback.textContent = "No answer from the kernel: its session has ended. Reload the page and try again."; }, 8000);
    // The counter makes an answer given twice a new message.
    model.set("answer", { question: number, answer, counter: Date.now() });
    model.save_changes();
  };
  const body = question.choices.length
    ? question.choices.map((choice, k) => {
      const id = `${name}-${k}`;
      return el("div", { class: "kd-choice" }, el("input", { type: "radio", name, id, onchange: () => ask(k) }), el("label", { for: id }, choice));
    })
    : (() => {
      const box = el("input", { type: "text", inputmode: "decimal", class: "kd-box", id: name, onkeydown: (event) => event.key === "Enter" && ask(box.value) });
      return [el("label", { for: name }, "Your answer "), box, el("button", { type: "button", class: "kd-button", onclick: () => ask(box.value) }, "Check")];
    })();
  model.on("change:feedback", () => {
    const answer = model.get("feedback");
    if (answer.question !== number) return;
    clearTimeout(waiting);
    feedback.textContent = `${answer.correct ? "✓ Right." : "✗ Not quite."} ${answer.message}`;
    feedback.className = `kd-feedback ${answer.correct ? "kd-right" : "kd-wrong"}`;
  });
  return el("fieldset", { class: "kd-question" }, el("legend", {}, `${number + 1}. ${question.prompt}`), body, feedback);
}

export default {
  render({ model, el: host }) {
    host.classList.add("kd-panel");
    host.append(...model.get("questions").map((question, number) => renderQuestion(model, question, number)));
  },
};
