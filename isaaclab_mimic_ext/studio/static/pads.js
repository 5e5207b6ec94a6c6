// Touch pads: one moves the hand over the table, one lifts and turns it, and buttons for the rest.

import { button, element } from "/static/elements.js";

const REACH = 44; // distance from the middle of a pad to full command [px]

// `command` maps the offset from the middle, x to the right and y up in [-1, 1], to values of the input.
function pad(input, id, label, command) {
  const knob = element("span", { class: "knob" });
  const root = element("div", { class: "pad", id, role: "application", "aria-label": label }, element("span", { class: "pad_label", text: label }), knob);
  const set = (x, y) => {
    knob.style.transform = `translate(${REACH * x}px, ${-REACH * y}px)`;
    input.setPad(command(x, y));
  };
  const follow = (event) => {
    const box = root.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.x - box.width / 2) / REACH, -(event.clientY - box.y - box.height / 2) / REACH];
    const length = Math.max(1, Math.hypot(x, y));
    set(x / length, y / length);
  };
  root.addEventListener("pointerdown", (event) => {
    root.setPointerCapture(event.pointerId);
    event.preventDefault();
    follow(event);
  });
  root.addEventListener("pointermove", (event) => root.hasPointerCapture(event.pointerId) && follow(event));
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) root.addEventListener(kind, () => set(0, 0));
  return root;
}

export function makePads(input, actions) {
  const buttons = element("div", { id: "pad_buttons" }, button("Grip", actions.grip), button("Back 2 s", actions.rewind),
    button("Pause", actions.pause));
  return element("div", { id: "pads", class: "card" },
    pad(input, "pad_move", "move", (x, y) => ({ v: [x, y, input.pads.v[2]] })),
    buttons,
    pad(input, "pad_lift", "lift · turn", (x, y) => ({ v: [input.pads.v[0], input.pads.v[1], Math.abs(y) > Math.abs(x) ? y : 0], w: [0, 0, Math.abs(x) > Math.abs(y) ? -x : 0] })));
}
