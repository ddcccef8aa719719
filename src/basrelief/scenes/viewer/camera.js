// Vectors, matrices (column by column, as WebGL takes them) and a camera that orbits a target. +Z is up.

const add = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
const subtract = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
const scale = (a, s) => [a[0] * s, a[1] * s, a[2] * s];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const blend = (a, b, t) => a + (b - a) * t;

function multiply(a, b) {
  const out = new Float32Array(16);
  for (let column = 0; column < 4; column++)
    for (let row = 0; row < 4; row++) {
      let sum = 0;
      for (let k = 0; k < 4; k++) sum += a[4 * k + row] * b[4 * column + k];
      out[4 * column + row] = sum;
    }
  return out;
}

// Clip coordinates x, y, z, w of a point.
function project(m, p) {
  return [0, 1, 2, 3].map((row) => m[row] * p[0] + m[4 + row] * p[1] + m[8 + row] * p[2] + m[12 + row]);
}

const TOP = Math.PI / 2;
const FIELD = (45 * Math.PI) / 180; // vertical field of view
const RISE = Math.tan(FIELD / 2);

class Camera {
  // A view of a box with the lowest and the highest corner; `reach` is the extent of everything there is.
  constructor(low, high, reach) {
    this.reach = reach;
    this.corners = [low[0], high[0]].flatMap((x) => [low[1], high[1]].flatMap((y) => [low[2], high[2]].map((z) => [x, y, z])));
    this.center = scale(add(low, high), 0.5);
    this.radius = Math.max(Math.hypot(...subtract(high, low)) / 2, 1e-3);
    this.flight = null;
    this.shift = [0, 0]; // where the target is in the picture, in [-1, 1]
    Object.assign(this, this.home(1, 1));
  }

  // The first view; `free` is the share of the picture's height that nothing covers.
  home(aspect, free) {
    return this.whole({ yaw: -1.0, pitch: 0.72 }, aspect, free);
  }

  // The view of the whole box from a direction.
  whole(direction, aspect, free) {
    const { right, up, back } = this.axes(direction);
    const distances = this.corners.map((corner) => {
      const at = subtract(corner, this.center);
      return dot(at, back) + Math.max(Math.abs(dot(at, right)) / (0.95 * aspect), Math.abs(dot(at, up)) / (0.9 * free)) / RISE;
    });
    return { target: this.center, distance: Math.max(...distances), ...direction };
  }

  axes({ yaw, pitch } = this) {
    const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    return { right: [-sy, cy, 0], up: [-sp * cy, -sp * sy, cp], back: [cp * cy, cp * sy, sp] };
  }

  get eye() {
    return add(this.target, scale(this.axes().back, this.distance));
  }

  get near() {
    return Math.max(this.distance / 50, this.radius / 2000);
  }

  get far() {
    return this.distance + 2 * this.reach + Math.hypot(...subtract(this.target, this.center));
  }

  matrix(aspect) {
    const { right, up, back } = this.axes();
    const eye = this.eye;
    const view = [right, up, back].reduce((m, axis, row) => {
      [m[row], m[4 + row], m[8 + row], m[12 + row]] = [...axis, -dot(axis, eye)];
      return m;
    }, new Float32Array(16));
    view[15] = 1;
    const [near, far] = [this.near, this.far];
    const lens = new Float32Array(16);
    [lens[0], lens[5], lens[10], lens[11], lens[14]] = [1 / (RISE * aspect), 1 / RISE, (far + near) / (near - far), -1, (2 * far * near) / (near - far)];
    [lens[8], lens[9]] = [-this.shift[0], -this.shift[1]];
    return multiply(lens, view);
  }

  // Ray through a place of the picture; x and y in [-1, 1].
  ray(x, y, aspect) {
    const { right, up, back } = this.axes();
    const [a, b] = [x - this.shift[0], y - this.shift[1]];
    const direction = add(add(scale(right, a * RISE * aspect), scale(up, b * RISE)), scale(back, -1));
    return { from: this.eye, direction };
  }

  orbit(turn, tilt) {
    this.flight = null;
    this.yaw -= turn;
    this.pitch = clamp(this.pitch + tilt, -0.5, TOP);
  }

  // Move by shares of the picture's height.
  pan(x, y) {
    this.flight = null;
    const { right, up } = this.axes();
    const step = 2 * RISE * this.distance;
    this.target = add(this.target, add(scale(right, -x * step), scale(up, y * step)));
    const away = subtract(this.target, this.center);
    const most = 3 * this.radius;
    if (Math.hypot(...away) > most) this.target = add(this.center, scale(away, most / Math.hypot(...away)));
  }

  // Zoom by a factor; the place under x, y in [-1, 1] stays where it is.
  zoom(factor, x = this.shift[0], y = this.shift[1], aspect = 1) {
    this.flight = null;
    const before = this.distance;
    this.distance = clamp(before * factor, this.radius / 50, this.radius * 12);
    const moved = before - this.distance;
    const { right, up } = this.axes();
    const [a, b] = [x - this.shift[0], y - this.shift[1]];
    this.target = add(this.target, add(scale(right, a * RISE * aspect * moved), scale(up, b * RISE * moved)));
  }

  fly(goal, now, milliseconds) {
    const start = { target: this.target, yaw: this.yaw, pitch: this.pitch, distance: this.distance, shift: this.shift };
    const end = { ...start, ...(this.flight ? this.flight.end : {}), ...goal };
    const turns = Math.round((end.yaw - start.yaw) / (2 * Math.PI));
    end.yaw -= turns * 2 * Math.PI; // the short way
    this.flight = { start, end, from: now, milliseconds: Math.max(milliseconds, 1) };
  }

  // Advance a flight; return whether it goes on.
  advance(now) {
    if (!this.flight) return false;
    const { start, end, from, milliseconds } = this.flight;
    const t = clamp((now - from) / milliseconds, 0, 1);
    const eased = t * t * (3 - 2 * t);
    for (const name of ["target", "shift"]) this[name] = start[name].map((value, axis) => blend(value, end[name][axis], eased));
    this.yaw = blend(start.yaw, end.yaw, eased);
    this.pitch = blend(start.pitch, end.pitch, eased);
    this.distance = blend(start.distance, end.distance, eased);
    if (t === 1) this.flight = null;
    return t < 1;
  }
}
