// The page: reads the data beside this script, keeps the state, and connects list, filters, details and drawing. Texts of files are only ever
// set as text, never as HTML.

const FIRST_SHOWN = 40; // boxes shown before the slider is moved
const CONTEXT = 0.6; // radius of the scan that a selection keeps in view
const STEP = 0.12; // radians that an arrow key turns

const find = (id) => document.getElementById(id);

// An element with a class and children, which may be texts.
function make(tag, name = "", children = []) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children);
  return element;
}

function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function readCloud(stored) {
  const places = new Uint16Array(bytes(stored.places).buffer);
  const colors = bytes(stored.colors);
  const high = stored.low.map((value, axis) => value + stored.size[axis]);
  return { ...stored, places, colors, high, heights: stored.focus.map((corner) => corner[2]) };
}

function readBox(box) {
  const [cos, sin] = [Math.cos(box.yaw), Math.sin(box.yaw)];
  const corners = [-1, 1].flatMap((z) => [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([x, y]) => {
    const [a, b] = [(x * box.size[0]) / 2, (y * box.size[1]) / 2];
    return [box.center[0] + cos * a - sin * b, box.center[1] + sin * a + cos * b, box.center[2] + (z * box.size[2]) / 2];
  }));
  const light = box.rgb[0] * 0.3 + box.rgb[1] * 0.59 + box.rgb[2] * 0.11;
  return { ...box, corners, color: `rgb(${box.rgb.join(" ")})`, ink: light > 128 ? "#101418" : "#ffffff" };
}

const data = JSON.parse(find("data").textContent);
const cloud = readCloud(data.cloud);
const boxes = data.boxes.map(readBox);
const labels = [...new Map(boxes.map((box) => [box.label, box])).values()].map(({ label, color }) => ({
  label, color, count: boxes.filter((box) => box.label === label).length,
}));

const state = {
  score: boxes.length > FIRST_SHOWN ? Math.floor(boxes[FIRST_SHOWN - 1].score * 100) / 100 : 0,
  words: "",
  off: new Set(),
  selected: -1,
  hovered: -1,
  labels: true,
};
const options = { mode: data.cloud.colored ? 0 : 1, kinds: data.cloud.ceiling_hidden ? 0b0111 : 0b1111, cut: Infinity, size: 1.5, share: 1, background: [0, 0, 0] };
const camera = new Camera(...cloud.focus, Math.hypot(...cloud.size));
const canvas = find("canvas");
const still = matchMedia("(prefers-reduced-motion: reduce)");
let drawing = null;
let wanted = 0; // number of the frame that was asked for, 0 for none
let overlay = null;

// ---- what is shown ------------------------------------------------------------------------------------------------------------------------

function shows(box) {
  return box.score >= state.score && !state.off.has(box.label) && box.label.toLowerCase().includes(state.words);
}

function stateOf(box, number) {
  if (number === state.selected) return SELECTED;
  if (!shows(box)) return HIDDEN;
  return number === state.hovered ? HOVERED : SHOWN;
}

function refresh() {
  if (drawing) drawing.setStates(boxes.map(stateOf));
  redraw();
}

function redraw() {
  if (!wanted && drawing) wanted = requestAnimationFrame(frame);
}

function frame(now) {
  wanted = 0;
  const moving = camera.advance(now);
  drawing.fit();
  pace.frame(now, moving);
  drawing.draw(camera, options);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  overlay.update({ matrix: camera.matrix(width / height), width, height, states: boxes.map(stateOf), cloud, options, enabled: state.labels, taken: controls() });
  if (moving) redraw();
}

// Places on the stage that labels must not cover.
function controls() {
  const stage = find("stage").getBoundingClientRect();
  const parts = [...document.querySelectorAll("#tools .group"), find("details")].map((part) => part.getBoundingClientRect()).filter((part) => part.width);
  return parts.map(({ x, y, width, height }) => ({ x: x - stage.x, y: y - stage.y, width, height }));
}

// On slow machines fewer points are drawn while the view moves.
const pace = {
  last: 0, busy: false, timer: 0,
  frame(now, moving) {
    const taken = now - this.last;
    this.last = now;
    if (!moving && !this.busy) { options.share = 1; return; }
    options.share = clamp(options.share * (taken > 200 ? 0.5 : taken > 45 ? 0.75 : taken < 25 ? 1.15 : 1), 0.08, 1);
  },
  touch() {
    if (!this.busy) this.last = performance.now();
    this.busy = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { this.busy = false; redraw(); }, 180);
    redraw();
  },
};

