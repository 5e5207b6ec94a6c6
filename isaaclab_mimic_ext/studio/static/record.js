// The tab Record: state of the recording, and everything a person can do. The server decides; this page asks.

import { Aids } from "/static/aids.js";
import { button, element, label, rows, section, show } from "/static/elements.js";
import { Input } from "/static/input.js";
import { makePads } from "/static/pads.js";
import { DoneCard, ReviewCard } from "/static/cards.js";
import { withoutKeys } from "/static/mark_hints.js";
import { VIEWS } from "/static/scene.js";
import { SpaceMouse } from "/static/spacemouse.js";
import { startsMap } from "/static/starts.js";

const HEAD_BYTES = 32;
const POSE_BYTES = 28;
const PHASES = {
  ready: ["ready", ""], recording: ["● recording", "bad"], still: ["time stands still", ""], paused: ["paused", "warn"],
  review: ["solved", "good"], done: ["ended", "good"], failed: ["stopped", "bad"], busy: ["please wait", "warn"],
};
const KEYS = [
  ["W A S D", "move, as seen"], ["Q E", "up, down"], ["Space", "open, close gripper"], ["C V", "turn"], ["Z X · T G", "tilt"],
  ["Shift", "slow"], ["B · N", "2 s back · forward"], ["R · O", "new · same scene"], ["U", "undo R or O"], ["P", "pause"],
  ["F", "along the view · the robot"], ["H · J", "handle · turn it"], ["1 2 3 4", "views"], ["Esc", "save and end"],
];
const KEYS_OF_HANDS = [["Tab", "the other arm, both"], ["Shift Tab", "choose a button"]];
const LAMPS = "○ not yet · ◐ was reached · ● now";
const NO_SPACE_MOUSE = "No SpaceMouse was chosen; all other inputs work. If the list was empty, connect the device by cable, and click SpaceMouse again.";
const STUCK_STEPS = 8; // steps for which the hand stays behind its target until the page explains the target
const NEWS_STEPS = 60; // steps of an attempt for which the outcome of the last one is shown

export class Tab {
  constructor(studio) {
    this.studio = studio;
    this.state = null;
    this.facts = { hands: [], signals: [], subtasks: [] };
    this.reached = new Set();
    this.aids = studio.scene && new Aids(studio.scene);
    this.aids?.setShown(false);
    this.input = new Input(studio, this.actions());
    this.review = new ReviewCard((name) => this.order(name));
    this.done = new DoneCard((count) => this.studio.order({ tab: "record", do: "more", count }), studio.hasPath ? () => studio.tabs.get("path") : null);
    this.build();
  }

  actions() {
    const grip = () => { this.input.toggleGrip(); this.refresh(); };
    const pause = () => this.order(this.state?.phase === "paused" ? "resume" : "pause");
    const rewind = () => (this.step ? this.order("rewind") : this.say("This is the start of the attempt."));
    const forward = () => (this.made > this.step ? this.order("forward") : this.say("No steps were taken back."));
    const undo = () => (this.state?.given_up_steps ? this.order("undo") : this.say("Nothing was given up."));
    const fresh = () => this.order(this.state?.phase === "review" ? "discard" : "new");
    const keep = () => this.state?.phase === "review" && this.order("keep");
    const decide = () => this.state?.phase === "review" && this.order(this.review.hasError ? "again" : "keep");
    const enter = () => (this.done.firstButton ?? { click: decide }).click();
    return {
      Space: grip, grip, KeyP: pause, pause, KeyB: rewind, rewind, KeyR: fresh, new: fresh, KeyN: forward, KeyU: undo,
      KeyK: keep, Enter: enter, KeyO: () => this.order("again"), Escape: () => this.end(), KeyF: () => this.switchFrame(),
      KeyH: () => this.toggleHandle(), KeyJ: () => this.aids?.turnHandle(),
      ...(this.studio.description.hands.length > 1 ? { Tab: () => this.nextHand() } : {}),
      ...Object.fromEntries(VIEWS.map((_, index) => [`Digit${index + 1}`, () => this.studio.scene?.setView(index)])),
    };
  }

