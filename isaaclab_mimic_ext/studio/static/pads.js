// Touch pads: one moves the hand over the table, one lifts and turns it, and buttons that are needed while a pad is held.
// On a page that is touched, they replace those in the panel.

import { button, element, label } from "/static/elements.js";

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

// `nextHand` switches to the next hand; the button is shown if there are several.
export function makePads(input, actions, nextHand) {
  const grip = button("Grip", actions.grip, { id: "pad_grip" });
  const slow = button("Slow", () => {
    input.slow = !input.slow;
    slow.setAttribute("aria-pressed", String(input.slow));
  }, { id: "pad_slow", "aria-pressed": "false" });
  const pause = button("Pause", actions.pause, { id: "pad_pause" });
  const hand = button("", () => nextHand(), { id: "pad_hand", hidden: input.grip.length < 2 });
  const lift = (x, y) => (Math.abs(y) > Math.abs(x) ? { z: y, turn: 0 } : { z: 0, turn: -x });
  const root = element("div", { id: "pads", class: "card" },
    pad(input, "pad_move", "move", (x, y) => ({ v: [x, y, input.pads.v[2]] })),
    element("div", { id: "pad_buttons" }, grip, slow, pause, hand),
    pad(input, "pad_lift", "lift · turn", (x, y) => ({ v: [input.pads.v[0], input.pads.v[1], lift(x, y).z], w: [0, 0, lift(x, y).turn] })));
  const update = (isOpen, isPaused, handName) => {
    label(hand, handName);
    label(grip, isOpen ? "Close" : "Open");
    label(pause, isPaused ? "Continue" : "Pause");
  };
  return { root, update };
}
