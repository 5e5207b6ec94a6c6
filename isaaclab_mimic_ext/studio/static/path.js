// The path from a recording to a generated dataset: a strip on every tab. A step opens a card, which starts its command.

import { fewText } from "/static/cards.js";
import { NO_CONNECTION } from "/static/connection.js";
import { button, element, label, show } from "/static/elements.js";
import { duration } from "/static/figures.js";

const TITLES = { record: "Record", mark: "Annotate", check: "Check", generate: "Generate", report: "Report" };
const TEXTS = {
  record: "Solve the task yourself, about ten times. Each kept demo is saved at once.",
  mark: "Replays the demos, and writes them with the ends of their subtasks: your marks, which you set on the tab Mark, or the signals of the task where you set no mark.",
  check: "Looks for faults of the marked demos that would make generation fail.",
  generate: "Generates new demos from yours, in random scenes.",
  report: "Writes a page about the generation: success by subtask, reasons of failure, pictures.",
};
const STARTS = { mark: "Write annotated.hdf5", check: "Check", generate: "Generate", report: "Write the report" };
const NEXTS = { record: "record demos", mark: "annotate the demos", check: "check the demos", generate: "generate demos", report: "write the report" };
const ENDED = { record: "The recording has ended", mark: "annotated.hdf5 is written", check: "The demos are checked", generate: "The generation has ended", report: "The report is written" };
const MARKS = { missing: "○", running: "◐", done: "✓", old: "↻", failed: "✕" };
const LOOKS = { missing: "", running: "warn", done: "good", old: "warn", failed: "bad" };
const WORDS = { missing: "not done yet", running: "running", done: "done", old: "out of date", failed: "failed" };
const [LOOK_COUNT, POLICY_COUNT] = [100, 1000];
const LOOK_ADVICE = "100 demos show whether generation works. A policy needs about 1,000, with noise in the actions.";
const TOO_FEW = "These demos show that generation works. A policy succeeds more often with demos that are generated “to train a policy”.";
const POLICY_ADVICE = "A policy needs about 1,000 demos. Noise in the actions shows it how to correct errors; some more trials fail.";
const MOST = 1000000; // demos to generate
const TABS = { record: "record", mark: "mark", generate: "watch" }; // tabs that belong to steps, if they are there

// A command that "was stopped on the page" or "was interrupted" has not failed.
const WAS = "was ";
const isNoFailure = (reason) => reason.startsWith(WAS);

export class Tab {
  constructor(studio) {
    this.studio = studio;
    this.steps = [];
    this.commands = [];
    this.running = [];
    this.opened = "";
    this.buttons = Object.fromEntries(Object.keys(TITLES).map((name) => [name, this.stepButton(name)]));
    this.buildCard();
    this.buildNews();
    this.root = element("nav", { id: "path", "aria-label": "Path to a dataset" },
      element("ol", {}, ...Object.values(this.buttons).map((each) => element("li", {}, each))), this.news, this.card);
    setInterval(() => this.running.length && this.refresh(), 1000); // The time for which a command runs.
  }

  stepButton(name) {
    const made = element("button", { type: "button", class: "step", "data-step": name, "aria-expanded": "false" },
      element("span", { class: "symbol" }), element("span"), element("span", { class: "figure" }));
    made.addEventListener("click", () => this.open(this.opened === name ? "" : name));
    return made;
  }

  // A line below the strip when a step has ended while its card is closed: it leads to the next step.
  buildNews() {
    this.newsText = element("span", { id: "news_text", role: "status" });
    this.newsNext = button("", () => this.goTo(this.newsStep), { id: "news_next", class: "primary" });
    this.news = element("div", { id: "news", class: "row", hidden: true }, this.newsText, this.newsNext,
      button("Close", () => this.hideNews(), { id: "news_close" }));
  }

  hideNews() {
    this.news.hidden = true;
  }

  // News are old when their step is done again, the step to which they lead runs, or demos are recorded again.
  dropNews(before) {
    const [state, isRunning] = [this.steps.find(({ name }) => name === this.newsOf)?.state, (name) => this.steps.find((step) => step.name === name)?.state === "running"];
    if (state !== "done" || isRunning(this.newsStep) || (isRunning("record") && before.record !== "running")) this.hideNews();
  }