  order(name, more = {}) {
    this.said = "";
    return this.studio.order({ tab: "record", do: name, ...more });
  }

  // Show why a key has no effect, until the next order or step.
  say(text) {
    this.said = text;
    this.refreshStep();
  }

  async end() {
    const { phase } = this.state ?? {};
    if (["done", "failed", "busy"].includes(phase)) return;
    const lost = this.step > 0 ? " The running attempt is not saved." : "";
    const isAsked = phase !== "review"; // The server refuses to end while a demo waits for a decision.
    const [question, yes] = this.state.demos.length ? ["Save the demos and end?", "Save and end"] : ["No demo is kept yet. End the recording without a demo?", "End"];
    if (isAsked && !(await this.studio.ask(`${question}${lost}`, yes, "Continue"))) return;
    this.order("end");
  }

  switchFrame() {
    if (!this.studio.scene) return;
    this.input.frame = this.input.frame === "camera" ? "robot" : "camera";
    this.refresh();
  }

  nextHand() {
    this.input.nextHand();
    if (this.studio.scene) this.studio.scene.wrist = this.input.hand;
    this.studio.scene?.redraw();
    this.refresh();
  }

  toggleHandle() {
    const isShown = this.aids?.toggleHandle(this.input.hand, (pose) => { this.input.handle = pose; }) ?? false;
    this.handleButton.setAttribute("aria-pressed", String(isShown));
  }

  async connectSpaceMouse() {
    try {
      const name = await this.input.spaceMouse.connect();
      if (name) label(this.spaceMouseButton, `SpaceMouse: ${name}`);
      else this.say(NO_SPACE_MOUSE);
    } catch (error) {
      if (["NotFoundError", "AbortError"].includes(error.name)) this.say(NO_SPACE_MOUSE); // The list was closed.
      else this.studio.notice(`The SpaceMouse cannot be used: ${error.message}`);
    }
  }

  // Elements are made once; `show` only inserts them.
  build() {
    const act = this.input.actions;
    this.phase = element("span", { class: "chip", id: "phase", role: "status" });
    this.time = element("span", { class: "chip", id: "time" });
    this.drop = element("span", { class: "chip", id: "drop" });
    this.moved = element("span", { class: "chip", id: "moved_hand", hidden: true });
    this.news = element("p", { class: "chip", id: "record_news", role: "status" });
    this.hint = element("p", { class: "chip", id: "hint" });
    this.wristLabel = element("span", { class: "chip", id: "wrist_label", text: "wrist" });
    this.lamps = element("ul", { id: "lamps", "aria-label": "Signals of the task" });
    this.slider = element("input", { type: "range", id: "steps", min: 0, max: 0, value: 0, "aria-label": "Step of the attempt" });
    this.slider.addEventListener("change", () => this.order("go_to", { step: Number(this.slider.value) }));
    this.back = button("◀ 2 s (B)", act.KeyB, { id: "rewind" });
    this.forward = button("2 s ▶ (N)", act.KeyN, { id: "forward" });
    this.timeBar = element("div", { id: "time_bar" }, this.back, this.slider, this.forward);
    this.undoButton = button("", act.KeyU, { id: "undo_new" });
    this.pads = makePads(this.input, act, () => this.nextHand());
    this.gripButton = button("", act.Space, { id: "grip" });
    this.pauseButton = button("Pause (P)", act.KeyP, { id: "pause" });
    this.handButton = button("", () => this.nextHand(), { id: "hand", hidden: this.studio.description.hands.length < 2 });
    this.frameButton = button("", act.KeyF, { id: "frame" });
    this.spaceMouseButton = button("SpaceMouse", () => this.connectSpaceMouse(), { id: "spacemouse", hidden: !SpaceMouse.isAvailable });
    this.handleButton = button("Drag handle (H)", act.KeyH, { id: "handle", "aria-pressed": "false" });
    this.buttons = element("div", { class: "row", id: "buttons" }, this.gripButton, this.pauseButton, this.handButton,
      this.handleButton, this.spaceMouseButton, this.frameButton, button("New scene (R)", act.KeyR, { id: "new" }),
      button("Same scene (O)", act.KeyO, { id: "again" }), button("Save and end (Esc)", act.Escape, { id: "end" }));
    this.views = element("div", { class: "row", id: "views" },
      ...VIEWS.map(({ name }, index) => button(`${name} (${index + 1})`, () => this.studio.scene?.setView(index))));
    this.viewSection = section("View", this.views);
    this.viewSection.id = "view_section";
    const keys = this.studio.description.hands.length > 1 ? [...KEYS, ...KEYS_OF_HANDS] : KEYS;
    this.keys = section("Keys", rows(keys.map(([keys, text]) => [element("kbd", { text: keys }), text])));
    this.keys.classList.add("key");
    this.session = element("div", { id: "session" });
    this.subtasks = element("div", { id: "subtasks" });
    this.subtaskLines = [];
    this.startsMap = element("div", { id: "starts" });
    this.starts = section("Start positions", this.startsMap);
  }

