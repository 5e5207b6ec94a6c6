// The tab Mark: shows recorded demos, and marks where their subtasks end. The server checks and writes the marks.

import { button, element, rows, section, show } from "/static/elements.js";
import { Marks } from "/static/marks.js";
import { Player } from "/static/player.js";
import { VIEWS } from "/static/scene.js";
import { isStart, Timeline } from "/static/timeline.js";

const KEYS = [
  ["← →", "one step"], ["Shift ← →", "ten steps"], ["Home End", "start, end"], ["Space", "play, pause"], ["S", "speed"],
  ["1 2 3 …", "mark here"], ["Shift 1 2 …", "mark a start here"], ["[ ]", "to the mark before, after"], ["Delete", "remove the mark here"],
  ["A", "accept suggestions"], ["Ctrl Z · Y", "undo · redo"], ["N P", "next, previous demo"], ["L", "leave out the demo"],
  ["↑ ↓", "other hand"], ["V", "view"], ["Tab ← →", "move an edge"],
];

// A button whose text is shorter on a small screen.
function labeled(text, rest, action, attributes) {
  const made = button("", action, attributes);
  made.append(text, element("span", { class: "rest", text: rest }));
  return made;
}

export class Tab {
  constructor(studio) {
    this.studio = studio;
    this.state = null;
    this.name = null;
    this.demos = new Map();
    this.track = 0;
    this.view = 0;
    this.marks = new Marks((message) => studio.order({ tab: "mark", ...message }));
    this.player = new Player(studio, () => this.refreshFrame());
    this.timeline = new Timeline({
      seek: (frame) => { this.player.pause(); this.player.seek(frame); },
      preview: (frame) => { this.player.pause(); this.player.seek(frame); },
      mark: (signal, step) => this.mark(signal, step),
      select: (track) => this.selectTrack(track),
    });
    this.keyDown = (event) => this.onKey(event);
    this.build();
  }

  build() {
    this.place = element("span", { class: "chip", id: "place", role: "status" });
    this.hint = element("p", { class: "chip", id: "mark_hint" });
    this.scrubber = element("input", { type: "range", id: "frames", min: 0, max: 0, value: 0, "aria-label": "Step of the demo" });
    this.scrubber.addEventListener("input", () => { this.player.pause(); this.player.seek(Number(this.scrubber.value)); });
    this.playButton = button("▶ play", () => this.player.toggle(), { id: "play", title: "Space" });
    this.speedButton = button("1x", () => { this.player.nextSpeed(); this.refreshFrame(); }, { id: "speed", title: "speed (S)" });
    this.stepButtons = element("div", { class: "row" },
      button("−1", () => this.step(-1), { id: "step_back", "aria-label": "one step back" }), this.playButton,
      button("+1", () => this.step(1), { id: "step_on", "aria-label": "one step on" }), this.speedButton);
    this.markButtons = element("div", { class: "row", id: "mark_buttons" });
    this.accept = labeled("Accept", " suggestions (A)", () => this.acceptSuggestions(), { id: "accept" });
    this.undoButton = labeled("↶", " Undo", () => this.undo(), { id: "undo", title: "Ctrl Z", "aria-label": "Undo" });
    this.redoButton = labeled("↷", " Redo", () => this.redo(), { id: "redo", title: "Ctrl Y", "aria-label": "Redo" });
    this.leave = labeled("Leave out", " this demo (L)", () => this.leaveOut(), { id: "leave_out", "aria-pressed": "false" });
    this.bar = element("div", { id: "mark_bar" }, this.markButtons,
      element("div", { class: "row" }, this.accept, this.undoButton, this.redoButton, this.leave));
    this.dock = element("div", { id: "mark_dock" }, element("div", { id: "scrub" }, this.stepButtons, this.scrubber), this.bar, this.timeline.root,
      element("p", { class: "soft", id: "legend", text: "line: speed of the hand · red bar: gripper closed · dashed: signal of the task · ▾ finding" }));
    this.list = element("ul", { id: "demo_list", "aria-label": "Demos" });
    this.markList = element("div", { id: "mark_list" });
    this.check = element("div", { id: "mark_check" });
    this.file = element("p", { class: "soft", id: "marks_file" });
    this.annotateButton = button("", () => this.annotate(), { id: "annotate", class: "primary" });
    this.reloadButton = button("Read the marks again", () => this.order("reload"), { id: "reload" });
    this.endButton = button("End", () => this.end(), { id: "end_marking" });
    this.result = element("div", { id: "annotation" });
  }