  // Show that a step has ended, and the step that follows.
  showNews(before) {
    const ended = this.steps.find(({ name, state }) => state === "done" && before[name] && before[name] !== "done");
    const next = this.steps.find(({ is_next: isNext }) => isNext);
    if (!ended || this.opened || (ended.name === "record" && this.studio.shown === "record")) return; // The tab has a card.
    [this.newsOf, this.newsStep] = [ended.name, next?.name ?? ended.name];
    this.newsText.textContent = `${ENDED[ended.name]}${ended.figure ? `: ${ended.figure}` : ""}.`;
    label(this.newsNext, next ? this.textOf(next.name) : `Show the step ${TITLES[ended.name]}`);
    this.news.hidden = false;
  }

  buildCard() {
    this.title = element("h2");
    this.text = element("p");
    this.state = element("p", { id: "path_state", role: "status" });
    this.command = element("pre", { id: "path_command" });
    this.fault = element("p", { id: "path_fault" });
    this.count = element("input", { type: "number", id: "path_count", min: 1, max: MOST, value: 100, "aria-describedby": "path_count_fault" });
    this.countLabel = element("label", { for: "path_count", text: "Number of demos" });
    this.forPolicy = element("input", { type: "checkbox", id: "path_for_policy" });
    this.countRow = element("p", { class: "row" }, this.countLabel, this.count, element("label", {}, this.forPolicy, " to train a policy"));
    this.countFault = element("p", { id: "path_count_fault", role: "alert", "data-state": "bad" });
    this.few = element("p", { class: "soft", id: "path_few" });
    this.advice = element("p", { class: "soft", id: "path_advice" });
    this.progress = element("progress", { id: "path_progress", max: 1, "aria-label": "Progress" });
    this.startButton = button("", () => this.startStep(), { id: "path_start", class: "primary" });
    this.stopButton = button("Stop", () => this.studio.order({ tab: "path", do: "stop", step: this.opened }), { id: "path_stop" });
    this.showButton = button("", () => this.showTab(), { id: "path_show" });
    this.earlierButton = button("", () => this.goToEarlier(), { id: "path_earlier", class: "primary" });
    this.nextButton = button("", () => this.goTo(this.nextStep), { id: "path_next", class: "primary" });
    this.takeButton = button("Ask for control", () => this.studio.order({ control: "take" }), { id: "path_take" });
    this.page = element("a", { id: "path_page", class: "button", href: "/path/report.html", target: "_blank", rel: "noopener", text: "Open the report" });
    this.closeButton = button("Close (Esc)", () => this.open(""), { id: "path_close" });
    this.verdict = element("p", { id: "path_verdict", role: "status" });
    this.shown = element("div", { id: "path_shown" });
    this.output = element("pre", { id: "path_output", tabindex: 0, "aria-label": "Last lines of the output" });
    this.more = element("div", { id: "path_more" });
    this.line = element("details", { id: "path_line" }, element("summary", { text: "The same in a terminal" }), copyButton(() => this.command.textContent, "the command"), this.command);
    this.card = element("section", { class: "card", id: "path_card", tabindex: -1, "aria-label": "Step", hidden: true }, this.title, this.verdict, this.text, this.state,
      this.few, this.progress, this.fault, this.countRow, this.countFault, this.advice,
      element("div", { class: "row" }, this.nextButton, this.page, this.earlierButton, this.startButton, this.stopButton, this.takeButton, this.showButton, this.closeButton),
      this.shown, this.more, this.output, this.line);
    // Keys in the card must not move the robot.
    this.card.addEventListener("keydown", (event) => event.stopPropagation());
    this.card.addEventListener("click", () => this.card.contains(document.activeElement) || this.card.focus());
    // Enter presses the first button of the card, also when a step has ended and the focus is on the card.
    this.card.addEventListener("keydown", (event) => event.code === "Enter" && event.target === this.card && this.firstButton().click());
    window.addEventListener("keydown", (event) => this.opened && event.code === "Escape" && this.closeByKey(event), { capture: true });
    this.card.addEventListener("keyup", (event) => event.code === "Space" && event.stopPropagation());
    this.count.addEventListener("change", () => this.setCount());
    this.count.addEventListener("input", () => { this.hasTyped = true; });
    this.count.addEventListener("input", () => (this.hasCount() ? this.setCount() : this.refresh()));
    this.forPolicy.addEventListener("change", () => this.setPurpose());
    this.countRow.addEventListener("keydown", ({ key, repeat }) => key === "Enter" && !repeat && !this.startButton.hidden && this.startButton.click());
  }

  // Open the card of a step; "" closes it.
  open(name) {
    this.opened = name;
    this.hasTyped = false;
    this.hideNews();
    this.card.hidden = !name;
    for (const [step, each] of Object.entries(this.buttons)) each.setAttribute("aria-expanded", String(step === name));
    this.refresh();
    if (!name) document.activeElement?.blur();
    else this.firstButton().focus();
  }