function fly(goal, milliseconds = 450) {
  camera.fly(goal, performance.now(), still.matches ? 0 : milliseconds);
  if (!pace.busy) pace.last = performance.now();
  redraw();
}

const phone = matchMedia("(max-width: 760px)");
const aspect = () => canvas.clientWidth / Math.max(1, canvas.clientHeight);
const reset = () => fly(camera.home(aspect(), 1 - covered()));

// Share of the picture's height that a sheet covers on a phone.
function covered() {
  if (!phone.matches) return 0;
  return (find("details").hidden ? find("panel") : find("details")).offsetHeight / canvas.clientHeight;
}

// Keep the target in the middle of what is not covered.
function center() {
  const beside = phone.matches || find("details").hidden ? 0 : (find("details").offsetWidth + 13) / canvas.clientWidth;
  const shift = [-beside, phone.matches ? covered() - 0.04 : -0.05];
  if (shift.some((value, axis) => Math.abs(value - camera.shift[axis]) > 0.01)) fly({ shift }, 250);
}

const fromAbove = () => fly(camera.whole({ yaw: -TOP, pitch: TOP }, aspect(), 1 - covered()));

// Select a box, or none for -1; with `near`, a share of the scan's radius, move there, no closer than that.
function select(number, { near = 0 } = {}) {
  state.selected = number === state.selected && !near ? -1 : number;
  if (near && number >= 0) {
    const box = boxes[number];
    fly({ target: box.center, distance: clamp(Math.hypot(...box.size) * 2.8, near * camera.radius, camera.distance), pitch: clamp(camera.pitch, 0.35, 1.2) });
  }
  for (const row of find("list").children) row.setAttribute("aria-selected", String(Number(row.dataset.number) === state.selected));
  const row = find("list").querySelector('[aria-selected="true"]');
  find("list").toggleAttribute("aria-activedescendant", false);
  if (row) {
    find("list").setAttribute("aria-activedescendant", row.id);
    row.scrollIntoView({ block: "nearest" });
  }
  showDetails();
  center();
  refresh();
}

function hover(number) {
  if (number === state.hovered) return;
  state.hovered = number;
  for (const row of find("list").children) row.classList.toggle("hovered", Number(row.dataset.number) === number);
  canvas.classList.toggle("pointing", number >= 0);
  refresh();
}

// ---- list and filters ---------------------------------------------------------------------------------------------------------------------

const percent = (value) => `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`;
function metres(size) {
  const small = Math.max(...size) < 0.3;
  return `${size.map((side) => (small ? (100 * side).toFixed(1) : side.toFixed(2))).join(" × ")} ${small ? "cm" : "m"}`;
}


function bar(share) {
  const filled = make("i");
  filled.style.width = `${100 * clamp(share, 0, 1)}%`;
  return make("span", "bar", [filled]);
}

function row(box, number) {
  const item = make("li", "row", [make("i", "dot"), make("span", "name", [box.label]), make("span", "score", [box.score.toFixed(2)]), make("span", "size", [metres(box.size)]), bar(box.score)]);
  item.id = `box-${number}`;
  item.role = "option";
  item.dataset.number = String(number);
  item.style.setProperty("--color", box.color);
  item.title = box.label;
  item.addEventListener("click", () => select(number, { near: number === state.selected ? 0 : CONTEXT }));
  item.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") hover(number); });
  item.addEventListener("pointerleave", () => hover(-1));
  return item;
}

function fillList() {
  const shown = boxes.map((box, number) => number).filter((number) => shows(boxes[number]));
  if (state.selected >= 0 && !shown.includes(state.selected)) select(-1);
  find("list").replaceChildren(...shown.map((number) => row(boxes[number], number)));
  for (const item of find("list").children) item.setAttribute("aria-selected", String(Number(item.dataset.number) === state.selected));
  const all = boxes.length === 1 ? "1 box" : `${boxes.length} boxes`;
  find("count").textContent = shown.length === boxes.length ? all : `${shown.length} of ${all}`;
  refresh();
}

