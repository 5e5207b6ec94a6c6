// The tab Mark: shows recorded demos, and marks where their subtasks end. The server checks and writes the marks.

import { button, element, label, show } from "/static/elements.js";
import { nextThing, reasonAgainst, uniqueSignals, withoutKeys } from "/static/mark_hints.js";
import { MarkPanel } from "/static/mark_panel.js";
import { Marks } from "/static/marks.js";
import { Player } from "/static/player.js";
import { VIEWS } from "/static/scene.js";
import { colorsOf, isStart, Timeline } from "/static/timeline.js";

// A button whose text is shorter on a small screen. A page that is touched does not show the key at the end of the text.
function labeled(text, rest, action, attributes) {
  const made = button("", action, attributes);
  const more = element("span", { class: "rest" });
  label(more, rest);
  made.append(text, more);
  return made;
}

export class Tab {
  constructor(studio) {
    this.studio = studio;
    this.state = null;
    this.name = null;
    this.demos = new Map();
    this.signals = []; // signals to mark, each with the hands that have it
    this.colors = new Map();
    this.accepting = new Set(); // demos whose suggestions are accepted when their replay has ended
    this.said = "";
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
    this.hint = element("p", { id: "mark_hint", role: "status" });
    this.scrubber = element("input", { type: "range", id: "frames", min: 0, max: 0, value: 0, "aria-label": "Step of the demo" });
    this.scrubber.addEventListener("input", () => { this.player.pause(); this.player.seek(Number(this.scrubber.value)); });
    this.playButton = button("▶ play", () => this.player.toggle(), { id: "play", title: "Space" });
    this.speedButton = button("1x", () => { this.player.nextSpeed(); this.refreshFrame(); }, { id: "speed", title: "speed (S)" });
    this.stepButtons = element("div", { class: "row" },
      button("−1", () => this.step(-1), { id: "step_back", "aria-label": "one step back" }), this.playButton,
      button("+1", () => this.step(1), { id: "step_on", "aria-label": "one step on" }), this.speedButton);
    this.handButtons = element("div", { class: "row", id: "hand_buttons", role: "group", "aria-label": "Hand" });
    this.markButtons = element("div", { class: "row", id: "mark_buttons" });
    this.accept = labeled("Accept", " suggestions (A)", () => this.acceptSuggestions(), { id: "accept" });
    this.undoButton = labeled("↶", " Undo", () => this.undo(), { id: "undo", title: "Ctrl Z", "aria-label": "Undo" });
    this.redoButton = labeled("↷", " Redo", () => this.redo(), { id: "redo", title: "Ctrl Y", "aria-label": "Redo" });
    this.leave = labeled("Leave out", " this demo (L)", () => this.leaveOut(), { id: "leave_out" });
    this.nextButton = labeled("Next", " demo (N)", () => this.move(1), { id: "next_demo", "aria-label": "Next demo" });
    this.writeButton = labeled("Write", " the file (Enter)", () => this.annotate(), { id: "write", class: "primary", "aria-label": "Write the annotated file" });
    this.bar = element("div", { id: "mark_bar" }, this.handButtons, this.markButtons,
      element("div", { class: "row" }, this.accept, this.undoButton, this.redoButton, this.leave, this.nextButton, this.writeButton));
    this.dock = element("div", { id: "mark_dock" }, element("div", { id: "scrub" }, this.stepButtons, this.scrubber), this.hint, this.bar, this.timeline.root,
      element("p", { class: "soft", id: "legend", }, "line: speed of the hand · red bar: gripper closed · dashed: suggestion of the task · ", element("span", { class: "finding_key", "aria-hidden": "true" }), " small triangle: finding of the check"));
    this.panel = new MarkPanel(this);
    this.buildEmpty();
  }

