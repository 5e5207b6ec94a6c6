// Charts of a run, drawn from numbers: success with its interval, failures by reason, and success by place.

import { button, element, rows, seenOn } from "/static/elements.js";

const SVG = "http://www.w3.org/2000/svg";

function node(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}

const [RAISED, INK, EDGE] = ["#2a313c", "#eef1f5", "#12161c"];

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const number = (value) => Math.round(value).toLocaleString("en");

export function duration(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}

// Success: figures, and a bar with the interval.
export function successFigures(state) {
  const { trials, successes, interval, target } = state;
  const share = trials ? successes / trials : 0;
  const wanted = (unit) => (target && unit === state.target_unit ? ` of ${number(target)}` : "");
  const pairs = [["success", trials ? percent(share) : "no trial has ended"], ["demos", number(successes) + wanted("demos")], ["trials", number(trials) + wanted("trials")]];
  if (trials) pairs.splice(1, 0, ["95 % interval", `${(100 * interval[0]).toFixed(1)} to ${percent(interval[1])}`]);
  if (state.elapsed_s) pairs.push(["time", duration(state.elapsed_s)]);
  if (state.remaining_s !== null) pairs.push(["remaining", `about ${duration(state.remaining_s)}`]);
  const isRunning = state.state === "in progress";
  // The trials that run count for the remaining time, but not for the rate.
  if (state.demos_per_hour) pairs.push(["mean rate", `${number(state.demos_per_hour)} demos/h${isRunning ? " of ended trials" : ""}`]);
  const bar = node("svg", { viewBox: "0 0 100 8", role: "img", class: "rate", "aria-label": `Success ${percent(share)}` });
  bar.append(node("rect", { x: 0, y: 1, width: 100, height: 6, fill: RAISED }), node("rect", { x: 0, y: 1, width: 100 * share, height: 6, fill: seenOn(RAISED, "#4a90be") }));
  if (trials) {
    const [low, high] = interval.map((value) => 100 * value);
    bar.append(node("path", { d: `M ${low} 4 H ${high} M ${low} 2 V 6 M ${high} 2 V 6`, stroke: EDGE, "stroke-width": 2, fill: "none" }));
    bar.append(node("path", { d: `M ${low} 4 H ${high} M ${low} 2 V 6 M ${high} 2 V 6`, stroke: INK, "stroke-width": 0.8, fill: "none" }));
  }
  return [bar, rows(pairs)];
}

// Failures by reason: a button per reason, which shows only its trials.
export function reasonBars({ reasons, trials }, chosen, choose) {
  if (!reasons.length) return [element("p", { class: "soft", text: trials ? "No trial has failed." : "No trial has ended." })];
  const most = Math.max(...reasons.map(({ count }) => count));
  return reasons.map(({ name, count, color }, index) => {
    const bar = node("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", class: "bar", "aria-hidden": "true" });
    bar.append(node("rect", { x: 0, y: 0, width: (100 * count) / most, height: 6, fill: seenOn(RAISED, color) }));
    const made = button(`${count} · ${name}`, () => choose(index), { class: "reason", "aria-pressed": String(chosen === index), "data-reason": index });
    made.append(bar);
    return made;
  });
}

// Success by the initial place of an object, seen from above: x is up, y is to the left, as seen from the robot. Dots are
// failed trials; the trial that is played (null without one) has a ring.
export function placeMap({ places, reasons }, index, failed, played, play) {
  const { object, edges: [xs, ys], cells, few } = places[index];
  const [width, height] = [ys.at(-1) - ys[0], xs.at(-1) - xs[0]];
  const size = [100, Math.min(100, Math.max(45, (100 * height) / width))];
  const at = (x, y) => [(size[0] * (ys.at(-1) - y)) / width, (size[1] * (xs.at(-1) - x)) / height];
  const map = node("svg", { viewBox: `-5 -5 ${size[0] + 10} ${size[1] + 10}`, role: "img", class: "places", "aria-label": `Success by the initial place of ${object}` });
  cells.forEach((row, i) => row.forEach(({ trials, successes, color, ink }, j) => {
    const [[left, top], [right, bottom]] = [at(xs[i + 1], ys[j + 1]), at(xs[i], ys[j])];
    const cell = node("rect", { x: left, y: top, width: right - left, height: bottom - top, fill: color, stroke: "#fff", "stroke-width": 0.4 });
    cell.append(node("title", {}, trials ? `${successes} of ${trials} succeeded` : "no trial"));
    map.append(cell);
    if (trials) map.append(node("text", { x: left + 1.5, y: top + 5.5, fill: ink, "font-size": 5 }, String(Math.round((100 * successes) / trials))));
  }));
  for (const { trial, reason, places: starts } of failed) {
    const [cx, cy] = at(...starts[index]);
    const dot = node("circle", { cx, cy, r: 1.9, fill: reasons[reason].color, stroke: EDGE, "stroke-width": 0.8, "data-trial": trial });
    dot.append(node("title", {}, `trial ${trial}: ${reasons[reason].name}; click to play`));
    dot.addEventListener("click", () => play(trial));
    map.append(dot);
  }
  if (played?.places) {
    const [cx, cy] = at(...played.places[index]);
    const ring = (r, stroke, width) => node("circle", { cx, cy, r, fill: "none", stroke, "stroke-width": width, "pointer-events": "none" });
    const text = node("title", {}, `trial ${played.trial}, which is played`);
    const mark = node("g", { class: "played", "data-played": played.trial });
    mark.append(text, ring(4, EDGE, 3.4), ring(4, "#ffd166", 1.7));
    map.append(mark);
  }
  const caption = `Success [%] by the place of ${object} at the start, from above, with the robot at the bottom: x ${xs[0]} to ${xs.at(-1)} m, y ${ys[0]} to ${ys.at(-1)} m. Pale cells: fewer than ${few} trials. Dots: failed trials.${played?.places ? ` Ring: trial ${played.trial}, which is played.` : ""}`;
  return element("figure", {}, map, element("figcaption", { text: caption }));
}