  order(name, more = {}) {
    return this.studio.order({ tab: "mark", do: name, ...more });
  }

  show(panel, overlay, dock) {
    this.isShown = true;
    overlay.append(element("div", { id: "top" }, this.place, this.hint), this.player.reason, this.player.pictures);
    dock.append(this.dock);
    panel.append(section("Demos", this.list), section("Marks", this.markList), section("Check", this.check),
      section("Annotate", element("div", { class: "row" }, this.annotateButton, this.reloadButton, this.endButton), this.result, this.file),
      section("Keys", rows(KEYS.map(([keys, text]) => [element("kbd", { text: keys }), text]))));
    window.addEventListener("keydown", this.keyDown);
    if (this.studio.scene) this.studio.scene.showsWrist = true;
    this.refresh();
    this.player.draw();
    if (this.name) this.order("open", { demo: this.name });
    else this.openFirst();
  }

  hide() {
    this.isShown = false;
    this.player.pause();
    window.removeEventListener("keydown", this.keyDown);
    if (this.studio.scene) this.studio.scene.showsWrist = false;
  }

  lost() {
    this.player.pause();
    this.refresh();
  }

  // Another page may change marks from now on, so this page can no longer take back its changes.
  controlled() {
    this.marks.done = [];
    this.marks.undone = [];
    this.refresh();
  }

  receive(event) {
    if (event.event === "state") this.takeOver(event);
    else if (event.event === "marks") {
      this.marks.note(event.demo, event.marks, event.revision);
      this.state.is_annotated = false;
    } else this.noteDemo(event);
    this.refresh();
  }

  takeOver(state) {
    this.state = state;
    this.marks.takeOver(state.demos, state.revision);
    const known = new Map(state.demos.map(({ name, actions }) => [name, actions]));
    for (const [name, demo] of this.demos) {
      if (known.get(name) === demo.actions) continue;
      this.demos.delete(name);
      this.player.forget(name);
      if (this.name === name) this.name = null;
    }
    this.track = Math.min(this.track, Math.max(0, state.tracks.length - 1));
    this.makeMarkButtons();
    if (this.isShown) this.openFirst();
  }

  noteDemo(event) {
    this.demos.set(event.demo, event);
    const listed = this.state?.demos.find(({ name }) => name === event.demo);
    if (listed) listed.verdict = event.verdict;
    if (event.demo === this.name) this.player.open(event, this.state.step_dt);
  }

  openFirst() {
    const first = this.state?.demos.find(({ fault }) => !fault);
    if (!this.name && first) this.open(first.name);
  }

  open(name) {
    this.name = name;
    this.player.pause();
    const known = this.demos.get(name);
    if (known) this.player.open(known, this.state.step_dt);
    this.order("open", { demo: name });
    this.refresh();
  }

  move(by) {
    const usable = this.state?.demos.filter(({ fault }) => !fault) ?? [];
    const index = usable.findIndex(({ name }) => name === this.name) + by;
    if (index >= 0 && index < usable.length) this.open(usable[index].name);
  }

  get demo() {
    return this.demos.get(this.name);
  }

  get tracks() {
    return this.state?.tracks ?? [];
  }

  get canMark() {
    return Boolean(this.studio.hasControl && this.demo && !this.state.fault);
  }

  step(by) {
    this.player.pause();
    this.player.seek(this.player.frame + by);
  }

  // Marks

