// Draw points and boxes with WebGL 2. Points are shaded by the depth around them ("eye-dome lighting", C. Boucheny, 2009), so that forms are
// visible without normals. Boxes are lines of constant width; what is behind points is faint.

const HIDDEN = 0, SHOWN = 1, HOVERED = 2, SELECTED = 3; // states of a box
const NO_BOX = 65535;
const WALL = 2;

const POINTS_VERTEX = `#version 300 es
precision highp float; precision highp int;
layout(location=0) in vec3 place; layout(location=1) in uint box; layout(location=2) in vec3 own; layout(location=3) in uint kind;
uniform mat4 view; uniform vec3 low, inner, outer, eye, dimmed; uniform float extent, size, cut, most; uniform int mode, kinds, selected;
uniform bool hasWalls; uniform sampler2D boxes; uniform vec2 heights;
out vec3 color;
vec3 ramp(float t) {
  vec3 stops[5] = vec3[5](vec3(.21,.23,.55), vec3(.13,.47,.71), vec3(.16,.67,.56), vec3(.62,.78,.28), vec3(.99,.83,.25));
  float at = clamp(t, 0., 1.) * 4.; int i = int(min(at, 3.));
  return mix(stops[i], stops[i + 1], at - float(i));
}
bool inTheWay(vec3 p) {  // a wall between the eye and what it encloses
  vec2 middle = (inner.xy + outer.xy) / 2., half_ = max((outer.xy - inner.xy) / 2., vec2(1e-6)), at = (p.xy - middle) / half_;
  bool alongX = abs(at.x) * half_.x - half_.x > abs(at.y) * half_.y - half_.y;
  return alongX ? sign(at.x) * (eye.x - p.x) > 0. && abs(at.x) > .5 : sign(at.y) * (eye.y - p.y) > 0. && abs(at.y) > .5;
}
void main() {
  vec3 p = low + place * extent;
  bool hidden = (kinds & (1 << int(kind))) == 0 || p.z > cut || (hasWalls && kind == 2u && inTheWay(p));
  gl_Position = hidden ? vec4(2., 2., 2., 1.) : view * vec4(p, 1.);
  gl_PointSize = hidden ? 1. : clamp(size / gl_Position.w, 2., most);
  vec4 mine = box == 65535u ? vec4(0.) : texelFetch(boxes, ivec2(int(box) % 256, int(box) / 256), 0);
  bool shown = mine.a > .1;
  vec3 plain = vec3(dot(own, vec3(.3, .59, .11))) * .45 + .32;
  color = mode == 0 ? own : mode == 1 ? ramp((p.z - heights.x) / (heights.y - heights.x)) : shown ? mix(mine.rgb, own, .12) : plain;
  if (selected >= 0) color = int(box) == selected ? (mode == 2 ? mine.rgb : mix(color, mine.rgb, .35)) : mix(color, dimmed, .42);
}`;

const POINTS_FRAGMENT = `#version 300 es
precision mediump float;
in vec3 color; out vec4 pixel;
void main() { vec2 at = gl_PointCoord - .5; if (dot(at, at) > .25) discard; pixel = vec4(color, 1.); }`;

const SHADE_VERTEX = `#version 300 es
void main() { gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4. - 1., 0., 1.); }`;

