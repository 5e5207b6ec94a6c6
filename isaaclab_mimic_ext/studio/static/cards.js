// Cards over the scene: the review of a complete demo, and the end of the recording.

import { button, element, label, stepsText } from "/static/elements.js";

export class ReviewCard {
  constructor(order) {
    this.title = element("h2");
    this.findings = element("ul", { class: "findings" });
    this.keep = button("", () => order("keep"), { id: "keep" });
    this.again = button("", () => order("again"), { id: "review_again" });
    this.buttons = element("div", { class: "row" }, this.keep, this.again,
      button("Discard, new scene (R)", () => order("discard"), { id: "discard" }),
      button("Back 2 s (B)", () => order("rewind"), { id: "review_rewind" }));
    this.root = element("div", { class: "card", id: "review", role: "group", "aria-label": "Review", hidden: true },
      this.title, this.findings, this.buttons);
  }

  // `missing`: subtasks whose signal was not reached. With an error, Enter does not keep the demo.
  update(state, canAct, missing) {
    this.root.hidden = state?.phase !== "review";
    if (this.root.hidden) return;
    for (const each of this.buttons.children) each.disabled = !canAct;
    const found = lines(state, missing);
    this.hasError = found.some(([level]) => level === "error");
    this.title.textContent = this.hasError ? "Solved, but the check found an error. Record it again?" : "Solved. Keep this demo?";
    label(this.keep, this.hasError ? "Keep anyway (K)" : "Keep (Enter)");
    label(this.again, `Same scene again (${this.hasError ? "Enter" : "O"})`);
    this.keep.classList.toggle("primary", !this.hasError);
    this.again.classList.toggle("primary", this.hasError);
    const [first, second] = this.hasError ? [this.again, this.keep] : [this.keep, this.again];
    if (this.buttons.firstChild !== first) this.buttons.prepend(first, second);
    this.findings.replaceChildren(...found.map(([level, text]) => element("li", { text, "data-level": level })));
  }
}

function lines({ has_doctor: hasDoctor, findings, step_dt: stepDt }, missing) {
  const known = missing.map(({ signal, text }) => ["error", `error: the signal “${signal}” was not reached (${text}). Remedy: record the same scene again, and complete each subtask before the next one`]);
  if (!hasDoctor) return [...known, ["note", "Demos are checked by `mimic check` after the recording."]];
  if (findings === null) return [...known, ["note", "The demo is being checked …"]];
  if (!findings.length) return [["good", "The check found nothing to improve."]];
  return findings.map(({ level, frame, last_frame: last, found, expected, remedy }) => {
    const place = frame === null ? "" : `at ${stepsText(frame, last, stepDt)}, `;
    return [level, `${level}: ${place}${found}${expected ? `; expected ${expected}` : ""}. Remedy: ${remedy}`];
  });
}

const FEWEST = 10; // demos that are advised
const FEW = "About ten demos with different starts are advised: each generated demo is adapted from one of yours, so that few demos give a dataset with little variety.";

// Sentence about a number of recorded demos that is less than advised; empty if it is not.
export const fewText = (count) => (count < FEWEST ? FEW : "");

export class DoneCard {
  // `path` returns the path of the page; null without one.
  constructor(more, path) {
    this.title = element("h2");
    this.text = element("p");
    this.few = element("p", { class: "soft", id: "done_few" });
    this.next = element("pre");
    this.nextTitle = element("p", { text: "Next, mark where the subtasks end. In a terminal:" });
    this.more = button("", () => more(this.count), { id: "more", class: "primary" });
    this.path = path;
    this.step = button("", () => path().goToNext(), { id: "done_next", class: "primary" });
    this.root = element("div", { class: "card", id: "done", role: "group", "aria-label": "End", hidden: true },
      this.title, this.text, this.few, this.nextTitle, this.next, element("div", { class: "row" }, this.step, this.more));
  }

  // The button that Enter presses: the next step, or more demos; null without one.
  get firstButton() {
    return this.root.hidden ? null : [this.step, this.more].find((each) => !each.hidden && !each.disabled) ?? null;
  }

  update(state, hasControl) {
    this.root.hidden = !["done", "failed"].includes(state?.phase);
    if (this.root.hidden) return;
    const hasFailed = state.phase === "failed";
    const missing = state.num_wanted - state.demos.length;
    this.title.textContent = hasFailed ? "The recording has stopped" : missing > 0 ? "The recording has ended" : "All demos are recorded";
    this.text.textContent = state.reason;
    this.few.textContent = hasFailed || !state.demos.length ? "" : fewText(state.demos.length);
    this.few.hidden = !this.few.textContent;
    this.next.textContent = state.next_command;
    const hasNext = !hasFailed && state.demos.length > 0;
    const path = hasNext ? this.path?.() : null;
    this.step.hidden = !path;
    label(this.step, `${path?.next()?.text ?? "All steps are done: report"} (Enter)`);
    this.next.hidden = this.nextTitle.hidden = Boolean(this.path) || !hasNext || !state.next_command;
    this.more.classList.toggle("primary", this.step.hidden);
    this.more.hidden = !state.can_continue || !hasControl;
    this.count = missing > 0 ? missing : 5;
    const isFirst = this.step.hidden;
    label(this.more, `${hasFailed ? "Try again" : missing > 0 ? `Record the missing ${missing}` : "Record 5 more"}${isFirst ? " (Enter)" : ""}`);
  }
}
