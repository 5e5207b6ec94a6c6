// Where the objects stood at the start of each kept demo, seen from above, and how far these places are apart.

import { element, seenOn } from "/static/elements.js";

const SVG = "http://www.w3.org/2000/svg";
const SIZE = 100;
const GROUND = "#191e26"; // the lighter one of the grounds of the map and of its legend

function node(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}

function colorOf(name, { objects, shapes }) {
  const body = objects.find((each) => each.name === name)?.body;
  const [red, green, blue] = shapes.find((shape) => shape.body === body)?.color ?? [0.7, 0.7, 0.7];
  return seenOn(GROUND, [red, green, blue].map(Math.sqrt));
}

export function startsMap(demos, start, description) {
  const figure = document.createElement("figure");
  const all = [...demos.map((demo) => demo.start), start];
  const points = all.flatMap((each) => Object.values(each));
  if (!points.length) return figure;
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const middle = [(Math.min(...xs) + Math.max(...xs)) / 2, (Math.min(...ys) + Math.max(...ys)) / 2];
  const scale = (SIZE - 16) / Math.max(0.3, Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
  const picture = node("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img", "aria-label": "Places of the objects at the start" });
  // The robot is at the bottom, as seen from its base: x is up, y is to the left.
  const place = ([x, y]) => [SIZE / 2 - scale * (y - middle[1]), SIZE / 2 - scale * (x - middle[0])];
  const dot = (name, at, isCurrent) => {
    const [cx, cy] = place(at);
    const circle = node("circle", { cx, cy, r: isCurrent ? 4 : 2.5, fill: isCurrent ? "none" : colorOf(name, description), stroke: colorOf(name, description), "stroke-width": 1.5 });
    circle.append(node("title", {}, name));
    picture.append(circle);
  };
  for (const { start: places } of demos) for (const [name, at] of Object.entries(places)) dot(name, at, false);
  for (const [name, at] of Object.entries(start)) dot(name, at, true);
  const names = [...new Set(all.flatMap((each) => Object.keys(each)))];
  const caption = element("figcaption", {}, "From above, with the robot at the bottom. Dots: start positions in kept demos; rings: in this scene. Lengths: the range of an object's start positions, sideways × forward. A wide range makes demos fit more scenes.");
  const legend = element("ul", { class: "legend", "aria-label": "Colors of the objects" }, ...names.map((name) => entry(name, spreadOf(name, demos), description)));
  figure.append(picture, legend, caption);
  return figure;
}

// Color and name of an object, and the size of the area in which it has stood.
function entry(name, spread, description) {
  const swatch = element("span", { class: "swatch" });
  swatch.style.backgroundColor = colorOf(name, description);
  return element("li", {}, swatch, spread ? `${name}: ${spread}` : name);
}

function spreadOf(name, demos) {
  const places = demos.map((demo) => demo.start[name]).filter(Boolean);
  if (places.length < 2) return "";
  const size = [0, 1].map((axis) => {
    const values = places.map((at) => at[axis]);
    return Math.round(100 * (Math.max(...values) - Math.min(...values)));
  });
  return `within ${size[1]} × ${size[0]} cm`;
}
