// Checks of a page, evaluated in the browser by tests/integration/test_studio_browser.py.

// Contrast of each visible text with what is behind it, smallest first: [contrast, text].
function contrasts() {
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
  const over = (top, below) => Object.fromEntries(["r", "g", "b"].map((c) => [c, top.a * top[c] + (1 - top.a) * below[c]]));
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const light = ({ r, g, b }) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const fade = (color, opacity) => ({ ...color, a: color.a * opacity });
  const ground = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(parse(getComputedStyle(each).backgroundColor));
    // The brightest thing that may be drawn below a card over the scene is white.
    return layers.reverse().reduce((below, layer) => over(layer, below), { r: 255, g: 255, b: 255 });
  };
  // Ground of a text of a chart: with the shapes that are drawn before it, below its middle.
  const painted = (element) => {
    const [box, chart] = [element.getBoundingClientRect(), element.closest("svg")];
    const middle = new DOMPoint(box.x + box.width / 2, box.y + box.height / 2);
    const shapes = [...chart.querySelectorAll("path, rect, circle")].filter((shape) => {
      const isBefore = shape.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING;
      return isBefore && !shape.closest("defs") && getComputedStyle(shape).fill !== "none" && shape.isPointInFill(middle.matrixTransform(shape.getScreenCTM().inverse()));
    });
    return shapes.reduce((below, shape) => {
      const { fill, fillOpacity, opacity } = getComputedStyle(shape);
      return over(fade(parse(fill), fillOpacity * opacity), below);
    }, ground(chart));
  };
  const shares = (element) => { let share = 1; for (let each = element; each; each = each.parentElement) share *= getComputedStyle(each).opacity; return share; };
  const found = [];
  for (const element of document.querySelectorAll("body *:not(title)")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.textContent.trim()).join("");
    if (!text || !element.checkVisibility()) continue;
    const isDrawn = element instanceof SVGElement;
    const below = isDrawn ? painted(element) : ground(element);
    const color = fade(parse(getComputedStyle(element)[isDrawn ? "fill" : "color"]), shares(element));
    const [high, low] = [light(over(color, below)), light(below)].sort((a, b) => b - a);
    found.push([Math.round((100 * (high + 0.05)) / (low + 0.05)) / 100, text.slice(0, 40)]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}

// Size of the smallest text of the charts [px of the screen], with its text.
function smallestDrawn() {
  const found = [...document.querySelectorAll("svg text")].filter((each) => each.checkVisibility()).map((each) => {
    const { a, b } = each.getScreenCTM();
    return [Math.round(10 * parseFloat(getComputedStyle(each).fontSize) * Math.hypot(a, b)) / 10, each.textContent];
  });
  return found.sort((a, b) => a[0] - b[0])[0];
}

// Pairs of visible controls and texts that overlap, and those that are cut off at the side.
function overlaps() {
  const chosen = "#overlay .chip, #overlay button, #overlay input, #pads .pad, #pads button, header > *";
  const shown = [...document.querySelectorAll(chosen)].filter((each) => each.checkVisibility() && each.clientWidth + each.offsetWidth);
  const boxes = shown.map((each) => [each, each.getBoundingClientRect()]);
  const name = (each) => each.id || each.textContent;
  const found = boxes.filter(([, box]) => box.left < -1 || box.right > innerWidth + 1).map(([each]) => `${name(each)} is cut off`);
  boxes.forEach(([a, p], index) => boxes.slice(index + 1).forEach(([b, q]) => {
    const isApart = p.right <= q.left + 1 || q.right <= p.left + 1 || p.bottom <= q.top + 1 || q.bottom <= p.top + 1;
    if (!isApart && !a.contains(b) && !b.contains(a)) found.push(`${name(a)} and ${name(b)}`);
  }));
  return found;
}

// Contrast of each visible graphic that carries a meaning with its ground, smallest first: [contrast, name].
function graphicContrasts() {
  const numbers = (text) => text.match(/[\d.]+/g).map(Number);
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (element) => {
    for (let each = element.parentElement; each; each = each.parentElement) {
      const color = numbers(getComputedStyle(each).backgroundColor);
      if ((color[3] ?? 1) === 1) return color;
    }
    return [255, 255, 255];
  };
  const kinds = [
    [".reason .bar rect", "fill"], [".rate rect:nth-child(2)", "fill"], [".trial", "borderBottomColor"], [".swatch", "backgroundColor"],
    ["#starts circle", "stroke"], [".outcome", "color"], [".segment", "backgroundColor"], [".dot", "borderTopColor"], [".finding_key", "borderTopColor"],
    ["button, input:not([type=range]):not([type=checkbox]), select", "borderTopColor"],
  ];
  const found = kinds.flatMap(([chosen, property]) => [...document.querySelectorAll(chosen)].filter((each) => each.checkVisibility() && !each.disabled).map((each) => {
    const color = numbers(getComputedStyle(each)[property]);
    if (color[3] === 0) return null; // no border
    const [high, low] = [light(color), light(ground(each))].sort((a, b) => b - a);
    return [Math.round((100 * (high + 0.05)) / (low + 0.05)) / 100, `${chosen} ${each.id || each.textContent.slice(0, 20)}`];
  }).filter(Boolean));
  return found.sort((a, b) => a[0] - b[0]);
}