  // Step at which a signal rises: its mark, or the suggestion that annotation takes without one.
  stepOf(signal) {
    const marked = this.marks.step(this.name, signal);
    return marked ?? (this.state.auto ? this.demo.suggestions[signal.kind][signal.name] ?? null : null);
  }

  async mark(signal, step) {
    if (!this.canMark) return false;
    const isSet = await this.marks.set(this.name, signal, step);
    this.refresh();
    return isSet;
  }

  markHere(index, kind) {
    const subtask = this.tracks[this.track]?.subtasks[index];
    const signal = this.tracks[this.track]?.signals.find((each) => each.kind === kind && each.name === subtask?.signal);
    if (signal) this.mark(signal, this.player.frame);
  }

  async acceptSuggestions() {
    if (!this.canMark) return;
    const { suggestions } = this.demo;
    await this.marks.change(this.name, (marks) => {
      for (const track of this.tracks) for (const { kind, name } of track.signals) marks[kind][name] ??= suggestions[kind][name];
      for (const kind of ["term", "start"]) for (const name of Object.keys(marks[kind])) if (marks[kind][name] === undefined) delete marks[kind][name];
    });
    this.refresh();
  }

  removeHere() {
    const here = this.tracks[this.track]?.signals.find((signal) => this.marks.step(this.name, signal) === this.player.frame);
    if (here) this.mark(here, null);
  }

  async undo() {
    this.shown(await this.marks.undo());
  }

  async redo() {
    this.shown(await this.marks.redo());
  }

  shown(name) {
    if (name && name !== this.name) this.open(name);
    this.refresh();
  }

  async leaveOut() {
    if (!this.canMark) return;
    await this.marks.change(this.name, (marks) => { marks.leave_out = !marks.leave_out; });
    this.refresh();
  }

  toMark(direction) {
    const steps = this.tracks.flatMap(({ signals }) => signals).map((signal) => this.stepOf(signal)).filter((step) => step !== null);
    const ahead = steps.filter((step) => direction * (step - this.player.frame) > 0).sort((a, b) => direction * (a - b));
    if (ahead.length) this.step(ahead[0] - this.player.frame);
  }

  selectTrack(track) {
    if (track === this.track || !this.tracks[track]) return;
    this.track = track;
    if (this.studio.scene) this.studio.scene.wrist = Math.min(track, this.studio.scene.hands.length - 1);
    this.makeMarkButtons();
    this.player.draw();
    this.refresh();
  }

  nextView() {
    this.view = (this.view + 1) % VIEWS.length;
    this.studio.scene?.setView(this.view);
  }

  onKey(event) {
    const isTyping = event.target instanceof Element && event.target.matches("input:not([type=range]), textarea, select");
    if (isTyping || event.altKey || document.querySelector("dialog[open]")) return;
    const action = event.ctrlKey || event.metaKey ? this.commands()[event.code] : this.keys(event)[event.code] ?? this.digit(event);
    if (!action) return;
    if (event.code === "Space" && event.target instanceof HTMLButtonElement) return; // Space presses the button in focus.
    event.preventDefault();
    action();
  }

  commands() {
    return { KeyZ: () => this.undo(), KeyY: () => this.redo() };
  }

  keys({ shiftKey }) {
    const many = shiftKey ? 10 : 1;
    return {
      ArrowLeft: () => this.step(-many), ArrowRight: () => this.step(many), Home: () => this.step(-1e6), End: () => this.step(1e6),
      Space: () => this.player.toggle(), KeyS: () => { this.player.nextSpeed(); this.refreshFrame(); }, BracketLeft: () => this.toMark(-1),
      BracketRight: () => this.toMark(1), Delete: () => this.removeHere(), Backspace: () => this.removeHere(), KeyA: () => this.acceptSuggestions(),
      KeyN: () => this.move(1), KeyP: () => this.move(-1), KeyL: () => this.leaveOut(), ArrowUp: () => this.selectTrack(this.track - 1),
      ArrowDown: () => this.selectTrack(this.track + 1), KeyV: () => this.nextView(),
    };
  }

