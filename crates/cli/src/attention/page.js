"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
for (const map of data.maps) {
  const bytes = Uint8Array.from(atob(map.weights), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  map.weights = Float32Array.from({ length: bytes.length / 4 }, (_, at) => view.getFloat32(4 * at, true));
}
const find = (id) => document.getElementById(id);
const [figure, heads, status] = [find("figure"), find("heads"), find("status")];
const selects = { layer: find("layer"), head: find("head"), token: find("token") };
const kinds = [...new Set(data.maps.map((map) => map.kind))];
const state = { kind: data.kind, layer: data.layer, head: data.head, token: data.token, key: -1, lines: data.lines };
const FONT = "13px system-ui, sans-serif";
const SUM = 62; // the width of the sums beside a heat map

const layers = () => data.maps.filter((map) => map.kind === state.kind);
const current = () => layers()[state.layer];
const weight = (map, head, query, key) => map.weights[(head * map.queries.length + query) * map.keys.length + key];
const row = (map, head, query) => map.keys.map((_, key) => weight(map, head, query, key));
const sum = (numbers) => numbers.reduce((sum, number) => sum + number, 0);
const clamp = (number, count) => Math.max(0, Math.min(count - 1, number));
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const ink = (alpha) => `rgb(${color("--ink")} / ${Math.min(1, alpha)})`;

// Sets the size of a canvas in CSS pixels, and returns its context.
function canvas(element, width, height) {
  const scale = window.devicePixelRatio || 1;
  element.width = Math.ceil(width * scale);
  element.height = Math.ceil(height * scale);
  element.style.width = `${width}px`;
  element.style.height = `${height}px`;
  const context = element.getContext("2d");
  context.scale(scale, scale);
  context.font = FONT;
  context.textBaseline = "middle";
  return context;
}

function cut(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let letters = [...text];
  while (letters.length > 1 && context.measureText(`${letters.join("")}…`).width > width) letters.pop();
  return `${letters.join("")}…`;
}

function widest(texts, most) {
  const context = figure.getContext("2d");
  context.font = FONT;
  return Math.min(most, Math.ceil(Math.max(...texts.map((text) => context.measureText(text).width)))) + 8;
}

const room = () => Math.max(280, document.body.clientWidth - 40);

// The places in the figure, which clicks are compared with.
let place = null;

function drawMap(map) {
  const left = widest(map.queries, 100), top = widest(map.keys, 100);
  const cell = Math.max(13, Math.min(30, Math.floor((room() - left - SUM) / map.keys.length)));
  const [width, height] = [left + cell * map.keys.length, top + cell * map.queries.length];
  place = { left, top, cell };
  const context = canvas(figure, width + SUM, height + 2);
  context.fillStyle = color("--mark");
  context.fillRect(0, top + cell * state.token, left - 1, cell);
  context.fillRect(width, top + cell * state.token, SUM, cell);
  context.fillStyle = color("--text");
  map.queries.forEach((text, query) => {
    const y = top + cell * (query + 0.5);
    context.textAlign = "right";
    context.fillText(cut(context, text, left - 6), left - 4, y);
    context.textAlign = "left";
    context.fillText(sum(row(map, state.head, query)).toFixed(5), width + 6, y);
  });
  map.keys.forEach((text, key) => {
    context.save();
    context.fillStyle = color("--text");
    context.translate(left + cell * (key + 0.5), top - 4);
    context.rotate(-Math.PI / 2);
    context.fillText(cut(context, text, top - 6), 0, 0);
    context.restore();
    for (let query = 0; query < map.queries.length; query++) {
      context.fillStyle = ink(weight(map, state.head, query, key));
      context.fillRect(left + cell * key, top + cell * query, cell - 1, cell - 1);
    }
  });
  context.strokeStyle = color("--line");
  context.strokeRect(left - 0.5, top - 0.5, cell * map.keys.length, cell * map.queries.length);
  if (state.key >= 0) {
    context.strokeStyle = color("--text");
    context.strokeRect(left + cell * state.key - 0.5, top + cell * state.token - 0.5, cell, cell);
  }
}

function drawLines(map) {
  const step = 24, first = widest(map.queries, 120), second = widest(map.keys, 120);
  const gap = Math.max(60, Math.min(260, room() - first - second - 60));
  const right = first + gap;
  place = { step, right };
  const height = step * Math.max(map.queries.length, map.keys.length);
  const context = canvas(figure, right + second + 56, height);
  const middle = (at) => step * (at + 0.5);
  context.fillStyle = color("--mark");
  context.fillRect(0, step * state.token, first, step);
  const weights = row(map, state.head, state.token);
  weights.forEach((weight, key) => {
    context.fillStyle = ink(0.8 * weight);
    context.fillRect(right, step * key + 1, second, step - 2);
    context.strokeStyle = ink(0.1 + 0.9 * weight);
    context.lineWidth = 0.5 + 7 * weight;
    if (weight >= 0.005) {
      context.beginPath();
      context.moveTo(first, middle(state.token));
      context.bezierCurveTo(first + gap / 2, middle(state.token), right - gap / 2, middle(key), right, middle(key));
      context.stroke();
    }
  });
  context.fillStyle = color("--text");
  context.textAlign = "right";
  map.queries.forEach((text, at) => context.fillText(cut(context, text, first - 8), first - 4, middle(at)));
  context.textAlign = "left";
  map.keys.forEach((text, at) => {
    context.fillText(cut(context, text, second - 8), right + 4, middle(at));
    if (weights[at] >= 0.005) context.fillText(weights[at].toFixed(2), right + second + 6, middle(at));
  });
  if (state.key >= 0) {
    context.strokeStyle = color("--text");
    context.lineWidth = 1;
    context.strokeRect(right + 0.5, step * state.key + 1.5, second - 1, step - 3);
  }
}

let square = 0;

function drawHeads() {
  const own = layers();
  const columns = Math.max(...own.map((map) => map.heads));
  square = Math.max(26, Math.min(72, Math.floor(room() / columns)));
  const context = canvas(heads, square * columns, square * own.length);
  own.forEach((map, layer) => {
    const [height, width] = [map.queries.length, map.keys.length];
    const cell = (square - 4) / Math.max(height, width);
    for (let head = 0; head < map.heads; head++) {
      const [x, y] = [square * head + 2, square * layer + 2];
      for (let query = 0; query < height; query++) {
        for (let key = 0; key < width; key++) {
          const found = weight(map, head, query, key);
          if (found < 0.02) continue;
          context.fillStyle = ink(found);
          context.fillRect(x + cell * key, y + cell * query, Math.max(cell, 0.7), Math.max(cell, 0.7));
        }
      }
      const chosen = layer === state.layer && head === state.head;
      context.strokeStyle = chosen ? color("--text") : color("--line");
      context.lineWidth = chosen ? 2 : 1;
      context.strokeRect(x - 0.5, y - 0.5, cell * width + 1, cell * height + 1);
    }
  });
}

function options(select, texts, chosen) {
  if (select.textContent !== texts.join("")) {
    select.replaceChildren(...texts.map((text, at) => new Option(text, at)));
  }
  select.value = chosen;
}

function draw() {
  const own = layers();
  state.layer = clamp(state.layer, own.length);
  const map = current();
  state.head = clamp(state.head, map.heads);
  state.token = clamp(state.token, map.queries.length);
  state.key = Math.min(state.key, map.keys.length - 1);
  options(selects.layer, own.map((map) => map.title.replace("layer ", "")), state.layer);
  options(selects.head, Array.from({ length: map.heads }, (_, head) => (map.heads > 1 ? `${head}` : "all")), state.head);
  options(selects.token, map.queries.map((text, at) => `${at} ${text}`), state.token);
  for (const button of document.querySelectorAll("button")) {
    const chosen = button.dataset.kind ? button.dataset.kind === state.kind : (button.dataset.view === "lines") === state.lines;
    button.setAttribute("aria-pressed", chosen);
  }
  if (state.lines) drawLines(map);
  else drawMap(map);
  drawHeads();
  const weights = row(map, state.head, state.token);
  const order = weights.map((_, key) => key).sort((a, b) => weights[b] - weights[a] || a - b);
  const shown = state.key >= 0 ? [state.key] : order.slice(0, 3);
  const list = shown.map((key) => `“${map.keys[key]}” ${weights[key].toFixed(3)}`).join(", ");
  const head = map.heads > 1 ? `, head ${state.head}` : "";
  status.textContent = `${map.title}${head}: “${map.queries[state.token]}” attends to ${list}. The row sums to ${sum(weights).toFixed(6)}.`;
}

function change(values) {
  Object.assign(state, values);
  draw();
}

for (const name of Object.keys(selects)) {
  selects[name].addEventListener("change", () => change({ [name]: Number(selects[name].value), key: -1 }));
}
for (const button of document.querySelectorAll("button")) {
  button.addEventListener("click", () => {
    if (button.dataset.kind) change({ kind: button.dataset.kind, layer: 0, token: 0, key: -1 });
    else change({ lines: button.dataset.view === "lines", key: -1 });
  });
}
figure.addEventListener("click", ({ offsetX: x, offsetY: y }) => {
  const map = current();
  if (state.lines) {
    const at = Math.floor(y / place.step);
    if (x < place.right) change({ token: at, key: -1 });
    else change({ key: clamp(at, map.keys.length) });
  } else {
    const [key, query] = [Math.floor((x - place.left) / place.cell), Math.floor((y - place.top) / place.cell)];
    const inside = key >= 0 && key < map.keys.length;
    change({ token: Math.max(0, query), key: inside && query >= 0 ? key : -1 });
  }
});
heads.addEventListener("click", ({ offsetX: x, offsetY: y }) => {
  change({ head: Math.floor(x / square), layer: Math.floor(y / square), key: -1 });
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLSelectElement) return;
  const map = current();
  const on = { figure: event.target === figure, heads: event.target === heads };
  const arrows = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  if (event.key in arrows && (on.figure || on.heads)) {
    const [down, right] = arrows[event.key];
    if (on.heads) change({ layer: state.layer + down, head: Math.max(0, state.head + right), key: -1 });
    else change({ token: state.token + down, key: right ? clamp(state.key + right, map.keys.length) : state.key });
  } else if (event.key === "n" || event.key === "p") {
    change({ token: state.token + (event.key === "n" ? 1 : -1), key: -1 });
  } else if (event.key === "v") {
    change({ lines: !state.lines, key: -1 });
  } else if (event.key === "k") {
    change({ kind: kinds[(kinds.indexOf(state.kind) + 1) % kinds.length], layer: 0, token: 0, key: -1 });
  } else return;
  event.preventDefault();
});
window.addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
