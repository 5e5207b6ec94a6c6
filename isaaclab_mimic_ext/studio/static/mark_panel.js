// The panel of the tab Mark: the demos, the marks and the check of the present demo, and the annotated file.

import { button, element, rows, section, stepsText, timeText } from "/static/elements.js";
import { isStart } from "/static/timeline.js";

const KEYS = [
  ["1 2 3 …", "the subtask ends here"], ["A", "accept the suggestions"], ["← →", "one step"], ["Shift ← →", "ten steps"],
  ["Home End", "first, last step"], ["Enter", "the blue button"], ["Space", "play, pause"], ["S", "speed"], ["[ ]", "last, next mark"], ["Delete", "remove the mark here"],
  ["Ctrl Z · Y", "undo · redo"], ["N P", "next, previous demo"], ["L", "leave out the demo"], ["V", "view"], ["Tab ← →", "choose, move a mark"],
];
const KEYS_OF_HANDS = ["↑ ↓", "the other hand"];
const KEYS_OF_STARTS = ["Shift 1 2 …", "the skill starts here"];
const LEVELS = { error: "Error", warning: "Warning", note: "Note" };

const listItem = ([level, text]) => element("li", { text, "data-level": level });
const findingList = (items) => element("ul", { class: "findings" }, ...items);

export class MarkPanel {
  constructor(tab) {
    this.tab = tab;
    this.summary = element("p", { class: "soft" });
    this.list = element("ul", { id: "demo_list", "aria-label": "Demos" });
    this.marks = element("ul", { id: "mark_list", "aria-label": "Marks" });
    this.check = element("div", { id: "mark_check" });
    this.file = element("p", { class: "soft", id: "marks_file" });
    this.plan = element("p", { id: "write_plan" });
    this.annotateButton = button("", () => tab.annotate(), { id: "annotate" });
    this.reloadButton = button("Read the marks again", () => tab.order("reload"), { id: "reload" });
    this.endButton = button("End", () => tab.end(), { id: "end_marking" });
    this.result = element("div", { id: "annotation" });
    this.keys = element("div", { class: "keys" });
    this.sections = [
      section("Demos", this.list, this.summary), section("Marks", this.marks), section("Check", this.check),
      section("Annotated file", this.plan, element("div", { class: "row" }, this.annotateButton, this.reloadButton, this.endButton), this.result, this.file),
    ];
    this.keySection = section("Keys", this.keys);
    this.keySection.classList.add("key");
  }

  show(panel) {
    panel.append(...this.sections, this.keySection);
  }

  refresh() {
    const { tab } = this;
    for (const each of [...this.sections, this.keySection]) each.hidden = !tab.state.demos.length;
    this.showDemos();
    if (tab.demo) {
      this.showMarks();
      this.showCheck(tab.demo);
    }
    this.showFile(tab.state);
    const keys = [...KEYS.slice(0, 1), ...(tab.state.with_starts ? [KEYS_OF_STARTS] : []), ...(tab.tracks.length > 1 ? [KEYS_OF_HANDS] : []), ...KEYS.slice(1)];
    this.keys.replaceChildren(rows(keys.map(([key, text]) => [element("kbd", { text: key }), text])));
  }

  // Text and look of the state of a demo. It is marked when all its subtasks are.
  stateOf(demo) {
    const [count, total] = [this.tab.countOf(demo.name), this.tab.signals.length];
    if (demo.fault) return ["cannot be used", "bad"];
    if (this.tab.marks.of(demo.name).leave_out) return ["left out", ""];
    if (demo.verdict && !demo.verdict.is_good) return ["✗ see the check", "bad"];
    return count === total ? ["✓ marked", "good"] : [`${count} of ${total}`, ""];
  }

  // Scroll the list to the demo that was opened; only the list, not the panel.
  showOpened() {
    const opened = this.list.querySelector('[aria-current="true"]')?.parentElement;
    if (!opened) return;
    this.shownName = this.tab.name;
    const [top, bottom] = [opened.offsetTop - this.list.offsetTop, opened.offsetTop - this.list.offsetTop + opened.offsetHeight];
    if (top < this.list.scrollTop) this.list.scrollTop = top;
    if (bottom > this.list.scrollTop + this.list.clientHeight) this.list.scrollTop = bottom - this.list.clientHeight;
  }

  showDemos() {
    const { demos } = this.tab.state;
    const shown = demos.map((demo) => [demo, ...this.stateOf(demo)]);
    const wanted = JSON.stringify([this.tab.name, shown.map(([{ name, fault }, text, look]) => [name, fault, text, look])]);
    if (this.list.dataset.of === wanted) return; // A button that is pressed now stays.
    this.list.dataset.of = wanted;
    const made = shown.map(([demo, text, look]) => {
      const state = element("span", { class: "state", text, "data-state": look });
      const entry = button("", () => this.tab.open(demo.name), {
        "aria-current": String(demo.name === this.tab.name), title: demo.fault || null, "data-demo": demo.name, disabled: Boolean(demo.fault),
      });
      entry.append(element("span", { text: demo.name }), state);
      return element("li", {}, entry);
    });
    const hadFocus = this.list.contains(document.activeElement) && document.activeElement.dataset.demo;
    this.list.replaceChildren(...made);
    if (this.shownName !== this.tab.name) this.showOpened();
    if (hadFocus) this.list.querySelector(`[data-demo="${CSS.escape(hadFocus)}"]`)?.focus();
    const faults = demos.filter(({ fault }) => fault).map(({ fault }) => fault);
    this.summary.textContent = faults.join(" · ");
    this.summary.hidden = !faults.length;
  }