function fillChips() {
  const chips = labels.map(({ label, color, count }) => {
    const chip = make("button", "chip", [make("i", "dot"), make("span", "", [label]), make("b", "", [String(count)])]);
    Object.assign(chip, { type: "button", title: label });
    chip.style.setProperty("--color", color);
    chip.setAttribute("aria-pressed", String(!state.off.has(label)));
    chip.addEventListener("click", () => {
      if (!state.off.delete(label)) state.off.add(label);
      chip.setAttribute("aria-pressed", String(!state.off.has(label)));
      fillList();
    });
    return chip;
  });
  const all = make("button", "chip command", ["All / none"]);
  all.type = "button";
  all.addEventListener("click", () => {
    state.off = new Set(state.off.size ? [] : labels.map(({ label }) => label));
    chips.forEach((chip) => chip.setAttribute("aria-pressed", String(!state.off.size)));
    fillList();
  });
  find("chips").replaceChildren(...chips, ...(labels.length > 3 ? [all] : []));
}

function fillHistogram() {
  const counts = new Array(25).fill(0);
  for (const box of boxes) counts[Math.min(24, Math.floor(box.score * 25))]++;
  const most = Math.max(1, ...counts);
  find("histogram").replaceChildren(...counts.map((count) => {
    const column = make("i");
    column.style.height = `${count ? 8 + (92 * count) / most : 0}%`;
    return column;
  }));
}

function setScore(value) {
  state.score = value;
  find("score").value = String(value);
  find("score-value").textContent = value.toFixed(2);
  [...find("histogram").children].forEach((column, number) => column.classList.toggle("out", (number + 1) / 25 <= value));
  fillList();
}

// ---- details ------------------------------------------------------------------------------------------------------------------------------

function figure({ source, caption, note }) {
  const image = make("img");
  Object.assign(image, { src: source, alt: `${caption} ${note}`.trim(), draggable: false });
  const words = make("figcaption", "", [caption, ...(note ? [make("small", "", [note])] : [])]);
  words.title = `${caption} ${note}`.trim();
  return make("figure", "", [image, words]);
}

function facts(pairs) {
  return pairs.flatMap(([name, value]) => [make("dt", "", [name]), make("dd", "", [value])]);
}

function showDetails() {
  const box = boxes[state.selected];
  find("details").hidden = !box;
  if (!box) return;
  find("details").style.setProperty("--color", box.color);
  find("details-label").textContent = box.label;
  find("details-score").textContent = box.score.toFixed(2);
  find("evidence").replaceChildren(...box.evidence.map(figure));
  find("evidence-note").textContent = box.evidence.length ? "" : data.without_evidence;
  find("bars").replaceChildren(...box.probabilities.map(([label, share]) => make("li", "", [make("span", "", [label]), make("output", "", [percent(share)]), bar(share)])));
  find("measures").replaceChildren(...facts([
    ["Size", metres(box.size)],
    ...(box.height === null ? [] : [["Above the floor", `${Math.abs(box.height) < 0.005 ? "0.00" : box.height.toFixed(2)} m`]]),
    ["Turned", `${Math.round((box.turned * 180) / Math.PI) || 0}°`],
    ["Points", box.points.toLocaleString("en")],
    ["Objectness", box.objectness.toFixed(2)],
    ["Centre in the file", box.file.map((value) => String(Number(value.toFixed(3)))).join(", ")],
    ["Box", `${box.id}`],
  ]));
  find("details-body").scrollTop = 0;
}

function fillAbout() {
  document.title = `${data.title} – boxes`;
  find("title").textContent = data.title;
  find("subtitle").textContent = `${metres(cloud.size)} · ${data.points.toLocaleString("en")} points`;
  find("facts").replaceChildren(...facts(data.facts));
  find("findings").replaceChildren(...data.findings.map(({ level, text }) => make("li", level, [text])));
}

// ---- view options -------------------------------------------------------------------------------------------------------------------------

function press(button, on) {
  button.setAttribute("aria-pressed", String(Boolean(on)));
}

