// Timeline of a demo: for each end effector its segments with edges to drag, its speed, its gripper, and suggestions.

import { element } from "/static/elements.js";

const SVG = "http://www.w3.org/2000/svg";
const SNAP_PX = 7;
const LEVELS = ["error", "warning", "note"];

const NUM_COLORS = 6;

// Color of each subtask, by its signal: the same in all tracks that share it, and different within a track.
export function colorsOf(tracks) {
  const [colors, names] = [new Map(), (track) => track.subtasks.map((subtask, index) => nameOf(track, subtask, index))];
  for (const track of tracks) {
    for (const name of names(track).filter((each) => !colors.has(each))) {
      const related = tracks.map(names).filter((each) => each.includes(name)).flat();
      const used = new Set(related.map((each) => colors.get(each)));
      const free = [...Array(NUM_COLORS).keys()].find((color) => !used.has(color));
      colors.set(name, free ?? colors.size % NUM_COLORS);
    }
  }
  return colors;
}

const nameOf = ({ eef }, { signal }, index) => signal ?? `${eef} ${index}`;

export const isStart = ({ kind }) => kind === "start";

// Segments of a track: [first, last + 1, index of the subtask]. Boundaries that are unknown end the list.
export function segments(track, steps, numSteps) {
  const found = [];
  let begin = 0;
  for (const [index, { signal }] of track.subtasks.entries()) {
    const isLast = index + 1 === track.subtasks.length;
    const start = steps({ kind: "start", name: signal });
    const end = isLast ? numSteps : steps({ kind: "term", name: signal });
    if (start !== null && start > begin) found.push([begin, start, -1]);
    const first = start ?? begin;
    if (end === null) {
      found.push([first, numSteps, null]);
      return found;
    }
    const next = isLast ? numSteps : end + 1;
    if (next > first) found.push([first, next, index]);
    begin = next;
  }
  return found;
}

export class Timeline {
  // `seek(frame)`, `preview(frame)`, `mark(signal, step)`; `select(track)`.
  constructor(actions) {
    this.actions = actions;
    this.head = element("div", { class: "playhead" });
    this.rows = element("div", { class: "tracks" });
    this.root = element("div", { id: "timeline" }, this.rows, this.head);
    this.frames = 1;
    this.rows.addEventListener("pointerdown", (event) => this.scrub(event));
  }

  // Left edge of a frame, in percent of the width.
  percent(frame) {
    return `${(100 * frame) / this.frames}%`;
  }

  frameAt(event) {
    const box = this.rows.getBoundingClientRect();
    return Math.max(0, Math.min(this.frames, Math.round(((event.clientX - box.left) / box.width) * this.frames)));
  }

  scrub(event) {
    if (event.target.closest(".edge") || event.button) return;
    event.preventDefault();
    this.rows.setPointerCapture(event.pointerId);
    const seek = (each) => this.actions.seek(this.frameAt(each));
    const end = () => {
      this.rows.removeEventListener("pointermove", seek);
      this.rows.removeEventListener("pointerup", end);
    };
    this.rows.addEventListener("pointermove", seek);
    this.rows.addEventListener("pointerup", end);
    seek(event);
  }

  setFrame(frame) {
    this.head.style.left = this.percent(frame);
  }

  // Draw everything. `view`: {tracks, selected, colors, demo, markOf, stepOf, canMark}.
  draw(view) {
    this.view = view;
    const focused = document.activeElement?.dataset?.edge;
    this.frames = Math.max(1, view.demo.num_steps);
    this.rows.replaceChildren(...view.tracks.map((track, index) => this.track(track, index)));
    for (const each of this.rows.querySelectorAll(".segment")) if (each.scrollWidth > each.clientWidth) each.textContent = each.dataset.number;
    if (focused) this.rows.querySelector(`[data-edge="${CSS.escape(focused)}"]`)?.focus();
  }

  track(track, index) {
    const { demo, tracks, selected } = this.view;
    const row = element("div", { class: "track", "data-track": index, "data-selected": String(index === selected && tracks.length > 1) });
    row.addEventListener("pointerdown", () => this.actions.select(index));
    if (tracks.length > 1) row.append(element("span", { class: "track_name", text: track.eef }));
    row.append(this.bar(track), this.speed(demo.speeds[track.eef] ?? []), this.gripper(demo.gripper[track.eef] ?? []));
    row.append(...this.findings(track.eef, index), ...this.suggestions(track), ...this.edges(track));
    return row;
  }

