// The path from a recording to a generated dataset: a strip on every tab. A step opens a card, which starts its command.

import { button, element, label, show } from "/static/elements.js";

const TITLES = { record: "Record", mark: "Mark", check: "Check", generate: "Generate", report: "Report" };
const TEXTS = {
  record: "Solve the task yourself, about ten times. Each kept demo is saved at once.",
  mark: "Replays the demos, and marks where their subtasks end.",
  check: "Examines the marked demos for faults that would make generation fail.",
  generate: "Generates new demos from yours, in random scenes.",
  report: "Writes a page about the generation: success by subtask, reasons of failure.",
};
const STARTS = { mark: "Mark the demos", check: "Check", generate: "Generate", report: "Write the report" };
const MARKS = { missing: "○", running: "◐", done: "✓", old: "↻", failed: "✕" };
const LOOKS = { missing: "", running: "warn", done: "good", old: "warn", failed: "bad" };
const WORDS = { missing: "not done yet", running: "running", done: "done", old: "out of date", failed: "failed" };
const TABS = { record: "record", mark: "mark", generate: "watch" }; // tabs that belong to steps, if they are there

export class Tab {
  constructor(studio) {
    this.studio = studio;
    this.steps = [];
    this.commands = [];
    this.opened = "";
    this.buttons = Object.fromEntries(Object.keys(TITLES).map((name) => [name, this.stepButton(name)]));
    this.buildCard();
    this.root = element("nav", { id: "path", "aria-label": "Path to a dataset" },
      element("ol", {}, ...Object.values(this.buttons).map((each) => element("li", {}, each))), this.card);
  }

  stepButton(name) {
    const made = element("button", { type: "button", class: "step", "data-step": name, "aria-expanded": "false" });
    made.addEventListener("click", () => this.open(this.opened === name ? "" : name));
    return made;
  }

  buildCard() {
    this.title = element("h2");
    this.text = element("p");
    this.state = element("p", { id: "path_state", role: "status" });
    this.command = element("pre", { id: "path_command" });
    this.fault = element("p", { id: "path_fault" });
    this.count = element("input", { type: "number", id: "path_count", min: 1, max: 1000000, value: 100 });
    this.countLabel = element("label", { for: "path_count", text: "Number of demos" });
    this.countRow = element("p", { class: "row" }, this.countLabel, this.count);
    this.startButton = button("", () => this.startStep(), { id: "path_start", class: "primary" });
    this.stopButton = button("Stop", () => this.studio.order({ tab: "path", do: "stop" }), { id: "path_stop" });
    this.showButton = button("", () => this.showTab(), { id: "path_show" });
    this.page = element("a", { id: "path_page", class: "button", href: "/path/report.html", target: "_blank", rel: "noopener", text: "Open the report" });
    this.closeButton = button("Close (Esc)", () => this.open(""), { id: "path_close" });
    this.output = element("pre", { id: "path_output", tabindex: 0, "aria-label": "Last lines of the output" });
    this.more = element("div", { id: "path_more" });
    this.card = element("section", { class: "card", id: "path_card", tabindex: -1, "aria-label": "Step", hidden: true }, this.title, this.text, this.state,
      this.output, this.fault, this.countRow, this.command,
      element("div", { class: "row" }, this.startButton, this.stopButton, this.showButton, this.page, this.closeButton), this.more);
    // Keys in the card must not move the robot.
    this.card.addEventListener("keydown", (event) => event.stopPropagation());
    this.card.addEventListener("click", () => this.card.contains(document.activeElement) || this.card.focus());
    window.addEventListener("keydown", (event) => this.opened && event.code === "Escape" && this.closeByKey(event), { capture: true });
    this.card.addEventListener("keyup", (event) => event.code === "Space" && event.stopPropagation());
    this.count.addEventListener("change", () => this.setCount());
  }

  // Open the card of a step; "" closes it.
  open(name) {
    this.opened = name;
    this.card.hidden = !name;
    for (const [step, each] of Object.entries(this.buttons)) each.setAttribute("aria-expanded", String(step === name));
    this.refresh();
    if (!name) document.activeElement?.blur();
    else [this.startButton, this.showButton, this.closeButton].find((each) => !each.hidden && !each.disabled).focus();
  }

