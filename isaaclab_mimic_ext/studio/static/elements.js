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

export function button(text, action, attributes = {}) {
  const made = element("button", { type: "button", ...attributes });
  label(made, text);
  made.addEventListener("click", (event) => {
    action(event);
    made.blur(); // Space is the gripper, not the last button.
  });
  return made;
}

// Label a button. A page that is touched does not show the key, such as "(P)" in "Pause (P)".
export function label(target, text) {
  if (target.textContent === text) return;
  const [, name, key] = text.match(/^(.*?)( \([\w↑↓]+\))?$/);
  target.replaceChildren(name, ...(key ? [element("span", { class: "key", text: key })] : []));
}

// Show a text with a state: good, bad, warn or empty.
export function show(target, text, state = "") {
  if (target.textContent !== text) target.textContent = text;
  if (target.dataset.state !== state) target.dataset.state = state;
}

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