  // Card in place of the scene while there is nothing to mark.
  buildEmpty() {
    this.emptyTitle = element("h2");
    this.emptyText = element("p");
    this.toRecord = button("Record a demo", () => this.studio.select("record"), { id: "to_record", class: "primary" });
    this.empty = element("div", { id: "mark_empty" },
      element("div", { class: "card", role: "group", "aria-label": "Nothing to mark" }, this.emptyTitle, this.emptyText, this.toRecord));
  }

  order(name, more = {}) {
    return this.studio.order({ tab: "mark", do: name, ...more });
  }

  show(panel, overlay, dock) {
    this.isShown = true;
    overlay.append(element("div", { id: "top" }, this.place), this.player.reason, this.player.pictures, this.empty);
    dock.append(this.dock);
    this.panel.show(panel);
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
    const [known, shown] = [new Map(state.demos.map(({ name, actions }) => [name, actions])), this.name];
    for (const [name, demo] of this.demos) {
      if (known.get(name) === demo.actions) continue;
      this.demos.delete(name);
      this.player.forget(name);
      if (this.name === name) this.name = null;
    }
    if (this.isShown && shown && !this.name && known.has(shown)) this.open(shown);
    this.track = Math.min(this.track, Math.max(0, state.tracks.length - 1));
    this.signals = uniqueSignals(state.tracks);
    this.colors = colorsOf(state.tracks);
    this.makeMarkButtons();
    if (this.isShown) this.openFirst();
  }

  noteDemo(event) {
    this.demos.set(event.demo, event);
    const listed = this.state?.demos.find(({ name }) => name === event.demo);
    if (listed) listed.verdict = event.verdict;
    if (event.demo === this.name) this.player.open(event, this.state.step_dt);
    if (event.replay !== "running" && this.accepting.delete(event.demo) && this.studio.hasControl) this.acceptOf(event.demo);
  }

  openFirst() {
    const first = this.state?.demos.find(({ fault }) => !fault);
    if (!this.name && first) this.open(first.name);
  }

  open(name) {
    this.name = name;
    this.said = "";
    this.player.pause();
    const known = this.demos.get(name);
    if (known) this.player.open(known, this.state.step_dt);
    this.order("open", { demo: name });
    this.refresh();
  }

  move(by) {
    const { usable } = this;
    const index = usable.findIndex(({ name }) => name === this.name) + by;
    if (index >= 0 && index < usable.length) this.open(usable[index].name);
    else this.say(by > 0 ? "This is the last demo." : "This is the first demo.");
  }

  // Show why a key has no effect, until the next key.
  say(text) {
    this.said = text;
    this.refresh();
  }

  get hasRecord() {
    return this.studio.tabs.has("record");
  }

  get usable() {
    return this.state?.demos.filter(({ fault }) => !fault) ?? [];
  }

  get demo() {
    return this.demos.get(this.name);
  }

  get tracks() {
    return this.state?.tracks ?? [];
  }

  // Whether the annotated file is written, by this tab or by the step Annotate.
  get isAnnotated() {
    const step = this.studio.tabs.get("path")?.steps.find(({ name }) => name === "mark");
    return step ? step.state === "done" : this.state.is_annotated;
  }

  // Whether the annotated file is being written, by this tab or by the step Annotate.
  get isWriting() {
    return this.state.annotation.state === "running" || Boolean(this.studio.tabs.get("path")?.running.includes("mark"));
  }

  // Whether no demo is left to be annotated.
  get isAllLeftOut() {
    return this.usable.length > 0 && this.usable.every(({ name }) => this.marks.of(name).leave_out);
  }

  // Whether each demo is marked or left out.
  get isComplete() {
    return Boolean(this.state) && this.usable.length > 0 && !this.isAllLeftOut && this.usable.every(({ name }) => this.isMarked(name) || this.marks.of(name).leave_out);
  }

  // Whether the chosen demo has not arrived from the server yet.
  get isLoading() {
    return Boolean(this.studio.hasControl && this.name && !this.demo && !this.state.fault);
  }

  get canMark() {
    return Boolean(this.studio.hasControl && this.demo && !this.state.fault);
  }