  // Marks and suggestions in the order of their steps; a click goes to the step.
  showMarks() {
    const { tab } = this;
    const step = (signal) => tab.marks.step(tab.name, signal) ?? tab.suggestion(signal);
    const sorted = [...tab.signals].sort((a, b) => (step(a) ?? Infinity) - (step(b) ?? Infinity));
    this.marks.replaceChildren(...sorted.map((signal) => {
      const [at, isMarked] = [step(signal), tab.marks.step(tab.name, signal) !== null];
      const hands = tab.tracks.length < 2 ? "" : signal.eefs.length > 1 ? signal.eefs.join(", ") : signal.eefs[0];
      const name = `${signal.name}${isStart(signal) ? " starts" : ""}`;
      const entry = button("", () => tab.goTo(signal, at), { disabled: at === null, "data-marked": String(isMarked) });
      const facts = [hands, isMarked ? "" : at === null ? "not marked" : "suggested"].filter(Boolean).join(" · ");
      entry.append(element("span", { class: "dot" }), element("span", { class: "name" }, name, element("small", { text: facts })),
        element("span", { class: "at", text: at === null ? "" : `${timeText(at, tab.state.step_dt)} · step ${at}` }));
      entry.firstChild.dataset.color = tab.colors.get(signal.name);
      return element("li", {}, entry);
    }));
  }

  showCheck({ verdict, replay, note, findings }) {
    const lines = [];
    if (replay === "running") lines.push(["note", "The demo is being replayed …"]);
    if (note) lines.push(["warning", note]);
    if (verdict?.is_good) lines.push(["good", verdict.was_replayed ? "The replay solves the task, and all subtasks are found." : "All subtasks are found. The demo was not replayed."]);
    else if (verdict) lines.push(["error", verdict.text]);
    if (verdict?.is_good && findings === null) lines.push(["note", "The demo is being checked …"]);
    const found = (findings ?? []).filter(({ check }) => check !== "annotation").map((each) => this.finding(each));
    this.check.replaceChildren(findingList([...lines.map(listItem), ...found]));
  }

  finding({ level, frame, last_frame: last, found, expected, remedy }) {
    const title = `${LEVELS[level] ?? level}${frame === null ? "" : ` at ${stepsText(frame, last, this.tab.state.step_dt)}`}`;
    const head = frame === null ? element("strong", { text: title }) : button(title, () => this.tab.seek(frame), { class: "link" });
    return element("li", { "data-level": level }, head, element("p", { text: `${found}${expected ? `; expected ${expected}` : ""}` }),
      element("p", { class: "soft", text: `Remedy: ${remedy}` }));
  }

  showFile(state) {
    const { output_file: output, marks_file: marks, fault, is_finished: isFinished, can_end: canEnd, demos } = state;
    const [isRunning, hasControl] = [this.tab.isWriting, this.tab.studio.hasControl];
    const name = output.split(/[\\/]/).pop();
    this.plan.textContent = this.planText(state);
    this.annotateButton.textContent = isRunning ? "Writing …" : `Write ${name}${this.tab.isAnnotated ? " again" : ""}`;
    this.annotateButton.disabled = isRunning || !hasControl || Boolean(fault) || !isFinished || !demos.length || this.tab.isAllLeftOut;
    this.reloadButton.hidden = !fault;
    this.reloadButton.disabled = !hasControl;
    this.endButton.hidden = !canEnd;
    this.endButton.disabled = !hasControl;
    this.showResult(state);
    this.file.textContent = `Marks are saved at once, in ${marks}`;
  }

  // Demos that are written, and the source of their boundaries.
  planText({ auto, demos, is_finished: isFinished }) {
    if (this.tab.isAllLeftOut) return "All demos are left out: use at least one of them.";
    const used = demos.filter(({ name, fault }) => !fault && !this.tab.marks.of(name).leave_out);
    const numMarked = used.filter(({ name }) => this.tab.isMarked(name)).length;
    const marked = `${numMarked} of ${used.length} ${used.length === 1 ? "demo is" : "demos are"} marked.`;
    const others = numMarked === used.length ? "" : auto ? " Subtasks without a mark end where the task suggests." : " The others are left out.";
    return `${marked}${others}${isFinished ? "" : ` The recording has not ended${this.tab.hasRecord ? ": end it on the tab Record, with Save and end." : "."}`}`;
  }

  showResult({ annotation, next_command: next }) {
    const lines = annotation.text ? [[annotation.state === "failed" ? "error" : "good", annotation.text]] : [];
    for (const [demo, reason] of Object.entries(annotation.rejected)) lines.push(["warning", `${demo} is not in the file: ${reason}`]);
    this.result.replaceChildren(...(lines.length ? [findingList(lines.map(listItem))] : []));
    if (annotation.state !== "done" || !next || this.tab.studio.hasPath) return;
    this.result.append(element("p", { class: "soft", text: "Next, in a terminal:" }), element("pre", { text: next }));
  }
}
