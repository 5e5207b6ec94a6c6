// Elements of the page. Texts of files and tasks only become text nodes, never HTML.

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") made.textContent = value;
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Whether a click was made by mouse, pen or finger, and not by a key.
export const isByPointer = ({ detail, pointerType }) => detail > 0 || Boolean(pointerType);

export function button(text, action, attributes = {}) {
  const made = element("button", { type: "button", ...attributes });
  label(made, text);
  made.addEventListener("click", (event) => {
    if (isByPointer(event)) made.blur(); // The action may make a list of buttons again, which keeps its focus.
    action(event);
    made.blur(); // Space is the gripper, not the last button.
  });
  return made;
}

// Label a button. A page that is touched does not show the key, such as "(P)" in "Pause (P)".
export function label(target, text) {
  if (target.textContent === text) return;
  const [, name, key] = text.match(/^(.*?)( \([\w↑↓ ]+\))?$/);
  target.replaceChildren(name, ...(key ? [element("span", { class: "key", text: key })] : []));
}

// Show a text with a state: good, bad, warn or empty.
export function show(target, text, state = "") {
  if (target.textContent !== text) target.textContent = text;
  if (target.dataset.state !== state) target.dataset.state = state;
}

export const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

// Time of a step [s].
export const timeText = (step, stepDt) => `${(step * stepDt).toFixed(1)} s`;

// A step, or the steps from the first to the last one, with the time at which they begin.
export const stepsText = (first, last, stepDt) => `${timeText(first, stepDt)} (${last == null || last === first ? `step ${first}` : `steps ${first} to ${last}`})`;

export function rows(pairs) {
  const list = element("dl");
  for (const [name, value] of pairs) list.append(element("dt", {}, name), element("dd", {}, value));
  return list;
}

export function section(title, ...children) {
  return element("section", { "aria-label": title }, element("h2", { text: title }), ...children);
}

const LEAST_CONTRAST = 3; // of graphics with their ground (WCAG 2.1, 1.4.11)

const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
const light = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
const fromHex = (text) => [1, 3, 5].map((index) => parseInt(text.slice(index, index + 2), 16) / 255);

// A color (#rrggbb, or sRGB from 0 to 1), as much lighter as it must be to be seen on a dark ground (#rrggbb).
export function seenOn(ground, color) {
  const [below, asked] = [light(fromHex(ground)), typeof color === "string" ? fromHex(color) : color];
  const mixed = (white) => asked.map((value) => Math.round(255 * (value + white * (1 - value))));
  const isSeen = (white) => light(mixed(white).map((value) => value / 255)) + 0.05 >= LEAST_CONTRAST * (below + 0.05);
  const white = Array.from({ length: 21 }, (_, index) => index / 20).find(isSeen) ?? 1;
  return `rgb(${mixed(white).join(" ")})`;
}