  // The button of the card that a person most likely wants.
  firstButton() {
    const ordered = [this.nextButton, this.page, this.earlierButton, ...(this.isMarkingFirst(this.opened) ? [this.showButton] : []), this.startButton, this.showButton, this.closeButton];
    return ordered.find((each) => !each.hidden && !each.disabled);
  }

  // Open the next missing step, or the last one if all are done.
  goToNext() {
    this.goTo(this.next()?.name ?? "report");
  }

  // Open a step. Demos that are not marked yet lead to the tab on which they are marked, as the text of the button says.
  goTo(name) {
    this.open(this.isMarkingFirst(name) ? "" : name);
    if (this.isMarkingFirst(name)) this.studio.select("mark");
  }

  // Go to the step that the opened one needs first: the recording is ended on its tab.
  goToEarlier() {
    const { first } = this.steps.find(({ name }) => name === this.opened);
    this.open(first === "record" ? "" : first);
    if (first === "record") this.studio.select("record");
  }

  // Text of buttons that lead to a step.
  textOf(name) {
    return `Next: ${this.isMarkingFirst(name) ? "mark the demos" : NEXTS[name]}`;
  }

  // Whether the annotated file can be written, but demos have no marks yet.
  isMarkingFirst(name) {
    const mark = this.studio.tabs.get("mark");
    const step = this.steps.find((each) => each.name === name);
    return name === "mark" && Boolean(mark) && !mark.isComplete && !["done", "running"].includes(step?.state);
  }

  // Esc closes the card, wherever the focus is, and does nothing else. A question over the card comes first.
  closeByKey(event) {
    if (document.querySelector("dialog[open]")) return;
    event.preventDefault();
    event.stopPropagation();
    this.open("");
  }

  hasCount() {
    return this.count.value !== "" && this.count.checkValidity();
  }

  // A policy requires about ten times as many demos as a first look. A number that a person has typed stays.
  setPurpose() {
    if (!this.hasTyped) this.count.value = this.forPolicy.checked ? POLICY_COUNT : LOOK_COUNT;
    return this.setCount();
  }

  // The number of demos decides about the command, and about what the command replaces. Returns whether it is valid.
  async setCount() {
    if (!this.hasCount()) return false;
    const event = await this.studio.order({ tab: "path", do: "count", count: Number(this.count.value), for_policy: this.forPolicy.checked });
    if (event) this.receive(event);
    return Boolean(event);
  }