function connectOptions() {
  const modes = [...document.querySelectorAll("[data-mode]")];
  const setMode = (mode) => {
    options.mode = mode;
    modes.forEach((button, number) => { button.setAttribute("aria-checked", String(number === mode)); button.tabIndex = number === mode ? 0 : -1; });
    redraw();
  };
  modes.forEach((button, number) => {
    button.addEventListener("click", () => setMode(number));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: 2, ArrowUp: 2 }[event.key];
      if (!step) return;
      event.preventDefault();
      let next = (number + step) % 3;
      if (modes[next].disabled) next = (next + step) % 3;
      setMode(next);
      modes[next].focus();
    });
  });
  modes[0].disabled = !data.cloud.colored;
  setMode(options.mode);
  for (const button of document.querySelectorAll("[data-structure]")) {
    const kind = Number(button.dataset.structure);
    button.hidden = !data.cloud.kinds.includes(kind);
    press(button, (options.kinds >> kind) & 1);
    button.addEventListener("click", () => { options.kinds ^= 1 << kind; press(button, (options.kinds >> kind) & 1); redraw(); });
  }
  press(find("show-labels"), true);
  find("show-labels").addEventListener("click", () => { state.labels = !state.labels; press(find("show-labels"), state.labels); redraw(); });
  const cut = find("cut");
  const floor = data.floor === null ? cloud.low[2] : data.floor;
  Object.assign(cut, { min: "0", max: String(Math.max(0.01, cloud.high[2] - floor)) });
  cut.value = cut.max;
  const setCut = () => {
    const all = Number(cut.value) >= Number(cut.max) - 0.011;
    options.cut = all ? Infinity : floor + Number(cut.value);
    find("cut-value").textContent = all ? "off" : `${Number(cut.value).toFixed(2)} m`;
    redraw();
  };
  cut.addEventListener("input", setCut);
  setCut();
  find("options-toggle").addEventListener("click", () => find("options-toggle").setAttribute("aria-expanded", String(find("options").classList.toggle("open"))));
  find("reset").addEventListener("click", reset);
  find("top").addEventListener("click", fromAbove);
}

// ---- pointer and keys ---------------------------------------------------------------------------------------------------------------------

// The smallest shown box under a place of the canvas whose near side is not behind points.
function pick(x, y) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const ray = camera.ray((2 * x) / width - 1, 1 - (2 * y) / height, width / height);
  const grid = depthGrid({ matrix: camera.matrix(width / height), width, height, cloud, options });
  let best = -1;
  let smallest = Infinity;
  boxes.forEach((box, number) => {
    if (!shows(box)) return;
    const entry = entryOf(ray, box);
    const volume = box.size.reduce((product, side) => product * Math.max(side, 0.01), 1);
    if (entry < 0 || volume >= smallest || grid.hides({ x, y }, entry)) return;
    [best, smallest] = [number, volume];
  });
  return best;
}

// Distance along a ray at which it enters a box; -1 if it misses.
function entryOf({ from, direction }, box) {
  const [cos, sin] = [Math.cos(box.yaw), Math.sin(box.yaw)];
  const own = ([x, y, z]) => [cos * x + sin * y, -sin * x + cos * y, z];
  const start = own(subtract(from, box.center));
  const along = own(direction);
  let [low, high] = [0, Infinity];
  for (let axis = 0; axis < 3; axis++) {
    const half = Math.max(box.size[axis] / 2, 0.01);
    const [a, b] = [(-half - start[axis]) / along[axis], (half - start[axis]) / along[axis]];
    low = Math.max(low, Math.min(a, b));
    high = Math.min(high, Math.max(a, b));
  }
  return high >= low ? low : -1;
}

function place(event) {
  const frame = canvas.getBoundingClientRect();
  return { x: event.clientX - frame.left, y: event.clientY - frame.top };
}

function connectPointer() {
  const held = new Map();
  let travelled = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, place(event));
    if (held.size === 1) travelled = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const at = place(event);
    const before = held.get(event.pointerId);
    if (!before) { if (event.pointerType === "mouse") hover(pick(at.x, at.y)); return; }
    const [dx, dy] = [at.x - before.x, at.y - before.y];
    travelled += Math.abs(dx) + Math.abs(dy);
    if (travelled > 4) canvas.classList.add("dragging");
    if (held.size === 2) pinch(held, event.pointerId, at);
    else if (event.buttons & 6 || event.shiftKey || event.ctrlKey) camera.pan(dx / canvas.clientHeight, dy / canvas.clientHeight);
    else camera.orbit(dx * 0.006, dy * 0.006);
    held.set(event.pointerId, at);
    pace.touch();
  });
  const release = (event) => {
    const at = held.get(event.pointerId);
    held.delete(event.pointerId);
    canvas.classList.remove("dragging");
    if (event.type === "pointerup" && at && travelled <= 4 && held.size === 0 && event.button === 0) {
      const number = pick(at.x, at.y);
      if (number !== state.selected) select(number);
    }
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => hover(-1));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("dblclick", (event) => { const { x, y } = place(event); const number = pick(x, y); if (number >= 0) select(number, { near: 0.15 }); });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { x, y } = place(event);
    const steps = event.deltaMode === 1 ? event.deltaY * 20 : event.deltaY;
    camera.zoom(Math.exp(clamp(steps, -250, 250) * 0.0016), (2 * x) / canvas.clientWidth - 1, 1 - (2 * y) / canvas.clientHeight, aspect());
    pace.touch();
  }, { passive: false });
}