  // Esc closes the card, wherever the focus is, and does nothing else. A question over the card comes first.
  closeByKey(event) {
    if (document.querySelector("dialog[open]")) return;
    event.preventDefault();
    event.stopPropagation();
    this.open("");
  }

  // The number of demos decides about the command, and about what the command replaces. Returns whether it is valid.
  async setCount() {
    const event = await this.studio.order({ tab: "path", do: "count", count: Number(this.count.value) });
    if (event) this.receive(event);
    return Boolean(event);
  }

  async startStep() {
    if (this.opened === "generate" && !(await this.setCount())) return;
    const step = this.steps.find(({ name }) => name === this.opened);
    if (step.replaces && !(await this.studio.ask(`Replace ${step.replaces}?`, "Replace", "Keep"))) return;
    this.studio.order({ tab: "path", do: "start", step: step.name, ...(step.replaces ? { replaces: step.replaces } : {}) });
  }

  showTab() {
    this.studio.select(TABS[this.opened]);
    this.open("");
  }

  controlled() {
    this.refresh();
  }

  receive(event) {
    if (event.event === "commands") this.commands = event.commands;
    else {
      [this.steps, this.running, this.error] = [event.steps, event.running, event.error];
      if (document.activeElement !== this.count) this.count.value = event.count;
    }
    this.refresh();
  }

  refresh() {
    for (const step of this.steps) this.refreshStep(step);
    const step = this.steps.find(({ name }) => name === this.opened);
    if (step) this.refreshCard(step);
  }

  refreshStep({ name, state, figure, is_next: isNext }) {
    const each = this.buttons[name];
    show(each, `${MARKS[state]} ${TITLES[name]}${figure ? ` · ${figure}` : ""}`, LOOKS[state]);
    if (each.childElementCount === 0) {
      each.replaceChildren(element("span", { text: `${MARKS[state]} ${TITLES[name]}` }), ...(figure ? [element("span", { class: "figure", text: ` · ${figure}` })] : []));
    }
    each.dataset.next = String(isNext);
    if (isNext) each.setAttribute("aria-current", "step");
    else each.removeAttribute("aria-current");
  }

  refreshCard({ name, state, figure, reason, command, fault, output }) {
    const isOwn = this.running === name;
    const canAct = this.studio.hasControl;
    show(this.title, TITLES[name]);
    show(this.text, TEXTS[name]);
    show(this.state, `${WORDS[state]}${figure ? `: ${figure}` : ""}${reason ? `. ${reason}` : ""}${this.error ? `. ${this.error}` : ""}`, LOOKS[state]);
    this.output.hidden = !output.length;
    show(this.output, output.join("\n"));
    this.output.scrollTop = this.output.scrollHeight;
    const other = this.running && !isOwn ? `${TITLES[this.running]} runs; wait until it has ended, or stop it.` : "";
    show(this.fault, canAct ? (fault ? `Not yet: ${fault}.` : other) : "You are watching. Ask for control to start a step.");
    this.fault.hidden = !this.fault.textContent || !command;
    this.countRow.hidden = name !== "generate" || isOwn;
    this.command.hidden = !command;
    show(this.command, command);
    this.startButton.hidden = !command || isOwn;
    this.startButton.disabled = Boolean(fault || other) || !canAct || state === "running";
    label(this.startButton, STARTS[name] ? `${STARTS[name]}${["done", "old", "failed"].includes(state) ? " again" : ""}` : "");
    this.stopButton.hidden = !isOwn;
    this.stopButton.disabled = !canAct;
    const tab = TABS[name];
    this.showButton.hidden = !this.studio.tabs.has(tab);
    label(this.showButton, `Show the tab ${this.studio.tabs.has(tab) ? tab.replace(/^./, (first) => first.toUpperCase()) : ""}`);
    this.page.hidden = name !== "report" || !["done", "old"].includes(state);
    this.showMore(name === "report" ? this.commands : []);
  }

  // Commands that follow, to copy into a terminal.
  showMore(commands) {
    if (this.more.childElementCount === 2 * commands.length) return;
    this.more.replaceChildren(...commands.flatMap(({ text, command }) => {
      const copy = button("Copy", () => navigator.clipboard.writeText(command), { hidden: !navigator.clipboard, "aria-label": `Copy: ${text}` });
      return [element("p", { class: "row" }, `${text}, in a terminal:`, copy), element("pre", { text: command })];
    }));
  }
}