  async startStep() {
    const chosen = this.opened; // The card may be closed before the server answers.
    if (chosen === "generate" && !(await this.setCount())) return;
    const step = this.steps.find(({ name }) => name === chosen);
    if (step.replaces && !(await this.studio.askToReplace(step.lost))) return;
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
      const before = Object.fromEntries(this.steps.map(({ name, state }) => [name, state]));
      [this.steps, this.running, this.error] = [event.steps, event.running, event.error];
      this.startedAt = Object.fromEntries(Object.entries(event.elapsed_s).map(([name, time]) => [name, performance.now() - 1000 * time]));
      if (!this.news.hidden) this.dropNews(before);
      this.showNews(before);
      this.hasEnded = Boolean(this.opened) && before[this.opened] === "running" && this.steps.some(({ name, state }) => name === this.opened && state !== "running");
      if (document.activeElement !== this.count) this.count.value = event.count;
      this.forPolicy.checked = event.for_policy;
      this.isForPolicy = event.is_for_policy; // of the demos that are generated
      for (const name of ["mark", "watch"]) this.studio.tabs.get(name)?.refresh(); // They depend on the steps Annotate and Generate.
    }
    this.refresh();
  }

  // The next missing step, and its text on buttons; null if all steps are done.
  next() {
    const next = this.steps.find(({ is_next: isNext }) => isNext);
    return next ? { name: next.name, text: this.textOf(next.name) } : null;
  }

  refresh() {
    this.studio.tabs.get("record")?.refresh(); // Its card leads to the next step.
    for (const step of this.steps) this.refreshStep(step);
    const step = this.steps.find(({ name }) => name === this.opened);
    if (step) this.refreshCard(step);
    if (step && this.hasEnded && [this.card, document.body, null].includes(document.activeElement)) this.firstButton().focus();
    this.hasEnded = false;
  }

  // Demos of a running generation, as the tab Watch shows them; empty if it does not.
  watched({ name, state }) {
    return (name === "generate" && state === "running" && !this.isWritten(name) && this.studio.tabs.get("watch")?.counts()) || "";
  }

  // Text of the strip for a step.
  shortOf(step) {
    return this.watched(step) || step.short || step.figure;
  }

  // Text of the card for a step.
  figureOf(step) {
    return this.watched(step) ? step.figure.replace(/^\d+ of \d+ demos?/, this.watched(step)) : step.figure;
  }

  // Time for which the command of a step runs, for display; empty if this studio did not start it.
  elapsed(name) {
    return this.running.includes(name) ? duration((performance.now() - this.startedAt[name]) / 1000) : "";
  }

  refreshStep(step) {
    const { name, state, reason, is_next: isNext } = step;
    const figure = this.shortOf(step);
    const each = this.buttons[name];
    const [symbol, title, more] = each.children;
    const shown = state === "running" && this.elapsed(name) ? (figure && figure !== "starting" ? figure : this.elapsed(name)) : figure;
    const isStopped = state === "failed" && isNoFailure(reason);
    show(symbol, isStopped ? "■" : MARKS[state], state === "running" && name !== "record" ? "turns" : "");
    show(title, ` ${TITLES[name]}`);
    show(more, shown ? ` · ${shown}` : "");
    each.dataset.state = isStopped ? "warn" : LOOKS[state];
    each.title = `${symbol.textContent}${title.textContent}${step.figure ? ` · ${this.figureOf(step)}` : ""}`;
    each.dataset.next = String(isNext);
    if (isNext) each.setAttribute("aria-current", "step");
    else each.removeAttribute("aria-current");
  }

  refreshCard(step) {
    const { name, state, reason, command, fault, share } = step;
    const figure = this.figureOf(step);
    const isOwn = this.running.includes(name);
    const canAct = this.studio.hasControl;
    const time = isOwn ? ` for ${this.elapsed(name)}` : "";
    show(this.title, TITLES[name]);
    show(this.verdict, isOwn ? "" : step.verdict, state === "failed" ? "bad" : "good");
    show(this.text, TEXTS[name]);
    this.verdict.hidden = !this.verdict.textContent;
    this.text.hidden = !this.verdict.hidden || (name === "report" && state === "done");
    const isStopped = state === "failed" && isNoFailure(reason);
    const [word, why] = isStopped ? [reason.slice(WAS.length), ""] : [`${WORDS[state]}${time}`, reason];
    const result = name === "report" && state === "done" ? this.steps.find((each) => each.name === "generate").figure : figure;
    show(this.state, `${word}${result ? `: ${result}` : ""}${why ? `${/^[a-z]/.test(why) ? ";" : "."} ${why}` : ""}${this.error ? `. ${this.error}` : ""}`, isStopped ? "warn" : LOOKS[state]);
    this.progress.hidden = state !== "running" || name === "record";
    if (share === null) this.progress.removeAttribute("value");
    else this.progress.value = share;
    const blocking = this.running.find((each) => each !== name && !(name === "report" && this.isWritten(each)));
    const other = blocking ? `${TITLES[blocking]} runs; wait until it has ended, or stop it.` : "";
    const watching = this.studio.connection.isOpen ? `You are watching: ${this.studio.holderText}.` : NO_CONNECTION;
    show(this.fault, canAct ? (fault ? `Not yet: ${fault}.` : other) : watching);
    this.fault.hidden = !this.fault.textContent || !command;
    label(this.takeButton, this.studio.takeText);
    this.takeButton.hidden = canAct || !this.studio.connection.isOpen;
    this.earlierButton.hidden = !canAct || !step.first || Boolean(other);
    label(this.earlierButton, step.first ? `Go to the ${step.first === "record" ? "tab" : "step"} ${TITLES[step.first]}` : "");
    show(this.few, name === "record" ? fewText(this.studio.tabs.get("record")?.state?.demos.length ?? 0) : "");
    this.few.hidden = !this.few.textContent;
    this.refreshNext(step);
    this.refreshStart(step, isOwn, Boolean(fault || other) || !canAct || state === "running");
    this.stopButton.hidden = !isOwn;
    this.stopButton.disabled = !canAct;
    const tab = TABS[name];
    this.showButton.hidden = !this.studio.tabs.has(tab);
    label(this.showButton, `Show the tab ${this.studio.tabs.has(tab) ? tab.replace(/^./, (first) => first.toUpperCase()) : ""}`);
    this.page.hidden = name !== "report" || !["done", "old"].includes(state);
    this.line.hidden = !command;
    show(this.command, command);
    this.refreshOutput(step, isOwn, isStopped);
    this.showPictures(isOwn ? {} : step.pictures);
    this.showMore(this.page.hidden ? [] : this.commands);
  }

  // Whether a generation only draws its videos.
  isWritten(name) {
    return this.steps.find((each) => each.name === name).is_written;
  }

  refreshNext({ name, state, is_written: isWritten }) {
    const next = this.steps.find(({ is_next: isNext }) => isNext);
    this.nextStep = next?.name;
    this.nextButton.hidden = !(state === "done" || isWritten) || !next || next.name === name || next.state === "running";
    label(this.nextButton, next ? this.textOf(next.name) : "");
  }

  refreshStart({ name, state, command }, isOwn, isDisabled) {
    const isGenerate = name === "generate";
    this.countRow.hidden = !isGenerate || isOwn;
    this.advice.hidden = this.countRow.hidden;
    show(this.countFault, this.hasCount() ? "" : `The number of demos must be a whole number from 1 to ${MOST.toLocaleString("en")}.`, "bad");
    this.countFault.hidden = this.countRow.hidden || this.hasCount();
    show(this.advice, this.forPolicy.checked ? POLICY_ADVICE : LOOK_ADVICE);
    this.startButton.hidden = !command || isOwn;
    this.startButton.disabled = isDisabled || (isGenerate && !this.hasCount());
    this.startButton.classList.toggle("primary", state !== "done" && !this.isMarkingFirst(name) && this.earlierButton.hidden);
    this.showButton.classList.toggle("primary", this.isMarkingFirst(name) && this.earlierButton.hidden);
    const isResumed = /\bresume=true$/.test(command);
    const isAgain = ["done", "old", "failed"].includes(state);
    label(this.startButton, isResumed ? "Continue" : STARTS[name] ? `${STARTS[name]}${isAgain ? " again" : ""}` : "");
  }

  refreshOutput({ name, state, output, verdict }, isOwn, isStopped) {
    const isResult = name === "check" && !isOwn && Boolean(verdict || state !== "failed");
    this.output.hidden = !output.length || isStopped;
    if (this.output.textContent !== output.join("\n")) {
      show(this.output, output.join("\n"));
      this.output.scrollTop = isResult ? 0 : this.output.scrollHeight;
    }
    this.output.dataset.kind = isResult ? "result" : "lines";
  }

  // The picture of a check, or the video of the generated demos: name -> time of the last change.
  showPictures(pictures) {
    const wanted = JSON.stringify(pictures);
    if (this.shown.dataset.of === wanted) return;
    this.shown.dataset.of = wanted;
    this.shown.replaceChildren(...Object.entries(pictures).map(([name, time]) => {
      const address = `/path/${name}?changed=${time}`;
      if (name.endsWith(".mp4")) return element("video", { src: address, controls: true, preload: "metadata", "aria-label": "Generated demos" });
      const [link, text] = [{ href: address, target: "_blank", rel: "noopener" }, `Open ${name} at full size`];
      const picture = element("a", { ...link, class: "picture", "aria-label": text, title: text }, element("img", { src: address, alt: "Timeline of the demos with the findings" }));
      return element("figure", {}, picture, element("figcaption", {}, "Timelines of the demos with the findings. ", element("a", { ...link, text })));
    }));
  }

  // The way from the demos to a policy: commands to copy into a terminal.
  showMore(commands) {
    const wanted = JSON.stringify([commands, this.isForPolicy]);
    if (this.more.dataset.of === wanted) return;
    this.more.dataset.of = wanted;
    if (!commands.length) return this.more.replaceChildren();
    this.more.replaceChildren(
      element("h3", { text: "Next: train a policy, in a terminal" }),
      ...(this.isForPolicy ? [] : [element("p", { id: "path_too_few" }, TOO_FEW),
        element("p", { class: "row" }, button("Generate demos for a policy", () => this.open("generate"), { id: "path_for_policy" }))]),
      element("ol", {}, ...commands.map(({ text, command }) => element("li", {},
        element("p", { class: "row" }, `${text}`, copyButton(() => command, text)), element("pre", { text: command })))));
  }
}

// Button that copies a text. Pages without encryption from another machine have no clipboard.
function copyButton(text, of) {
  const made = button("Copy", async () => {
    await navigator.clipboard.writeText(text());
    label(made, "Copied");
    setTimeout(() => label(made, "Copy"), 1500);
  }, { class: "copy", hidden: !navigator.clipboard, "aria-label": `Copy: ${of}` });
  return made;
}