const SHADE_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D colors, depths; uniform vec3 background; uniform float near, far, reach, strength;
out vec4 pixel;
float away(ivec2 at) {  // log2 of the distance; 0 for nothing
  float depth = texelFetch(depths, clamp(at, ivec2(0), textureSize(depths, 0) - 1), 0).r;
  return depth >= 1. ? 0. : log2(2. * near * far / (far + near - (2. * depth - 1.) * (far - near)));
}
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  float depth = texelFetch(depths, at, 0).r;
  gl_FragDepth = depth;
  if (depth >= 1.) { pixel = vec4(background, 1.); return; }
  float mine = away(at), dark = 0.;
  for (int i = 0; i < 8; i++) {
    float angle = float(i) * .785398;
    float other = away(at + ivec2(round(vec2(cos(angle), sin(angle)) * reach)));
    if (other != 0.) dark += clamp(mine - other, 0., .1);
  }
  pixel = vec4(texelFetch(colors, at, 0).rgb * (.3 + .7 * exp(-dark * strength)), 1.);
}`;

const LINES_VERTEX = `#version 300 es
precision highp float; precision highp int;
layout(location=0) in vec3 start; layout(location=1) in vec3 end; layout(location=2) in uint box;
uniform mat4 view; uniform vec2 pixels; uniform float near, width; uniform sampler2D boxes; uniform bool any;
out vec3 color; out float solid;
void main() {
  vec4 mine = texelFetch(boxes, ivec2(int(box) % 256, int(box) / 256), 0);
  float state = round(mine.a * 3.);
  vec4 a = view * vec4(start, 1.), b = view * vec4(end, 1.);
  gl_Position = vec4(2., 2., 2., 1.); color = mine.rgb;
  solid = any && state < 2. ? .55 : 1.;
  if (state < 1. || (a.w < near && b.w < near)) return;
  if (a.w < near) a = mix(a, b, (near - a.w) / (b.w - a.w));
  if (b.w < near) b = mix(b, a, (near - b.w) / (a.w - b.w));
  vec2 along = (b.xy / b.w - a.xy / a.w) * pixels;
  along = length(along) > 1e-4 ? normalize(along) : vec2(1., 0.);
  float wide = width * (state > 2. ? 2. : state > 1. ? 1.6 : 1.);
  vec2 side = vec2(float(gl_VertexID & 1), float(gl_VertexID >> 1)) * 2. - 1.;  // x: which end, y: which side
  vec4 p = side.x < 0. ? a : b;
  gl_Position = p + vec4((along * side.x + vec2(-along.y, along.x) * side.y) * wide / pixels * p.w, 0., 0.);
  gl_Position.z -= .0004 * p.w;
}`;

const LINES_FRAGMENT = `#version 300 es
precision mediump float;
in vec3 color; in float solid; uniform float opacity; out vec4 pixel;
void main() { pixel = vec4(color, opacity * solid); }`;

const FACES_VERTEX = `#version 300 es
layout(location=0) in vec3 place; uniform mat4 view; void main() { gl_Position = view * vec4(place, 1.); }`;

const FACES_FRAGMENT = `#version 300 es
precision mediump float;
uniform vec4 color; out vec4 pixel; void main() { pixel = color; }`;

const EDGES = [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]];
const SIDES = [0, 2, 1, 0, 3, 2, 4, 5, 6, 4, 6, 7, 0, 1, 5, 0, 5, 4, 1, 2, 6, 1, 6, 5, 2, 3, 7, 2, 7, 6, 3, 0, 4, 3, 4, 7];

class Drawing {
  // The points and boxes on a canvas. Throws if WebGL 2 is missing.
  constructor(canvas, cloud, boxes) {
    const gl = canvas.getContext("webgl2", { antialias: true, alpha: false });
    if (!gl) throw new Error("WebGL 2 is missing");
    Object.assign(this, { gl, canvas, cloud, boxes });
    this.points = this.program(POINTS_VERTEX, POINTS_FRAGMENT);
    this.shade = this.program(SHADE_VERTEX, SHADE_FRAGMENT);
    this.lines = this.program(LINES_VERTEX, LINES_FRAGMENT);
    this.faces = this.program(FACES_VERTEX, FACES_FRAGMENT);
    this.cloudArray = this.layout([
      [this.buffer(cloud.places), [[0, 3, gl.UNSIGNED_SHORT, 8, 0, "normalized"], [1, 1, gl.UNSIGNED_SHORT, 8, 6, "integer"]]],
      [this.buffer(cloud.colors), [[2, 3, gl.UNSIGNED_BYTE, 4, 0, "normalized"], [3, 1, gl.UNSIGNED_BYTE, 4, 3, "integer"]]],
    ]);
    this.lineArray = this.layout([this.edges()], 1);
    this.faceBuffer = this.buffer(new Float32Array(108), gl.DYNAMIC_DRAW);
    this.faceArray = this.layout([[this.faceBuffer, [[0, 3, gl.FLOAT, 12, 0, "plain"]]]]);
    this.emptyArray = gl.createVertexArray();
    this.states = this.texture(256, Math.max(1, Math.ceil(boxes.length / 256)), gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE);
    this.frame = null;
  }

  program(vertex, fragment) {
    const gl = this.gl;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    const names = Array.from({ length: gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS) }, (_, i) => gl.getActiveUniform(program, i).name);
    return { program, at: Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)])) };
  }

  buffer(data, use = this.gl.STATIC_DRAW) {
    const buffer = this.gl.createBuffer();
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, buffer);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, data, use);
    return buffer;
  }

  layout(parts, divisor = 0) {
    const gl = this.gl;
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    for (const [buffer, attributes] of parts) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      for (const [place, size, type, stride, offset, kind] of attributes) {
        gl.enableVertexAttribArray(place);
        if (kind === "integer") gl.vertexAttribIPointer(place, size, type, stride, offset);
        else gl.vertexAttribPointer(place, size, type, kind === "normalized", stride, offset);
        gl.vertexAttribDivisor(place, divisor);
      }
    }
    gl.bindVertexArray(null);
    return array;
  }

  edges() {
    const gl = this.gl;
    const data = new DataView(new ArrayBuffer(this.boxes.length * EDGES.length * 28));
    let at = 0;
    this.boxes.forEach((box, number) => {
      for (const [a, b] of EDGES) {
        for (const value of [...box.corners[a], ...box.corners[b]]) { data.setFloat32(at, value, true); at += 4; }
        data.setUint32(at, number, true); at += 4;
      }
    });
    return [this.buffer(data), [[0, 3, gl.FLOAT, 28, 0, "plain"], [1, 3, gl.FLOAT, 28, 12, "plain"], [2, 1, gl.UNSIGNED_INT, 28, 24, "integer"]]];
  }

  texture(width, height, inner, format, type) {
    const gl = this.gl;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, inner, width, height, 0, format, type, null);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, name, gl.CLAMP_TO_EDGE);
    return texture;
  }

  // Colour and state of every box.
  setStates(states) {
    const gl = this.gl;
    const rows = Math.max(1, Math.ceil(states.length / 256));
    const data = new Uint8Array(256 * rows * 4);
    states.forEach((state, number) => data.set([...this.boxes[number].rgb, state * 85], 4 * number));
    gl.bindTexture(gl.TEXTURE_2D, this.states);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 256, rows, gl.RGBA, gl.UNSIGNED_BYTE, data);
    this.selected = states.indexOf(SELECTED);
    this.hovered = states.indexOf(HOVERED);
  }

  // Fit the canvas to its place on the page; return whether it changed.
  fit() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight].map((side) => Math.max(1, Math.round(side * ratio)));
    if (this.frame && width === this.canvas.width && height === this.canvas.height) return false;
    Object.assign(this, { ratio });
    Object.assign(this.canvas, { width, height });
    const gl = this.gl;
    if (this.frame) { gl.deleteFramebuffer(this.frame.buffer); gl.deleteTexture(this.frame.color); gl.deleteTexture(this.frame.depth); }
    const color = this.texture(width, height, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE);
    const depth = this.texture(width, height, gl.DEPTH_COMPONENT24, gl.DEPTH_COMPONENT, gl.UNSIGNED_INT);
    const buffer = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, buffer);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, color, 0);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.TEXTURE_2D, depth, 0);
    this.frame = { buffer, color, depth };
    return true;
  }

  // Draw one frame: a share of the points, then the boxes.
  draw(camera, options) {
    const gl = this.gl;
    const { width, height } = this.canvas;
    const view = camera.matrix(width / height);
    gl.viewport(0, 0, width, height);
    gl.disable(gl.BLEND);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    gl.depthMask(true);
    this.drawPoints(camera, view, options);
    this.drawShade(camera, options);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    gl.depthMask(false);
    for (const number of [this.hovered, this.selected]) if (number >= 0) this.drawFaces(view, number);
    this.drawLines(camera, view);
  }

  drawPoints(camera, view, { share, mode, kinds, cut, background, size }) {
    const { gl, cloud } = this;
    const { program, at } = this.points;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame.buffer);
    gl.clearColor(...background, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(program);
    gl.uniformMatrix4fv(at.view, false, view);
    for (const [name, value] of [["low", cloud.low], ["inner", cloud.focus[0]], ["outer", cloud.focus[1]], ["eye", camera.eye], ["dimmed", background]]) gl.uniform3fv(at[name], value);
    gl.uniform1f(at.extent, cloud.extent);
    gl.uniform1f(at.size, (size * cloud.spacing * this.canvas.height) / (2 * RISE) / Math.sqrt(share));
    gl.uniform1f(at.most, 28 * this.ratio);
    gl.uniform1f(at.cut, cut);
    gl.uniform2f(at.heights, ...cloud.heights);
    gl.uniform1i(at.mode, mode);
    gl.uniform1i(at.kinds, kinds);
    gl.uniform1i(at.selected, this.selected);
    gl.uniform1i(at.hasWalls, cloud.hasWalls ? 1 : 0);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.states);
    gl.uniform1i(at.boxes, 0);
    gl.bindVertexArray(this.cloudArray);
    gl.drawArrays(gl.POINTS, 0, Math.ceil(cloud.count * share)); // in random order, so any share covers the scan
  }

  drawShade(camera, { background }) {
    const { gl } = this;
    const { program, at } = this.shade;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(program);
    [this.frame.color, this.frame.depth].forEach((texture, unit) => { gl.activeTexture(gl.TEXTURE0 + unit); gl.bindTexture(gl.TEXTURE_2D, texture); });
    gl.uniform1i(at.colors, 0);
    gl.uniform1i(at.depths, 1);
    gl.uniform3fv(at.background, background);
    gl.uniform1f(at.near, camera.near);
    gl.uniform1f(at.far, camera.far);
    gl.uniform1f(at.reach, 1.4 * this.ratio);
    gl.uniform1f(at.strength, 7);
    gl.bindVertexArray(this.emptyArray);
    gl.depthFunc(gl.ALWAYS);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.depthFunc(gl.LEQUAL);
  }

  drawFaces(view, number) {
    const { gl } = this;
    const { program, at } = this.faces;
    const { corners, rgb } = this.boxes[number];
    gl.useProgram(program);
    gl.uniformMatrix4fv(at.view, false, view);
    gl.uniform4f(at.color, ...rgb.map((value) => value / 255), 0.1);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.faceBuffer);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, new Float32Array(SIDES.flatMap((corner) => corners[corner])));
    gl.bindVertexArray(this.faceArray);
    gl.drawArrays(gl.TRIANGLES, 0, 36);
  }

  drawLines(camera, view) {
    const { gl } = this;
    const { program, at } = this.lines;
    if (!this.boxes.length) return;
    gl.useProgram(program);
    gl.uniformMatrix4fv(at.view, false, view);
    gl.uniform2f(at.pixels, this.canvas.width, this.canvas.height);
    gl.uniform1f(at.near, camera.near);
    gl.uniform1f(at.width, 1.5 * this.ratio);
    gl.uniform1i(at.any, this.selected >= 0 ? 1 : 0);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.states);
    gl.uniform1i(at.boxes, 0);
    gl.bindVertexArray(this.lineArray);
    for (const [test, opacity] of [[gl.GREATER, 0.22], [gl.LEQUAL, 1]]) {
      gl.depthFunc(test);
      gl.uniform1f(at.opacity, opacity);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, EDGES.length * this.boxes.length);
    }
    gl.depthFunc(gl.LEQUAL);
  }
}