  step(by) {
    this.seek(this.player.frame + by);
  }

  seek(frame) {
    this.player.pause();
    this.player.seek(frame);
  }

  // Go to the step of a signal, and choose a hand that has it.
  goTo(signal, frame) {
    if (!signal.eefs.includes(this.tracks[this.track].eef)) this.selectTrack(this.tracks.findIndex(({ eef }) => eef === signal.eefs[0]));
    this.seek(frame);
  }

  // Marks

  // Step at which a signal rises: its mark, or the suggestion that annotation takes without one.
  stepOf(signal) {
    const marked = this.marks.step(this.name, signal);
    return marked ?? (this.state.auto ? this.suggestion(signal) : null);
  }

  suggestion({ kind, name }) {
    return this.demo.suggestions[kind][name] ?? null;
  }

  // Number of marks of a demo. A demo is marked when all its subtasks are.
  countOf(name) {
    return this.signals.filter((signal) => this.marks.step(name, signal) !== null).length;
  }

  isMarked(name) {
    return this.countOf(name) === this.signals.length;
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
    else this.say(reasonAgainst(this.tracks[this.track], index, kind));
  }

  acceptSuggestions() {
    if (!this.canMark && !this.isLoading) return;
    const reason = this.reasonAgainstAccepting();
    if (reason) this.say(reason);
    else if (this.isLoading || this.demo.replay === "running") this.accepting.add(this.name);
    else this.acceptOf(this.name);
    this.refresh();
  }

  // Why there are no suggestions to accept; empty if there are, or may be after the replay.
  reasonAgainstAccepting() {
    if (this.isMarked(this.name)) return "All subtasks of this demo are marked.";
    if (this.isLoading || this.demo.replay === "running") return "";
    const hasNone = this.signals.every((signal) => this.marks.step(this.name, signal) !== null || this.suggestion(signal) === null);
    return hasNone ? "The task suggests no further steps: mark them yourself." : "";
  }

  async acceptOf(demo) {
    const { suggestions } = this.demos.get(demo);
    await this.marks.change(demo, (marks) => {
      for (const { kind, name } of this.signals) if (suggestions[kind][name] !== undefined) marks[kind][name] ??= suggestions[kind][name];
    });
    this.refresh();
  }

  removeHere() {
    const here = this.tracks[this.track]?.signals.find((signal) => this.marks.step(this.name, signal) === this.player.frame);
    if (here) this.mark(here, null);
    else this.say("No mark of this hand is at this step.");
  }

  async undo() {
    if (this.marks.done.length) this.shown(await this.marks.undo());
    else this.say("Nothing to undo.");
  }

