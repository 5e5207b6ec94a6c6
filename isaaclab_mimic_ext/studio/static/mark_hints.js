// Hints of the tab Mark: the next thing to do, and why a key has no effect.

import { NO_CONNECTION } from "/static/connection.js";
import { isStart } from "/static/timeline.js";

// Signals of all hands, each once: hands can share the end of a subtask.
export function uniqueSignals(tracks) {
  const found = new Map();
  for (const { eef, signals } of tracks) {
    for (const { kind, name } of signals) {
      const key = `${kind} ${name}`;
      if (!found.has(key)) found.set(key, { kind, name, eefs: [] });
      found.get(key).eefs.push(eef);
    }
  }
  return [...found.values()];
}

// Why a key of a subtask marks nothing.
export function reasonAgainst(track, index, kind) {
  const subtasks = track?.subtasks ?? [];
  if (index >= subtasks.length) return `This hand has ${subtasks.length} subtasks.`;
  if (kind === "start") return "Starts of skills are not marked in this task.";
  const name = subtasks[index].signal ?? (subtasks[index].text || `Subtask ${index + 1}`);
  return index + 1 === subtasks.length ? `${name} ends with the demo, and needs no mark.` : `${name} has no signal to mark.`;
}

// The next thing to do, and the button that does it: accept, use, next or write.
export function nextThing(tab) {
  const { fault, is_finished: isFinished, output_file: output } = tab.state;
  if (fault) return { text: fault, look: "bad" };
  const name = output.split(/[\\/]/).pop();
  if (tab.isWriting) {
    const { state, figure = "" } = tab.studio.tabs.get("path")?.steps.find((step) => step.name === "mark") ?? {};
    return { text: `${name} is being written: the demos are replayed with your marks${state === "running" && figure ? ` (${figure})` : ""}.` };
  }
  if (tab.studio.hasControl && tab.isAllLeftOut) return { text: "All demos are left out. Use at least one (L), to write the annotated file.", look: "bad", button: "use" };
  if (tab.isLoading) return { text: `The demo is being loaded.${tab.accepting.has(tab.name) ? " Then its suggestions are accepted." : ""}` };
  if (!tab.demo) return { text: "" };
  if (!tab.studio.connection.isOpen) return { text: NO_CONNECTION, look: "bad" };
  if (!tab.studio.hasControl) return { text: `You are watching. ${tab.studio.takeText} to mark.` };
  const toDo = tab.marks.of(tab.name).leave_out ? null : nextOfDemo(tab);
  if (toDo) return toDo;
  const rest = tab.usable.filter(({ name }) => !tab.isMarked(name) && !tab.marks.of(name).leave_out).length;
  if (rest) return { text: `${tab.name} is ${tab.marks.of(tab.name).leave_out ? "left out" : "marked"}. ${rest} of ${tab.usable.length} demos ${rest === 1 ? "has" : "have"} no marks; without marks, annotation uses the task's suggestions.`, button: "next" };
  if (!isFinished) return { text: `All demos are marked. End the recording${tab.hasRecord ? " on the tab Record" : ""}, then write the annotated file.` };
  const next = tab.studio.tabs.get("path")?.next();
  const place = tab.studio.hasPath ? (next ? `${next.text}, in the path at the top.` : "") : "The panel shows the next command.";
  return tab.isAnnotated ? { text: `${name} is written. ${place}`.trim() } : { text: `All demos are marked: write ${name}.`, button: "write" };
}

// The next thing to do for the present demo; null if it is complete.
function nextOfDemo(tab) {
  const { replay, verdict } = tab.demo;
  if (replay === "running") {
    return { text: tab.accepting.has(tab.name) ? "The demo is being replayed. Then its suggestions are accepted." : "The demo is being replayed, for suggestions. You can mark already." };
  }
  if (replay === "failed" && tab.state.can_write) return { text: "This demo cannot be replayed, and therefore not annotated: see the check. Leave it out (L).", look: "bad" };
  const missing = tab.signals.find((signal) => tab.stepOf(signal) === null);
  if (missing) {
    const text = `Go to the step at which ${missing.name} ${isStart(missing) ? "starts" : "ends"}, and ${keyOf(tab, missing)}.`;
    return { text, button: tab.suggestion(missing) === null ? "" : "accept" };
  }
  if (verdict && !verdict.is_good) return { text: "The check states what is wrong. Move a mark, or leave out the demo (L)." };
  if (tab.isMarked(tab.name)) return null;
  return { text: "Dashed lines are the task's suggestions. Accept them (A), or mark other steps.", button: "accept" };
}

// A page that is touched names no keys.
export const withoutKeys = (text) => (matchMedia("(pointer: coarse)").matches ? text.replace(/ \([A-Z][a-z]*\)/g, "") : text);

// Keys that mark a signal.
function keyOf({ tracks, track }, { kind, name, eefs }) {
  const shown = tracks[track];
  const owner = eefs.includes(shown.eef) ? shown : tracks.find(({ eef }) => eef === eefs[0]);
  if (matchMedia("(pointer: coarse)").matches) return `touch ${name}${owner === shown ? "" : ` of the hand ${owner.eef}`}`;
  const key = `press ${kind === "start" ? "Shift " : ""}${owner.subtasks.findIndex(({ signal }) => signal === name) + 1}`;
  return owner === shown ? key : `choose the hand ${owner.eef} (↑ ↓) and ${key}`;
}