  show(panel, overlay, dock) {
    this.isShown = true;
    overlay.append(element("div", { id: "top" }, this.phase, this.time, this.moved, this.drop, this.news, this.undoButton, this.hint), this.wristLabel,
      element("div", { id: "bottom" }, this.lamps, this.timeBar), this.review.root, this.done.root);
    dock.append(this.pads.root);
    panel.append(section("Task", this.subtasks), section("Demos", this.session), this.keys, section("Control", this.buttons),
      this.viewSection, this.starts);
    this.input.start();
    if (this.studio.scene) {
      this.aids.setShown(true);
      this.studio.scene.showsWrist = true;
      this.studio.scene.beforeDrawing = () => this.input.send(true);
    }
    this.refresh();
  }

  hide() {
    this.isShown = false;
    this.input.stop();
    if (this.studio.scene) {
      if (this.aids.handle) this.toggleHandle();
      this.aids.setShown(false);
      this.studio.scene.showsWrist = false;
      this.studio.scene.beforeDrawing = null;
    }
  }

  // The end of the recording stays in view: a command ends with it, and takes the server along.
  lost() {
    this.input.epoch = -1;
    if (!["done", "failed"].includes(this.state?.phase)) this.state = null;
    this.refresh();
  }

  // A page that gets control takes over the grippers first, or it would drop what the hand holds.
  controlled() {
    this.input.epoch = -1;
    this.input.sent = "";
    this.refresh();
  }

  receive(event) {
    if (event.event === "scene") {
      this.facts = event;
      this.lamps.replaceChildren();
      this.subtaskLines = [];
    } else if (event.event === "reached") {
      this.reached = new Set(event.names); // signals of the attempt up to its present step
    } else {
      this.state = event;
      this.input.takeOver(event.epoch, event.grippers);
      if (event.phase === "review") document.activeElement?.blur?.();
    }
    this.refresh();
  }

  // A frame: head of eight numbers, targets of the hands, poses of the bodies.
  frame(view) {
    const at = (index) => view.getUint32(4 * index, true);
    if (at(1) !== this.step) this.said = "";
    [this.step, this.made, this.solved, this.signals] = [at(1), at(2), at(3), at(4)];
    this.rate = at(7) / 1000;
    if (this.aids) this.showScene(view);
    this.refreshStep();
  }

  showScene(view) {
    this.aids.readTargets(view, HEAD_BYTES);
    this.studio.scene.setPoses(view, HEAD_BYTES + POSE_BYTES * this.facts.hands.length);
    const below = this.aids.update(this.input.hand);
    show(this.drop, `${(100 * below.height).toFixed(1)} cm above ${below.name}`);
    if (!this.aids.isBehind(this.input.hand)) this.followsSince = this.step;
    this.followsSince = Math.min(this.followsSince ?? this.step, this.step);
  }