  async redo() {
    if (this.marks.undone.length) this.shown(await this.marks.redo());
    else this.say("Nothing to redo.");
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
    if (["Space", "Enter"].includes(event.code) && event.target instanceof HTMLButtonElement) return; // They press the button in focus.
    event.preventDefault();
    if (this.said) this.say("");
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
      ArrowDown: () => this.selectTrack(this.track + 1), KeyV: () => this.nextView(), Enter: () => this.doNext(),
    };
  }

  digit({ code, shiftKey }) {
    const found = /^(?:Digit|Numpad)([1-9])$/.exec(code);
    return found && (() => this.markHere(Number(found[1]) - 1, shiftKey ? "start" : "term"));
  }

  // Press the button of the next thing to do.
  doNext() {
    const [path, pressed] = [this.studio.tabs.get("path"), { accept: this.accept, use: this.leave, next: this.nextButton, write: this.writeButton }[nextThing(this).button]];
    if (pressed) pressed.click();
    else if (this.isAnnotated && path?.next()) path.open(path.next().name);
  }

  // The annotated file

  async annotate() {
    const { output_exists: exists, output_file: file, can_write: canWrite } = this.state;
    if (!canWrite && this.studio.hasPath) {
      this.studio.tabs.get("path").open("mark"); // A command writes the file.
      return;
    }
    const lost = this.studio.tabs.get("path")?.steps.find(({ name }) => name === "mark")?.lost || `the file ${file}`;
    if (exists && !(await this.studio.askToReplace(lost))) return;
    this.order("annotate", { overwrite: exists });
  }

  async end() {
    const question = "End without writing the annotated file with these marks? The marks are saved.";
    if (this.isAnnotated || (await this.studio.ask(question, "End", "Continue"))) this.order("end");
  }

  // What the page shows

  makeMarkButtons() {
    const track = this.tracks[this.track];
    if (!track) return;
    this.handButtons.hidden = this.tracks.length < 2;
    this.handButtons.replaceChildren(...this.tracks.map(({ eef }, index) => button(eef, () => this.selectTrack(index), { "aria-pressed": String(index === this.track), title: "↑ ↓" })));
    const isAlone = !this.state.with_starts;
    const made = track.signals.map((signal) => {
      const index = track.subtasks.findIndex(({ signal: name }) => name === signal.name);
      const [verb, key] = isStart(signal) ? [" starts", `Shift ${index + 1}`] : [isAlone ? "" : " ends", String(index + 1)];
      const attributes = { class: "mark_button", "data-signal": `${signal.kind} ${signal.name}` };
      const rest = `${verb ? "" : " ends"}${this.tracks.length > 1 ? "" : " here"} (${key})`;
      const made = labeled(`${signal.name}${verb}`, rest, () => this.markHere(index, signal.kind), attributes);
      made.dataset.color = this.colors.get(signal.name);
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
    const next = nextThing(this);
    show(this.hint, withoutKeys(this.said || next.text), next.look ?? "");
    this.hint.hidden = !this.hint.textContent;
    this.dock.hidden = !this.demo && !this.isLoading;
    this.accept.classList.toggle("primary", next.button === "accept");
    this.nextButton.classList.toggle("primary", next.button === "next");
    this.showEmpty();
    for (const each of [...this.markButtons.children, this.leave]) each.disabled = !this.canMark;
    this.accept.disabled = !(this.canMark || this.isLoading) || Boolean(this.reasonAgainstAccepting());
    this.undoButton.disabled = !this.studio.hasControl || !this.marks.done.length;
    this.redoButton.disabled = !this.studio.hasControl || !this.marks.undone.length;
    this.leave.firstChild.textContent = this.marks.of(this.name).leave_out ? "Use" : "Leave out";
    this.leave.classList.toggle("primary", next.button === "use");
    if (this.demo) this.drawTimeline();
    this.nextButton.disabled = this.name === this.usable.at(-1)?.name;
    this.panel.refresh();
    this.writeButton.hidden = next.button !== "write";
    this.nextButton.hidden = !this.writeButton.hidden;
    this.writeButton.disabled = this.panel.annotateButton.disabled;
    this.refreshFrame();
  }

  drawTimeline() {
    this.timeline.draw({
      tracks: this.tracks, selected: this.track, colors: this.colors, demo: this.demo, canMark: this.canMark,
      markOf: (signal) => this.marks.step(this.name, signal), stepOf: (signal) => this.stepOf(signal),
    });
  }

  showEmpty() {
    const { demos, input_file: file } = this.state;
    this.empty.hidden = this.usable.length > 0;
    this.place.hidden = !this.empty.hidden;
    if (this.studio.scene && this.isShown) this.studio.scene.showsWrist = this.empty.hidden;
    if (this.empty.hidden) return;
    this.emptyTitle.textContent = demos.length ? "No demo can be used" : "No demo to mark yet";
    this.emptyText.textContent = demos.length ? `${demos[0].fault}` : this.hasRecord ? "Record a demo first. Each demo that you keep appears here at once." : `${file} has no demo yet. Each demo appears here when it is kept.`;
    this.toRecord.hidden = !this.hasRecord;
  }
}