// Two fingers: zoom by their distance, move by their middle.
function pinch(held, moved, at) {
  const other = [...held].find(([id]) => id !== moved)[1];
  const before = held.get(moved);
  const spread = (p) => Math.hypot(p.x - other.x, p.y - other.y) || 1;
  const middle_ = { x: (at.x + other.x) / canvas.clientWidth - 1, y: 1 - (at.y + other.y) / canvas.clientHeight };
  camera.zoom(spread(before) / spread(at), middle_.x, middle_.y, aspect());
  camera.pan((at.x - before.x) / 2 / canvas.clientHeight, (at.y - before.y) / 2 / canvas.clientHeight);
}

function connectKeys() {
  canvas.addEventListener("keydown", (event) => {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] || [0, 0];
    if (x || y) {
      if (event.shiftKey) camera.pan(-x * 0.06, -y * 0.06);
      else camera.orbit(x * STEP, -y * STEP);
    } else if (event.key === "+" || event.key === "=") camera.zoom(1 / 1.2);
    else if (event.key === "-") camera.zoom(1.2);
    else return;
    event.preventDefault();
    pace.touch();
  });
  document.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement && event.target.type === "search" && event.key !== "Escape") return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      if (event.target === find("search") && find("search").value) return;
      if (find("details").contains(document.activeElement)) find("list").focus();
      select(-1);
    } else if (event.key === "t" || event.key === "T") fromAbove();
    else if (event.key === "r" || event.key === "R") reset();
  });
  find("list").addEventListener("keydown", (event) => {
    const rows = [...find("list").children];
    const now = rows.findIndex((item) => Number(item.dataset.number) === state.selected);
    const next = { ArrowDown: now + 1, ArrowUp: now < 0 ? 0 : now - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (next === undefined || !rows.length) return;
    event.preventDefault();
    select(Number(rows[clamp(next, 0, rows.length - 1)].dataset.number), { near: CONTEXT });
  });
}

// ---- start --------------------------------------------------------------------------------------------------------------------------------

function readTheme() {
  const probe = getComputedStyle(find("stage")).backgroundColor.match(/[\d.]+/g).slice(0, 3).map(Number);
  options.background = probe.map((value) => value / 255);
  redraw();
}

function startDrawing() {
  try {
    drawing = new Drawing(canvas, cloud, boxes);
  } catch (error) {
    console.warn(error.message);
    drawing = null;
  }
  find("no-drawing").hidden = Boolean(drawing);
  find("tools").hidden = !drawing;
  readTheme();
  refresh();
}

function start() {
  overlay = new Labels(find("labels"), boxes, { select, hover });
  fillAbout();
  fillChips();
  fillHistogram();
  connectOptions();
  connectPointer();
  connectKeys();
  find("score").addEventListener("input", (event) => setScore(Number(event.target.value)));
  find("search").addEventListener("input", (event) => { state.words = event.target.value.trim().toLowerCase(); fillList(); });
  find("close").addEventListener("click", () => { select(-1); find("list").focus(); });
  find("handle").addEventListener("click", () => {
    find("handle").setAttribute("aria-expanded", String(!find("panel").classList.toggle("closed")));
    center();
  });
  if (phone.matches) find("handle").click();
  canvas.addEventListener("webglcontextlost", (event) => { event.preventDefault(); drawing = null; });
  canvas.addEventListener("webglcontextrestored", startDrawing);
  startDrawing();
  setScore(state.score);
  center();
  camera.fly(camera.home(aspect(), 1 - covered()), 0, 0);
  camera.advance(1);
  new ResizeObserver(() => { center(); redraw(); }).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readTheme);
}

start();