  // Whether the selected hand stays behind its target: a hand that moves freely does not.
  get isStuck() {
    return Boolean(this.aids) && this.step - this.followsSince >= STUCK_STEPS;
  }

  refreshStep() {
    if (!this.isShown) return;
    this.showNews();
    const hint = this.hintText();
    this.hint.hidden = !hint;
    show(this.hint, hint);
    const seconds = (this.step ?? 0) * (this.state?.step_dt ?? 0.05);
    const slow = this.rate < 0.95 && this.state?.phase === "recording" ? ` · ${this.rate.toFixed(1)}x speed` : "";
    show(this.time, `${seconds.toFixed(1)} s · step ${this.step ?? 0}${slow}`);
    this.slider.max = this.made ?? 0;
    if (document.activeElement !== this.slider) this.slider.value = this.step ?? 0;
    this.back.disabled = !this.step || !this.studio.hasControl;
    this.forward.disabled = !(this.made > this.step) || !this.studio.hasControl;
    this.showLamps();
  }

  showLamps() {
    const names = [...this.facts.signals, "solved"];
    if (this.lamps.children.length !== names.length + 1) {
      this.lamps.replaceChildren(...names.map(() => element("li", { class: "chip" })), element("li", { class: "chip", id: "lamps_legend", text: LAMPS }));
    }
    const missing = this.missing().map(({ signal }) => signal);
    names.forEach((name, index) => {
      const isOn = name === "solved" ? this.solved > 0 : Boolean(this.signals & (1 << index));
      const was = this.reached.has(name);
      show(this.lamps.children[index], `${isOn ? "●" : was ? "◐" : "○"} ${name}`, isOn ? "good" : missing.includes(name) ? "warn" : "");
    });
    if (this.subtaskLines.length !== this.facts.subtasks.length) this.listSubtasks();
    this.facts.subtasks.forEach(({ signal }, index) => {
      const isOver = this.reached.has(signal || "solved");
      this.subtaskLines[index].dataset.state = isOver ? "good" : "";
    });
  }

  // Subtasks whose signal has not come, although a later subtask of the same hand is over: annotation would not find their ends.
  missing() {
    const { hands, subtasks } = this.facts;
    return hands.flatMap((hand) => {
      const own = subtasks.filter((each) => each.hand === hand);
      const isOver = own.map(({ signal }) => this.reached.has(signal || "solved"));
      const last = this.reached.has("solved") ? own.length - 1 : isOver.lastIndexOf(true);
      return own.filter(({ signal }, index) => index < last && signal && !isOver[index]);
    });
  }

  // Each hand has its own list: hands act at the same time, and the keys of the tab Mark count per hand.
  listSubtasks() {
    const { hands, subtasks } = this.facts;
    this.subtaskLines = subtasks.map(({ text }) => element("li", { text }));
    this.subtasks.replaceChildren(...hands.flatMap((hand) => {
      const lines = this.subtaskLines.filter((_, index) => subtasks[index].hand === hand);
      return [...(hands.length > 1 ? [element("h3", { text: hand })] : []), element("ol", { "aria-label": hand }, ...lines)];
    }));
  }

  refresh() {
    if (!this.isShown) return;
    const state = this.state;
    const [text, look] = state ? PHASES[state.phase] : ["not connected", "bad"];
    show(this.phase, text, look);
    const isRunning = state && !["done", "failed", "busy"].includes(state.phase);
    const canAct = Boolean(isRunning && this.studio.hasControl);
    for (const each of this.buttons.children) each.disabled = !canAct;
    const isOpen = this.input.grip[this.input.hand] > 0;
    label(this.pauseButton, state?.phase === "paused" ? "Continue (P)" : "Pause (P)");
    label(this.gripButton, `${isOpen ? "Close" : "Open"} (Space)`);
    const shown = this.facts.hands[this.input.hand] ?? "";
    const hand = this.input.movesAll ? (this.facts.hands.length > 2 ? "all" : "both") : shown;
    label(this.handButton, `Hand: ${hand} (Tab)`);
    show(this.wristLabel, this.facts.hands.length > 1 ? `wrist: ${shown}` : "wrist");
    this.moved.hidden = this.facts.hands.length < 2;
    show(this.moved, `moves: ${hand}`);
    label(this.frameButton, `Move along: ${this.input.frame === "camera" ? "the view" : "the robot's axes"} (F)`);
    this.pads.update(isOpen, state?.phase === "paused", hand);
    this.pads.root.hidden = !canAct || state.phase === "review";
    this.slider.disabled = !canAct;
    this.timeBar.hidden = !isRunning;
    this.review.update(state, canAct, this.missing());
    this.done.update(state, this.studio.hasControl);
    this.showSession();
    this.refreshStep();
  }