  digit({ code, shiftKey }) {
    const found = /^(?:Digit|Numpad)([1-9])$/.exec(code);
    return found && (() => this.markHere(Number(found[1]) - 1, shiftKey ? "start" : "term"));
  }

  // The annotated file

  async annotate() {
    const { output_exists: exists, output_file: file } = this.state;
    if (exists && !(await this.studio.ask(`${file} exists. Replace it?`, "Replace it", "Keep it"))) return;
    this.order("annotate", { overwrite: exists });
  }

  async end() {
    const question = "End without writing the annotated file with these marks? The marks are saved.";
    if (this.state.is_annotated || (await this.studio.ask(question, "End", "Continue"))) this.order("end");
  }

  // What the page shows

  makeMarkButtons() {
    const track = this.tracks[this.track];
    if (!track) return;
    const isAlone = !this.state.with_starts;
    const made = track.signals.map((signal) => {
      const index = track.subtasks.findIndex(({ signal: name }) => name === signal.name);
      const [verb, key] = isStart(signal) ? [" starts", `Shift ${index + 1}`] : [isAlone ? "" : " ends", String(index + 1)];
      const attributes = { class: "mark_button", "data-signal": `${signal.kind} ${signal.name}` };
      const rest = `${verb ? "" : " ends"} here (${key})`;
      const made = labeled(`${signal.name}${verb}`, rest, () => this.markHere(index, signal.kind), attributes);
      made.dataset.color = index % 6;
      return made;
    });
    this.markButtons.replaceChildren(...made);
  }

  refreshFrame() {
    if (!this.isShown) return;
    const { frame, last } = this.player;
    const seconds = (frame * (this.state?.step_dt ?? 0)).toFixed(2);
    show(this.place, this.demo ? `${this.name} · step ${frame} of ${last} · ${seconds} s` : this.state?.demos.length ? "reading the demo …" : "no demo");
    this.scrubber.max = last;
    this.scrubber.value = frame;
    this.timeline.setFrame(frame);
    this.playButton.textContent = this.player.isPlaying ? "❚❚ pause" : "▶ play";
    this.speedButton.textContent = `${this.player.speed}x`;
  }

  refresh() {
    if (!this.isShown || !this.state) return;
    this.hint.hidden = !(this.hint.textContent = this.hintText());
    this.dock.hidden = !this.demo;
    for (const each of [...this.markButtons.children, this.accept, this.leave]) each.disabled = !this.canMark;
    this.undoButton.disabled = !this.studio.hasControl || !this.marks.done.length;
    this.redoButton.disabled = !this.studio.hasControl || !this.marks.undone.length;
    this.leave.setAttribute("aria-pressed", String(this.marks.of(this.name).leave_out));
    if (this.demo) this.drawTimeline();
    this.showDemos();
    this.showMarks();
    this.showCheck();
    this.showAnnotation();
    this.refreshFrame();
  }

  drawTimeline() {
    this.timeline.draw({
      tracks: this.tracks, selected: this.track, demo: this.demo, canMark: this.canMark,
      markOf: (signal) => this.marks.step(this.name, signal), stepOf: (signal) => this.stepOf(signal),
    });
  }

  hintText() {
    const { fault, demos } = this.state;
    if (fault) return fault;
    if (!demos.length) return "No demo is recorded yet. Record one on the tab Record.";
    if (!this.studio.hasControl) return "You are watching. Ask for control to mark.";
    const isMissing = this.demo?.replay === "done" && this.tracks.some(({ signals }) => signals.some((signal) => this.stepOf(signal) === null));
    return isMissing ? "Some subtasks have no end yet: go to the step, and press the number of the subtask." : "";
  }

