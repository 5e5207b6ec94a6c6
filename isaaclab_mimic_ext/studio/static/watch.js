// The tab Watch: environments of a run in motion, figures of the run, and ended trials again.

import { button, counted, element, label, rows, section, seenOn, show, stepsText, timeText } from "/static/elements.js";
import { duration, placeMap, reasonBars, successFigures } from "/static/figures.js";
import { Grid } from "/static/grid.js";
import { LONGEST_DRAWING_MS, VIEWS } from "/static/scene.js";
import { Group, Vector3 } from "/static/vendor/three.js";

const POSE_BYTES = 28;
const PATIENT_MS = 250; // a person who only watches prefers sharp pictures to many
const SPEEDS = [0.5, 1, 2, 4];
const MOST_LISTED = 60; // buttons of failed trials
const KEYS = [
  ["← → ↑ ↓", "choose an environment"], ["Enter", "go near it · again: play its trial, if ended"], ["Esc", "all environments"],
  ["Space", "play, pause a trial"], ["← → · Shift", "one step · ten"], ["↓ · ↑", "next · previous trial"], ["N · B", "next · previous failed trial"],
  ["X", "speed"], ["1 2 3 4", "views"],
];
const LEGEND = [["good", "○", "succeeded"], ["bad", "✕", "failed"]];
const NOTHING = { group: new Group(), center: new Vector3(), radius: 1 };
const STATES = {
  "in progress": ["● running", "good"], writing: ["writing files", "warn"], finished: ["finished", "good"], interrupted: ["interrupted", "warn"],
  unfinished: ["ended without a result", "bad"], none: ["no run yet", "warn"], unreadable: ["cannot be read", "bad"],
};

export class Tab {
  constructor(studio) {
    this.studio = studio;
    this.run = null;
    this.live = { is_live: false, text: "" };
    this.motion = null;
    this.chosenEnv = null;
    this.reason = null;
    this.object = 0;
    this.speed = 1;
    this.listeners = [];
    this.outcomes = new Map(); // ended trial -> index of its reason of failure, or -1
    this.build();
  }

