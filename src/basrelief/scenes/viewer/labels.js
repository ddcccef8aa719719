// Labels of boxes as HTML over the picture. Better boxes come first; a label that would cover another one, or whose box is behind points, is
// left out.

const GRID = 72; // columns of the depth grid
const SAMPLES = 8000; // points that hide labels
const MOST_LABELS = 60;

class Labels {
  constructor(place, boxes, { select, hover }) {
    this.boxes = boxes;
    this.items = boxes.map((box, number) => {
      const item = make("div", "label", [make("i", "dot"), make("span", "", [box.label])]);
      item.style.setProperty("--color", box.color);
      item.style.setProperty("--ink", box.ink);
      item.addEventListener("click", () => select(number));
      item.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") hover(number); });
      item.addEventListener("pointerleave", () => hover(-1));
      place.append(item);
      return item;
    });
    this.sizes = new Map();
  }

  // Place the labels for a camera; `taken` are places that stay free.
  update({ matrix, width, height, states, cloud, options, enabled, taken }) {
    const order = states.map((_, number) => number).filter((number) => states[number] !== HIDDEN && (enabled || states[number] > SHOWN));
    order.sort((a, b) => states[b] - states[a] || a - b); // boxes are in the order of their scores
    const depths = order.length ? depthGrid({ matrix, width, height, cloud, options }) : null;
    let placed = 0;
    const shown = new Set();
    for (const number of order) {
      if (placed >= MOST_LABELS) break;
      const spot = this.spot(number, { matrix, width, height, depths, state: states[number], taken });
      if (!spot) continue;
      taken.push(spot);
      placed++;
      shown.add(number);
      const item = this.items[number];
      item.style.transform = `translate(${Math.round(spot.x)}px, ${Math.round(spot.y)}px)`;
      item.style.zIndex = String(states[number]);
    }
    this.items.forEach((item, number) => {
      item.style.visibility = shown.has(number) ? "visible" : "hidden";
      item.classList.toggle("selected", states[number] === SELECTED);
    });
  }

  spot(number, { matrix, width, height, depths, state, taken }) {
    const box = this.boxes[number];
    const anchor = [box.center[0], box.center[1], box.center[2] + box.size[2] / 2];
    const [x, y, , w] = project(matrix, anchor);
    if (w <= 0) return null;
    const at = { x: (x / w + 1) / 2 * width, y: (1 - y / w) / 2 * height };
    if (at.x < 0 || at.y < 0 || at.x > width || at.y > height) return null;
    if (state === SHOWN && depths.hides(at, w - Math.hypot(...box.size) / 2)) return null;
    const size = this.size(number);
    for (const rise of [size.height + 7, 2 * size.height + 11, -5]) {
      const spot = { x: clamp(at.x - size.width / 2, 2, width - size.width - 2), y: at.y - rise, ...size };
      if (spot.y > 2 && spot.y + size.height < height - 2 && !taken.some((other) => overlap(spot, other))) return spot;
    }
    return state > SHOWN ? { x: at.x - size.width / 2, y: at.y - size.height - 7, ...size } : null;
  }

  size(number) {
    const key = this.boxes[number].label;
    if (!this.sizes.has(key)) this.sizes.set(key, { width: this.items[number].offsetWidth, height: this.items[number].offsetHeight });
    return this.sizes.get(key);
  }
}

function overlap(a, b) {
  return a.x < b.x + b.width + 3 && b.x < a.x + a.width + 3 && a.y < b.y + b.height + 2 && b.y < a.y + a.height + 2;
}

// Distances of the nearest points in a coarse grid over the picture.
function depthGrid({ matrix, width, height, cloud, options }) {
  const rows = Math.max(1, Math.round((GRID * height) / width));
  const grid = new Float32Array(GRID * rows).fill(Infinity);
  const count = Math.min(SAMPLES, cloud.count);
  for (let i = 0; i < count; i++) {
    const kind = cloud.colors[4 * i + 3];
    const p = [0, 1, 2].map((axis) => cloud.low[axis] + (cloud.places[4 * i + axis] / 65535) * cloud.extent);
    if (!(options.kinds & (1 << kind)) || kind === WALL || p[2] > options.cut) continue;
    const [x, y, , w] = project(matrix, p);
    if (w <= 0 || Math.abs(x) > w || Math.abs(y) > w) continue;
    const cell = Math.floor(clamp((1 - y / w) / 2, 0, 0.9999) * rows) * GRID + Math.floor(clamp((x / w + 1) / 2, 0, 0.9999) * GRID);
    grid[cell] = Math.min(grid[cell], w);
  }
  const depth = ({ x, y }) => grid[clamp(Math.floor((y / height) * rows), 0, rows - 1) * GRID + clamp(Math.floor((x / width) * GRID), 0, GRID - 1)];
  return { hides: (at, distance) => depth(at) < distance - 0.03 * cloud.extent };
}