  showDemos() {
    const texts = (demo) => {
      const [marks, count] = [this.marks.of(demo.name), this.countOf(demo.name)];
      if (demo.fault) return ["unusable", "bad"];
      if (marks.leave_out) return ["left out", ""];
      if (demo.verdict && !demo.verdict.is_good) return ["✗", "bad"];
      if (demo.verdict) return [count ? "✓ marked" : "✓", "good"];
      return [count ? "marked" : "", ""];
    };
    const made = this.state.demos.map((demo) => {
      const [text, look] = texts(demo);
      const state = element("span", { class: "state", text, "data-state": look });
      const entry = button("", () => this.open(demo.name), { "aria-current": String(demo.name === this.name), title: demo.fault || null, "data-demo": demo.name });
      entry.append(element("span", { text: demo.name }), state);
      return element("li", {}, entry);
    });
    const hadFocus = this.list.contains(document.activeElement) && document.activeElement.dataset.demo;
    this.list.replaceChildren(...made);
    if (hadFocus) this.list.querySelector(`[data-demo="${CSS.escape(hadFocus)}"]`)?.focus();
  }

  countOf(name) {
    const { term, start } = this.marks.of(name);
    return Object.keys(term).length + Object.keys(start).length;
  }

  showMarks() {
    if (!this.demo) return;
    const lines = this.tracks.flatMap((track) => track.signals.map((signal) => {
      const [marked, suggested] = [this.marks.step(this.name, signal), this.demo.suggestions[signal.kind][signal.name] ?? null];
      const name = `${this.tracks.length > 1 ? `${track.eef}: ` : ""}${signal.name}${isStart(signal) ? " starts" : ""}`;
      const from = this.state.auto ? "from the task" : "suggested";
      return [name, marked !== null ? String(marked) : suggested !== null ? `${suggested} ${from}` : "not marked"];
    }));
    this.markList.replaceChildren(rows(lines));
  }

  showCheck() {
    if (!this.demo) return;
    const { verdict, replay, note, findings } = this.demo;
    const lines = [];
    if (replay === "running") lines.push(["note", "The demo is replayed …"]);
    if (note) lines.push(["warning", note]);
    if (verdict) lines.push(verdict.is_good ? ["good", verdict.was_replayed ? "The replay succeeds, and all boundaries are found." : "All boundaries are found; the demo was not replayed."] : ["error", verdict.text]);
    if (verdict?.is_good && findings === null) lines.push(["note", "The doctor examines the demo …"]);
    for (const { level, frame, found, expected, remedy, check } of findings ?? []) {
      if (check === "annotation") continue;
      lines.push([level, `${level}${frame === null ? "" : `, step ${frame}`}: ${found}${expected ? `; expected ${expected}` : ""}. Remedy: ${remedy}`]);
    }
    this.check.replaceChildren(element("ul", { class: "findings" }, ...lines.map(([level, text]) => element("li", { text, "data-level": level }))));
  }

  showAnnotation() {
    const { annotation, output_file: output, marks_file: marks, fault, is_finished: isFinished, can_end: canEnd, next_command: next, demos } = this.state;
    const isRunning = annotation.state === "running";
    const name = output.split(/[\\/]/).pop();
    this.annotateButton.textContent = isRunning ? "Writing …" : `Write ${name}`;
    this.annotateButton.disabled = isRunning || !this.studio.hasControl || Boolean(fault) || !isFinished || !demos.length;
    this.reloadButton.hidden = !fault;
    this.reloadButton.disabled = !this.studio.hasControl;
    this.endButton.hidden = !canEnd;
    this.endButton.disabled = !this.studio.hasControl;
    const lines = [];
    if (!isFinished && demos.length) lines.push(["note", "The recording runs. End it on the tab Record (Esc), then write the annotated file."]);
    if (annotation.text) lines.push([annotation.state === "failed" ? "error" : "good", annotation.text]);
    for (const [demo, reason] of Object.entries(annotation.rejected)) lines.push(["warning", `${demo} is rejected: ${reason}`]);
    const found = element("ul", { class: "findings" }, ...lines.map(([level, text]) => element("li", { text, "data-level": level })));
    this.result.replaceChildren(found);
    if (annotation.state === "done" && next) this.result.append(element("p", { class: "soft", text: "Next, in a terminal:" }), element("pre", { text: next }));
    this.file.textContent = `Marks are saved at once, in ${marks}`;
  }
}