  build() {
    this.state = element("span", { class: "chip", id: "run_state", role: "status" });
    this.what = element("span", { class: "chip", id: "what" });
    this.hint = element("p", { class: "chip", id: "hint" });
    this.slider = element("input", { type: "range", id: "trial_steps", min: 1, max: 1, value: 1, "aria-label": "Step of the trial" });
    this.slider.addEventListener("input", () => this.goTo(Number(this.slider.value) - 1));
    this.playButton = button("", () => this.togglePlaying(), { id: "play" });
    this.speedButton = button("", () => this.nextSpeed(), { id: "speed" });
    this.backButton = button("All environments (Esc)", () => this.showAll(), { id: "back" });
    this.player = element("div", { id: "player", class: "card" }, element("div", { class: "row" }, this.playButton, this.slider, this.speedButton),
      element("div", { class: "row" }, ...this.buildSteps(), this.backButton));
    this.buildStart();
    this.name = element("p", { class: "soft", id: "run_folder" });
    this.runs = element("select", { id: "runs", "aria-label": "Run" });
    this.runs.addEventListener("change", () => this.studio.order({ tab: "watch", do: "choose", run: this.runs.value }));
    this.facts = element("div", { id: "run_facts" });
    this.text = element("p", { id: "run_text" });
    this.command = element("pre", { id: "run_command", hidden: true });
    this.commandTitle = element("p", { class: "soft", id: "run_command_title", hidden: true });
    this.generateButton = button("Open the step Generate", () => this.studio.tabs.get("path").open("generate"), { id: "run_generate", class: "primary", hidden: true });
    this.reasons = element("div", { id: "reasons" });
    this.objects = element("select", { id: "objects", "aria-label": "Object" });
    this.objects.addEventListener("change", () => { this.object = this.objects.selectedIndex; this.showFigures(); });
    this.places = element("div", { id: "map" });
    this.failed = element("div", { id: "failed", class: "row" });
    this.number = element("input", { type: "number", id: "trial_number", min: 0, value: 0, "aria-label": "Number of a trial" });
    this.form = element("form", { class: "row", id: "any_trial" }, this.number, element("button", { type: "submit", text: "Play trial" }));
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.play(Number(this.number.value)); });
    this.views = element("div", { class: "row", id: "views" },
      ...VIEWS.map(({ name }, index) => button(`${name} (${index + 1})`, () => this.studio.scene?.setView(index))));
  }

  buildSteps() {
    this.trialButtons = [button("◀ Trial (↑)", () => this.playNext(-1), { id: "previous_trial" }), button("Trial ▶ (↓)", () => this.playNext(1), { id: "next_trial" })];
    this.failedButtons = [button("◀ Failed (B)", () => this.step(-1), { id: "previous" }), button("Failed ▶ (N)", () => this.step(1), { id: "next" })];
    return [...this.trialButtons, ...this.failedButtons];
  }

  // Card in place of the scene until there is something to see, and the meaning of the symbols.
  buildStart() {
    this.startTitle = element("h2");
    this.startText = element("p");
    this.startLine = element("p", { class: "soft", id: "start_line" });
    this.lastButton = button("", () => this.play(this.run.last_success), { id: "play_last", class: "primary" });
    this.firstFailed = button("", () => this.step(1), { id: "play_failed" });
    this.startButtons = element("div", { class: "row" }, this.lastButton, this.firstFailed);
    this.start = element("div", { id: "watch_start", hidden: true },
      element("div", { class: "card", role: "status" }, this.startTitle, this.startText, this.startLine, this.startButtons));
    this.dark = element("span", { text: "dark: no trial runs there" });
    this.legend = element("p", { id: "grid_legend", class: "chip", hidden: true }, "last trial: ",
      ...LEGEND.flatMap(([state, symbol, text]) => [element("span", { class: "outcome", "data-state": state, "aria-hidden": "true", text: symbol }), ` ${text}  `]), this.dark);
  }

  show(panel, overlay, dock) {
    this.isShown = true;
    overlay.append(this.start, element("div", { id: "top" }, this.state, this.what, this.hint), this.legend);
    this.timer = setInterval(() => this.showStart(), 1000);
    dock.append(this.player);
    this.whyPart = section("Why trials fail", this.reasons);
    this.wherePart = section("Where trials fail", this.objects, this.places);
    this.viewPart = section("View", this.views);
    this.viewPart.hidden = !this.studio.scene;
    this.keysPart = section("Keys", rows(KEYS.map(([keys, text]) => [element("kbd", { text: keys }), text])));
    this.keysPart.classList.add("key");
    panel.append(section("Run", this.runs, this.name, this.text, this.generateButton, this.commandTitle, this.command, this.facts), this.whyPart, section("Trials", this.failed, this.form),
      this.wherePart, this.viewPart, this.keysPart);
    this.listen(window, "keydown", (event) => this.keyDown(event));
    this.listen(this.studio.scene?.canvas, "click", (event) => this.clicked(event));
    this.listen(this.studio.scene?.canvas, "pointerdown", (event) => { this.pressedAt = [event.clientX, event.clientY]; });
    if (this.studio.scene) this.studio.scene.longestMs = PATIENT_MS;
    this.shownStage = this.drawn = undefined; // The parts of the panel are new.
    this.present();
    this.refresh();
  }

  listen(target, kind, listener) {
    target?.addEventListener(kind, listener);
    this.listeners.push(() => target?.removeEventListener(kind, listener));
  }

  hide() {
    this.isShown = false;
    clearInterval(this.timer);
    for (const remove of this.listeners.splice(0)) remove();
    this.pause();
    if (!this.studio.scene) return;
    this.studio.scene.longestMs = LONGEST_DRAWING_MS;
    this.studio.scene.present(null);
  }

  controlled() {
    this.refresh();
  }

  // Demos of a run in progress, as the panel shows them; empty if the tab is not shown.
  counts() {
    const { state, successes, target, target_unit: unit } = this.run ?? {};
    return this.isShown && state === "in progress" && target && unit === "demos" ? `${successes} of ${target} demos` : "";
  }

  lost() {
    this.live = { is_live: false, text: "the page has no connection" };
    this.refresh();
  }

  receive(event) {
    if (event.event === "run") {
      if (this.run && this.run.folder !== event.folder) this.forget();
      this.isOver ||= this.run?.state === "in progress" && event.state !== "in progress"; // no frame follows
      this.run = event;
      if (!event.recent) this.outcomes.clear(); // a run that starts again in the same folder
      for (const [trial, reason] of event.recent ?? []) this.outcomes.set(trial, reason < 0 ? "" : event.reasons[reason].name);
      if (this.studio.scene && !this.grid) this.makeGrid(event.units);
      this.shadeGrid();
      if (this.studio.hasPath) this.studio.tabs.get("path").refresh(); // The strip shows the same counts.
    } else if (event.event === "live") this.live = event;
    else if (event.event === "motion") this.showMotion(event);
    this.refresh();
  }

  makeGrid(units) {
    this.grid = new Grid(this.studio.description, units);
    this.grid.outcome = (trial) => (this.outcomes.has(trial) ? this.outcomes.get(trial) === "" : undefined);
  }

  shadeGrid() {
    if (!this.grid) return;
    this.grid.isOver = Boolean(this.isOver);
    if (this.isOver) for (const head of this.grid.heads) head.isActive = false; // The last frame may be older than the last trial.
    if (this.hasFrame) this.grid.shade();
    this.studio.scene.redraw();
  }

  // Forget what belongs to another run.
  forget() {
    this.motion = this.reason = this.chosenEnv = null;
    this.outcomes.clear();
    this.isOver = false;
    this.hasFrame = false;
    if (this.isShown) this.present();
  }

  // Show all environments, or the trial that is played.
  present() {
    const { scene } = this.studio;
    if (!scene) return;
    const stage = this.motion ? null : this.hasFrame ? this.grid : NOTHING;
    if (stage !== this.shownStage) scene.present(stage);
    this.shownStage = stage;
    if (this.motion) this.goTo(this.motion.step);
  }

  frame(view) {
    if (!this.grid) return;
    this.grid.isOver = this.isOver = false;
    const isNew = this.grid.read(view);
    if (!this.hasFrame || isNew) {
      this.hasFrame = true;
      this.shownStage = isNew ? undefined : this.shownStage;
      if (!this.motion) this.present();
    }
    if (this.motion) return;
    this.studio.scene.redraw();
    this.refreshTop();
  }

  clicked(event) {
    const moved = Math.hypot(event.clientX - this.pressedAt[0], event.clientY - this.pressedAt[1]);
    if (this.motion || !this.hasFrame || moved > 5) return;
    const box = this.studio.scene.canvas.getBoundingClientRect();
    const [x, y] = [(2 * (event.clientX - box.x)) / box.width - 1, 1 - (2 * (event.clientY - box.y)) / box.height];
    this.chooseEnv(this.grid.pick(x, y, this.studio.scene.camera));
  }

  chooseEnv(index) {
    this.chosenEnv = index;
    this.grid.mark(index);
    this.refresh();
    this.studio.scene.redraw();
  }

  // Move the camera to the chosen environment.
  lookAt(index) {
    const { scene } = this.studio;
    const [x, y] = this.grid.offsets[index];
    scene.center.set(x + 0.35, y, 0.15);
    scene.radius = 0.55;
    this.isNear = scene.isNear = true;
    scene.setView(0);
  }

  showAll() {
    if (this.motion) {
      this.pause();
      this.motion = null;
      this.present();
    } else if (this.hasFrame) {
      this.grid.center.set(0, 0, 0);
      this.studio.scene.radius = this.grid.radius;
      this.studio.scene.isNear = false;
      this.studio.scene.setView(0);
      this.chooseEnv(null);
    }
    this.isNear = false;
    this.refresh();
  }

  moveChoice(columns, rowsDown) {
    const { columns: wide, count } = this.grid;
    const next = this.chosenEnv === null ? 0 : this.chosenEnv + columns + wide * rowsDown;
    if (next >= 0 && next < count) this.chooseEnv(next);
    if (this.isNear) this.lookAt(this.chosenEnv);
  }

  keyDown(event) {
    const isTyping = event.target instanceof Element && event.target.matches("input:not([type=range]), textarea, select");
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping || document.querySelector("dialog[open]")) return;
    const isButton = event.target instanceof HTMLButtonElement && ["Enter", "Space"].includes(event.code);
    const action = this.actions(event.shiftKey ? 10 : 1)[event.code];
    if (!action || isButton) return;
    event.preventDefault();
    action();
  }

  actions(stride) {
    const views = Object.fromEntries(VIEWS.map((_, index) => [`Digit${index + 1}`, () => this.studio.scene?.setView(index)]));
    const start = () => [this.generateButton, this.lastButton, this.firstFailed].find((each) => each.checkVisibility())?.click();
    const common = { ...views, Enter: start, KeyN: () => this.step(1), KeyB: () => this.step(-1), KeyX: () => this.nextSpeed(), Escape: () => this.showAll() };
    if (this.motion) {
      const move = (by) => { this.pause(); this.goTo(this.motion.step + by); };
      return { ...common, Space: () => this.togglePlaying(), ArrowLeft: () => move(-stride), ArrowRight: () => move(stride),
        ArrowUp: () => this.playNext(-1), ArrowDown: () => this.playNext(1) };
    }
    if (!this.hasFrame) return common;
    const enter = () => {
      if (this.chosenEnv === null) return;
      if (!this.isNear) this.lookAt(this.chosenEnv);
      else if (!this.grid.heads[this.chosenEnv].isActive) this.playChosen();
      this.refresh();
    };
    return { ...common, Enter: enter, ArrowLeft: () => this.moveChoice(-1, 0), ArrowRight: () => this.moveChoice(1, 0),
      ArrowUp: () => this.moveChoice(0, -1), ArrowDown: () => this.moveChoice(0, 1) };
  }

  playChosen() {
    this.play(this.grid.heads[this.chosenEnv].trial);
  }

  // Trials

  listed() {
    const { failed = [] } = this.run ?? {};
    return this.reason === null ? failed : failed.filter(({ reason }) => reason === this.reason);
  }

  // Play the next failed trial, or the previous one.
  step(by) {
    const trials = this.listed().map(({ trial }) => trial);
    if (!trials.length) return;
    const here = trials.indexOf(this.wanted ?? this.motion?.trial);
    const next = here < 0 ? (by > 0 ? 0 : trials.length - 1) : (here + by + trials.length) % trials.length;
    this.play(trials[next]);
  }

  // Play the trial after the one that is played, or before it.
  playNext(by) {
    const trial = (this.wanted ?? this.motion?.trial ?? 0) + by;
    if (trial >= 0 && trial <= this.run.last_trial) this.play(trial);
  }

  async play(trial) {
    this.wanted = trial;
    this.refresh();
    const answer = await this.studio.order({ tab: "watch", do: "play", trial });
    if (answer === undefined) this.wanted = null;
    this.refresh();
  }

  async showMotion(event) {
    if (event.trial !== this.wanted) return;
    this.wanted = null;
    if (event.fault) {
      this.studio.notice(event.fault);
      return;
    }
    this.studio.notice("");
    const poses = new DataView(await this.studio.load(`/watch/motion/${event.name}`));
    this.motion = { ...event, poses, step: 0 };
    if (this.isShown) {
      this.pause();
      this.present();
      this.togglePlaying();
    }
    this.refresh();
  }

  goTo(step) {
    const { motion } = this;
    motion.step = Math.min(Math.max(step, 0), motion.num_steps - 1);
    const stride = motion.poses.byteLength / motion.num_steps;
    if (stride === POSE_BYTES * this.studio.description.bodies.length) this.studio.scene.setPoses(motion.poses, stride * Math.floor(motion.step));
    this.refreshTop();
  }

  togglePlaying() {
    if (this.playing) {
      this.pause();
      return;
    }
    if (!this.motion) return;
    if (this.motion.step >= this.motion.num_steps - 1) this.motion.step = 0;
    let last = performance.now();
    const tick = (now) => {
      this.goTo(this.motion.step + (Math.max(0, now - last) / 1000 / this.run.step_dt) * this.speed);
      last = now;
      if (this.motion.step >= this.motion.num_steps - 1) this.pause();
      else this.playing = requestAnimationFrame(tick);
    };
    this.playing = requestAnimationFrame(tick);
    this.refreshTop();
  }

  pause() {
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    if (this.motion) this.motion.step = Math.floor(this.motion.step);
    this.refreshTop();
  }

  nextSpeed() {
    this.speed = SPEEDS[(SPEEDS.indexOf(this.speed) + 1) % SPEEDS.length];
    this.refreshTop();
  }

  // Display

  refresh() {
    if (!this.isShown) return;
    this.refreshTop();
    this.showRun();
    const key = JSON.stringify([this.run, this.reason, this.object, this.motion?.trial, Boolean(this.startingStep())]);
    if (key === this.drawn) return;
    this.drawn = key;
    this.showFigures();
  }

  refreshTop() {
    if (!this.isShown) return;
    const { run, motion } = this;
    const [text, look] = run ? STATES[run.state] ?? ["ended", "warn"] : ["waiting for the run", "warn"];
    show(this.state, this.studio.connection.isOpen ? text : "not connected", this.studio.connection.isOpen ? look : "bad");
    const what = this.whatIsShown();
    this.what.hidden = !what;
    show(this.what, what);
    const hint = this.hintText();
    this.hint.hidden = !hint;
    if (this.hint.textContent !== hint) this.hint.textContent = hint;
    this.player.hidden = !motion;
    this.legend.hidden = Boolean(motion) || !this.hasFrame || this.grid.heads.every(({ isActive }) => isActive);
    this.dark.hidden = Boolean(this.isOver);
    if (this.grid?.endings) this.grid.endings.visible = !this.isNear;
    this.showStart();
    if (!motion) return;
    const here = this.wanted ?? motion.trial;
    [this.trialButtons[0].disabled, this.trialButtons[1].disabled] = [here <= 0, here >= (run?.last_trial ?? 0)];
    for (const each of this.failedButtons) each.disabled = !this.listed().length;
    this.slider.max = motion.num_steps;
    this.slider.value = Math.floor(motion.step) + 1;
    label(this.backButton, this.hasFrame ? "All environments (Esc)" : "Close (Esc)");
    label(this.playButton, this.playing ? "Pause (Space)" : "Play (Space)");
    label(this.speedButton, `${this.speed}x (X)`);
  }

  whatIsShown() {
    const { motion, grid } = this;
    if (motion) return `trial ${motion.trial} · ${timeText(motion.step, this.run.step_dt)} · step ${Math.floor(motion.step) + 1} of ${motion.num_steps}`;
    if (!this.hasFrame || !grid) return "";
    if (this.chosenEnv === null && this.isOver) return "end of the run";
    if (this.chosenEnv === null) return `${grid.heads.filter(({ isActive }) => isActive).length} of ${grid.count} environments run`;
    const { trial, step, isActive } = grid.heads[this.chosenEnv];
    const outcome = this.outcomes.get(trial);
    const ended = outcome === undefined ? "ended" : outcome ? `failed: ${outcome}` : "succeeded";
    return `environment ${this.chosenEnv}: trial ${trial}, ${isActive ? this.placeOf(step) : ended}`;
  }

  // A step with its time. A run without an ended trial has not stated the duration of a step yet.
  placeOf(step) {
    return this.run?.step_dt ? stepsText(step, null, this.run.step_dt) : `step ${step}`;
  }

  // A generation that this studio has started and whose folder does not exist yet; null without one.
  startingStep() {
    const path = this.studio.tabs.get("path");
    const isStarting = path?.running.includes("generate") && !["in progress", "writing", "finished"].includes(this.run?.state);
    return isStarting ? path.steps.find(({ name }) => name === "generate") : null;
  }

  get isYoung() {
    return this.run?.state === "in progress" && !("trials" in this.run);
  }

  // Whether the page has nothing to show of a run whose trials can be played.
  get hasOnlyEnded() {
    const { state, trials, no_scene: noScene } = this.run ?? {};
    return Boolean(trials && this.grid && !noScene) && state !== "in progress";
  }

  // What a run does before its first poses, and for how long; after its end, the trials to play.
  showStart() {
    if (!this.isShown) return;
    const { run } = this;
    const step = this.startingStep();
    const isBefore = Boolean(step || this.isYoung || run?.state === "none");
    this.start.hidden = Boolean(this.motion || this.hasFrame || this.wanted != null) || !(isBefore || this.hasOnlyEnded);
    for (const part of [this.viewPart, this.keysPart]) part.hidden = isBefore || (part === this.viewPart && !this.studio.scene);
    this.startButtons.hidden = isBefore;
    this.generateButton.hidden = Boolean(step) || !run?.command || !this.studio.hasPath;
    this.text.hidden = Boolean(step) || !run?.text;
    if (step) show(this.state, "● starting", "warn");
    if (this.start.hidden) return;
    this.hint.hidden = true;
    if (!isBefore) this.offerTrials();
    else this.showBeginning(step);
  }

  // Ended trials that a person most likely wants to see.
  offerTrials() {
    const { trials, successes, last_success: last, failed } = this.run;
    show(this.startTitle, `${counted(successes, "demo")} of ${counted(trials, "trial")}`);
    show(this.startText, failed.length ? "Play a trial: here, by its number, or by its dot on the map." : "Play a trial: here, or by its number.");
    show(this.startLine, "");
    this.lastButton.hidden = last < 0;
    label(this.lastButton, "▶ Play the last demo (Enter)");
    this.firstFailed.hidden = !failed.length;
    label(this.firstFailed, `▶ Play a failed trial (${last < 0 ? "Enter" : "N"})`);
  }

  showBeginning(step) {
    const { run } = this;
    const path = this.studio.tabs.get("path");
    const time = path?.elapsed("generate") || (this.isYoung ? duration(run.elapsed_s) : "");
    show(this.startTitle, step ? `The generation starts · ${time}` : this.isYoung ? `The first trials run · ${time}` : "No run yet");
    show(this.startText, step ? "The engine, the demos and the environments are loaded. The first environments appear in a moment."
      : this.isYoung ? "The environments appear here. Success and reasons of failure follow when the first trial ends." : "A run appears here when it generates demos.");
    show(this.startLine, (step ?? (path?.running.includes("generate") && path.steps.find(({ name }) => name === "generate")))?.output?.at(-1)?.replace(/^\[[\d:]+\] /, "") ?? "");
  }

  hintText() {
    const { run, motion, live } = this;
    if (this.wanted != null) return `Trial ${this.wanted} is being read, or simulated again …`;
    if (motion) {
      const outcome = motion.reason ? `failed at ${this.placeOf(motion.failed_step)}: ${motion.reason}` : "succeeded";
      return `${outcome} (${motion.origin})`;
    }
    if (!run) return "";
    if (run.no_scene) return `No picture: ${run.no_scene}.`;
    if (!this.studio.scene) return "";
    const isRunning = run.state === "in progress";
    if (isRunning && live.is_live && this.chosenHint()) return this.chosenHint();
    if (this.isYoung && this.hasFrame) return `No trial has ended yet (${duration(run.elapsed_s)}). Figures follow when the first trial ends.`;
    if (isRunning && live.is_live) return live.text ? `Shown: ${live.text}.` : "";
    if (isRunning) return live.text ? `No live picture: ${live.text}.` : "Waiting for the poses of the run …";
    return run.trials && this.hasFrame ? "All trials have ended. Choose a trial to play it." : "";
  }

  // Meaning of Enter for the chosen environment.
  chosenHint() {
    if (this.chosenEnv === null || matchMedia("(pointer: coarse)").matches) return "";
    if (!this.isNear) return "Enter goes near this environment.";
    return this.grid.heads[this.chosenEnv].isActive ? "This trial can be played when it has ended. Esc shows all environments." : "Enter plays the trial that has ended here.";
  }

  showRun() {
    const { run } = this;
    if (!run) return;
    show(this.name, run.folder);
    this.runs.hidden = run.runs.length < 2;
    if (this.runs.dataset.names !== run.runs.join("/")) {
      this.runs.dataset.names = run.runs.join("/");
      this.runs.replaceChildren(...run.runs.map((name) => element("option", { value: name, text: name })));
    }
    if (document.activeElement !== this.runs) this.runs.selectedIndex = run.chosen;
    this.runs.disabled = !this.studio.hasControl;
    show(this.text, run.text);
    this.command.hidden = this.commandTitle.hidden = !run.command || this.studio.hasPath;
    show(this.command, run.command ?? "");
    show(this.commandTitle, run.state === "none" ? "To generate, in a terminal:" : "To continue the run, in a terminal:");
  }

  showFigures() {
    const { run } = this;
    const hasFigures = Boolean(run) && "trials" in run && !this.startingStep();
    for (const part of [this.whyPart, this.wherePart, this.failed.parentElement]) part.hidden = !hasFigures;
    this.facts.replaceChildren(...(hasFigures ? successFigures(run) : []));
    if (!hasFigures) return;
    const focused = document.activeElement?.dataset?.reason ?? document.activeElement?.dataset?.trial;
    const kind = document.activeElement?.className;
    this.reasons.replaceChildren(...reasonBars(run, this.reason, (index) => { this.reason = this.reason === index ? null : index; this.refresh(); }));
    this.objects.replaceChildren(...run.places.map(({ object }) => element("option", { text: object })));
    this.object = Math.min(this.object, Math.max(run.places.length - 1, 0));
    this.objects.selectedIndex = this.object;
    this.objects.hidden = run.places.length < 2;
    this.wherePart.hidden = !run.places.length;
    const failed = this.listed();
    if (run.places.length) this.places.replaceChildren(placeMap(run, this.object, failed, this.motion, (trial) => this.play(trial)));
    const shown = failed.slice(-MOST_LISTED);
    const title = failed.length ? `${failed.length > shown.length ? `The last ${shown.length} of ` : ""}${failed.length} failed: play` : "";
    this.failed.replaceChildren(element("span", { class: "soft", text: title }), ...shown.map(({ trial, reason }) => {
      const made = button(String(trial), () => this.play(trial), { class: "trial", "data-trial": trial, title: run.reasons[reason].name, "aria-current": String(trial === this.motion?.trial) });
      made.style.borderBottomColor = seenOn("#2a313c", run.reasons[reason].color);
      return made;
    }));
    this.number.max = Math.max(run.last_trial, 0);
    if (focused !== undefined) [...document.getElementsByClassName(kind)].find(({ dataset }) => (dataset.reason ?? dataset.trial) === focused)?.focus();
  }
}