  bar(track) {
    const parts = segments(track, this.view.stepOf, this.frames).map(([first, end, index]) => {
      const subtask = track.subtasks[index];
      const name = index === null ? "not marked" : index < 0 ? "transit" : subtask.signal ?? subtask.text ?? `subtask ${index + 1}`;
      const part = element("div", { class: "segment", text: name, title: `${subtask?.text || name}: steps ${first} to ${end - 1}` });
      part.dataset.number = index === null || index < 0 ? "" : index + 1; // in place of a name that does not fit
      part.dataset.color = index === null || index < 0 ? "none" : this.view.colors.get(nameOf(track, subtask, index));
      part.style.left = this.percent(first);
      part.style.width = this.percent(end - first);
      return part;
    });
    return element("div", { class: "bar" }, ...parts);
  }

  speed(values) {
    const picture = document.createElementNS(SVG, "svg");
    picture.setAttribute("class", "speed");
    picture.setAttribute("viewBox", `0 0 ${this.frames} 1`);
    picture.setAttribute("preserveAspectRatio", "none");
    const largest = Math.max(0.05, ...values);
    const points = values.map((value, index) => `${index + 0.5},${(1 - (0.96 * value) / largest).toFixed(4)}`);
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("points", points.join(" "));
    picture.append(line);
    return picture;
  }

  gripper(spans) {
    return element("div", { class: "gripper" }, ...spans.map(([first, end]) => {
      const part = element("div", { title: `gripper closed: steps ${first} to ${end - 1}` });
      part.style.left = this.percent(first);
      part.style.width = this.percent(end - first);
      return part;
    }));
  }

  findings(eef, index) {
    const found = (this.view.demo.findings ?? []).filter((each) => each.frame !== null && (each.eef === eef || (!each.eef && !index)));
    return found.sort((a, b) => LEVELS.indexOf(b.level) - LEVELS.indexOf(a.level)).map(({ level, frame, found: text }) => {
      const mark = element("div", { class: "finding", "data-level": level, title: `${level}, step ${frame}: ${text}` });
      mark.style.left = this.percent(frame);
      return mark;
    });
  }

  suggestions(track) {
    return track.signals.flatMap((signal) => {
      const step = this.suggestion(signal);
      if (step === null || step === this.view.markOf(signal)) return [];
      const line = element("div", { class: "suggestion", title: `suggestion of the task: ${signal.name} ${isStart(signal) ? "starts" : "ends"} at step ${step}` });
      line.dataset.color = this.view.colors.get(signal.name);
      line.style.left = this.percent(step);
      return [line];
    });
  }

  suggestion({ kind, name }) {
    return this.view.demo.suggestions[kind][name] ?? null;
  }

  // Edges of marks: dragged with the pointer, or moved with the arrow keys.
  edges(track) {
    return track.signals.flatMap((signal) => {
      const step = this.view.markOf(signal);
      if (step === null) return [];
      const name = `${signal.name} ${isStart(signal) ? "starts" : "ends"}`;
      const edge = element("div", {
        class: "edge", role: "slider", tabindex: this.view.canMark ? 0 : -1, title: `${name} at step ${step}: drag`, "aria-label": name,
        "aria-valuemin": 0, "aria-valuemax": this.frames - 1, "aria-valuenow": step, "data-edge": `${signal.kind} ${signal.name}`,
        "data-kind": signal.kind,
      });
      edge.dataset.color = this.view.colors.get(signal.name);
      edge.style.left = this.percent(step);
      edge.addEventListener("pointerdown", (event) => this.drag(event, edge, signal, step));
      edge.addEventListener("keydown", (event) => this.nudge(event, signal, step));
      return [edge];
    });
  }

  nudge(event, signal, step) {
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!direction || !this.view.canMark) return;
    event.preventDefault();
    event.stopPropagation();
    const to = Math.max(0, Math.min(this.frames - 1, step + direction * (event.shiftKey ? 10 : 1)));
    this.actions.preview(to);
    this.actions.mark(signal, to);
  }

  // An edge snaps to the suggestion of its signal, unless Alt is held.
  snapped(event, signal) {
    const [frame, suggestion] = [this.frameAt(event), this.suggestion(signal)];
    const width = this.rows.getBoundingClientRect().width / this.frames;
    const isNear = suggestion !== null && Math.abs(frame - suggestion) * width <= SNAP_PX;
    return isNear && !event.altKey ? suggestion : Math.min(frame, this.frames - 1);
  }

  drag(event, edge, signal, step) {
    if (!this.view.canMark || event.button) return;
    event.preventDefault();
    edge.focus();
    edge.setPointerCapture(event.pointerId);
    let at = step;
    const move = (each) => {
      at = this.snapped(each, signal);
      edge.style.left = this.percent(at);
      this.actions.preview(at);
    };
    const end = async (isKept) => {
      edge.removeEventListener("pointermove", move);
      if (at === step) return;
      const isSet = isKept && (await this.actions.mark(signal, at));
      if (!isSet) edge.style.left = this.percent(step);
    };
    edge.addEventListener("pointermove", move);
    edge.addEventListener("pointerup", () => end(true), { once: true });
    edge.addEventListener("pointercancel", () => end(false), { once: true });
  }
}