  hintText() {
    const { phase, reason } = this.state ?? {};
    if (!this.studio.hasControl && this.state) return `You are watching. ${this.studio.takeText} to record.`;
    if (this.said) return this.said;
    const means = matchMedia("(pointer: coarse)").matches ? "the pads below" : "W A S D, Q and E";
    if (phase === "ready") return `Move the hand with ${means}. Time begins with your first command.`;
    if (phase === "paused" && reason === phase) return means.startsWith("the") ? "Touch Continue." : "Press P to continue.";
    if (phase === "busy" || (phase === "paused" && !this.isStuck)) return reason;
    const [missed] = ["recording", "still"].includes(phase) ? this.missing() : [];
    if (missed) return withoutKeys(`${this.solved > 0 ? "Solved, but the" : "The"} signal “${missed.signal}” was not reached (${missed.text}): annotation needs it. Go back (B) and do this part again.`);
    if (phase === "recording" && this.solved > 0) return "Solved: hold still.";
    if (this.isStuck && phase !== "review") return "The hand cannot follow its target, the turquoise hand: the target is out of reach, or something is in the way. Move back.";
    const left = this.facts.max_steps - this.step;
    if (left <= this.facts.warning_steps) return `An attempt has at most ${this.facts.max_steps} steps: ${Math.round(left * this.state.step_dt)} s are left.`;
    return "";
  }

  showSession() {
    if (!this.state) return;
    const { demos, num_wanted: wanted, step_dt: dt, output_file: file, start, phase } = this.state;
    const lengths = demos.map(({ num_steps: steps }) => steps);
    const [least, most] = [Math.min(...lengths), Math.max(...lengths)];
    const range = lengths.length ? `${least === most ? least : `${least} to ${most}`} steps` : "none yet";
    const mean = lengths.length ? ` (${((lengths.reduce((a, b) => a + b) / lengths.length) * dt).toFixed(1)} s)` : "";
    const facts = rows([["kept", `${demos.length} of ${wanted}`], ["length", range + mean]]);
    const bar = element("progress", { max: wanted, value: demos.length, "aria-label": "Kept demos" });
    this.session.replaceChildren(bar, facts, element("p", { class: "soft", text: file }));
    this.startsMap.replaceChildren(startsMap(demos, phase === "done" ? {} : start, this.studio.description));
  }

  // What has become of the last attempt, and the button that brings it back.
  showNews() {
    const { outcome, given_up_steps: numGivenUp, step_dt: dt, phase } = this.state ?? {};
    const isRunning = this.state && !["done", "failed", "busy"].includes(phase);
    const isSaved = outcome?.endsWith("is saved");
    const isOver = (this.step ?? 0) > (isSaved ? NEWS_STEPS : 0); // A failure is of no interest when the next attempt has begun.
    this.news.hidden = !isRunning || !outcome || isOver || phase === "review";
    show(this.news, outcome ? `${isSaved ? "✓ " : ""}${outcome.replace(/^./, (first) => first.toUpperCase())}` : "", isSaved ? "good" : "");
    this.undoButton.hidden = !isRunning || !numGivenUp || !this.studio.hasControl;
    if (numGivenUp) label(this.undoButton, `Bring back ${(numGivenUp * dt).toFixed(1)} s that you gave up (U)`);
  }
}
