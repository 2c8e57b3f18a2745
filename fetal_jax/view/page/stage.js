// The picture, the outline over it and its handles: zoom, pan, window and level, magnifier, drag and keyboard.

import { actionOf, canonical, dragged, drawn, handles } from "./geometry.js";

const SVG = "http://www.w3.org/2000/svg";
const MAX_SCALE = 16, MAGNIFIED = 3, GLASS = 320, TICK = 18;
const FULL = { window: 256, level: 128 };
const NEW_ROUNDNESS = { head: 0.78, abdomen: 0.95 };

export class Stage {
  /** on: {edit(action, answer), live(answer), view()} */
  constructor(box, on) {
    this.box = box;
    this.on = on;
    this.canvas = box.querySelector("canvas");
    this.svg = box.querySelector("svg");
    this.glass = box.querySelector(".magnifier");
    this.view = { scale: 1, x: 0, y: 0, fitted: true };
    this.grey = { ...FULL };
    this.options = { window: false, magnifier: true, outline: true, draw: false };
    this.pointers = new Map();
    this.drag = null;
    this.parts = null;
    new ResizeObserver(() => this.resized()).observe(box);
    this.svg.addEventListener("pointerdown", (e) => this.down(e));
    this.svg.addEventListener("pointermove", (e) => this.moved(e));
    for (const end of ["pointerup", "pointercancel"]) this.svg.addEventListener(end, (e) => this.up(e));
    this.svg.addEventListener("focusin", () => this.later());
    this.svg.addEventListener("focusout", () => { this.finishNudge(); this.later(); });
    this.svg.addEventListener("keyup", (e) => e.key.startsWith("Arrow") && this.finishNudge());
    box.addEventListener("wheel", (e) => {
      e.preventDefault();
      this.zoom(Math.exp(-e.deltaY / 400), this.point(e));
    }, { passive: false });
  }

  get busy() { return Boolean(this.drag?.shape || this.nudged); }
  get shape() { return this.kind ? this.answer[this.kind] : null; }

  /** Show a frame; `picture` null while it is on its way. */
  show(picture, frame, kind) {
    this.cancel();
    const other = picture !== this.picture;
    this.picture = picture;
    if (other && picture) {
      [this.canvas.width, this.canvas.height] = [picture.width, picture.height];
      this.grey = { ...FULL };
      this.view.fitted = true;
      this.paint();
      this.resized();
    }
    this.canvas.hidden = !picture;
    this.set(frame, kind);
  }

  /** Show a frame's answer. */
  set(frame, kind) {
    this.frame = frame;
    this.answer = frame.answer;
    this.kind = kind;
    this.build();
    this.later();
  }

  // ------------------------------------------------------------------------------------------------ picture

  paint() {
    const { rgba, width, height } = this.picture;
    const table = new Uint8ClampedArray(256);
    for (let v = 0; v < 256; v++) table[v] = ((v - this.grey.level) / this.grey.window + 0.5) * 255;
    const out = new ImageData(width, height), from = rgba.data, to = out.data;
    for (let i = 0; i < from.length; i += 4) {
      to[i] = table[from[i]];
      to[i + 1] = table[from[i + 1]];
      to[i + 2] = table[from[i + 2]];
      to[i + 3] = 255;
    }
    this.canvas.getContext("2d").putImageData(out, 0, 0);
  }

  changeGrey(window, level) {
    if (!this.picture) return;
    this.grey.window = Math.min(Math.max(this.grey.window + window, 8), 512);
    this.grey.level = Math.min(Math.max(this.grey.level + level, 0), 255);
    this.later(true);
  }

  resized() {
    if (!this.picture) return;
    if (this.view.fitted) this.fit();
    this.later();
  }

  fit() {
    const { clientWidth: w, clientHeight: h } = this.box, { width, height } = this.picture;
    const scale = Math.min(w / width, h / height);
    this.view = { scale, x: (w - width * scale) / 2, y: (h - height * scale) / 2, fitted: true };
    this.on.view();
    this.later();
  }

  zoom(factor, at = { x: this.box.clientWidth / 2, y: this.box.clientHeight / 2 }) {
    if (!this.picture) return;
    const { scale, x, y } = this.view;
    const next = Math.min(Math.max(scale * factor, 0.1), MAX_SCALE), k = next / scale;
    this.view = { scale: next, x: at.x - (at.x - x) * k, y: at.y - (at.y - y) * k, fitted: false };
    this.on.view();
    this.later();
  }

  // ------------------------------------------------------------------------------------------------ outline

  build() {
    const held = document.activeElement?.dataset?.handle;
    this.svg.replaceChildren();
    this.svg.dataset.kind = this.kind ?? "";
    this.parts = null;
    const shape = this.shape;
    if (!shape) return;
    const tag = this.kind === "ellipse" ? "ellipse" : "line";
    const parts = { machine: element(tag, "machine"), shade: element(tag, "shade"), line: element(tag, "line"), axes: [], handles: [] };
    for (let i = 0; i < 2; i++) parts.axes.push(element("line", "axis"));
    this.svg.append(parts.machine, ...parts.axes, parts.shade, parts.line);
    for (const h of handles(this.kind, shape)) {
      const group = element("g", "handle");
      group.dataset.handle = h.id;
      group.setAttribute("tabindex", "0");
      group.setAttribute("role", "button");
      const dot = h.id === "turn" ? element("rect", "dot") : element("circle", "dot");
      for (const [k, v] of Object.entries(h.id === "turn" ? { x: -6, y: -6, width: 12, height: 12, transform: "rotate(45)" } : { r: 6 })) dot.setAttribute(k, v);
      const hit = element("circle", "hit");
      hit.setAttribute("r", matchMedia("(pointer: coarse)").matches ? 24 : 14);
      group.append(hit, dot);
      parts.handles.push(group);
      this.svg.append(group);
    }
    this.parts = parts;
    if (held) this.handle(held)?.focus({ preventScroll: true });
  }

  handle(id) { return this.parts?.handles.find((h) => h.dataset.handle === id); }
  focusHandle(n) { this.parts?.handles[n]?.focus({ preventScroll: true }); }
  get focused() { return this.parts?.handles.find((h) => h === document.activeElement)?.dataset.handle; }

  later(grey = false) {
    this.dirty ||= grey;
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      if (this.dirty && this.picture) this.paint();
      this.dirty = false;
      this.draw();
    });
  }

  draw() {
    const { scale, x, y } = this.view;
    this.canvas.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    this.canvas.dataset.near = String(scale > 3);
    this.svg.classList.toggle("off", !this.options.outline);
    if (this.parts && this.shape) this.place(this.shape);
    this.drawGlass();
    if (this.drag?.time) {
      performance.measure("drag", { start: this.drag.time, end: performance.now() });
      this.drag.time = 0;
    }
  }

  place(shape) {
    const { scale, x, y } = this.view, at = (p) => [p.x * scale + x, p.y * scale + y];
    const { parts } = this;
    const changed = JSON.stringify(shape) !== JSON.stringify(this.frame.machine[this.kind]);
    this.svg.dataset.status = this.answer.decision || (changed ? "corrected" : this.frame.status);
    outline(parts.shade, this.kind, shape, this.view);
    outline(parts.line, this.kind, shape, this.view);
    const machine = this.frame.machine[this.kind];
    parts.machine.toggleAttribute("hidden", !(changed && machine));
    if (changed && machine) outline(parts.machine, this.kind, machine, this.view);
    const places = handles(this.kind, shape);
    places.forEach((h, i) => {
      const [px, py] = at(h), group = parts.handles[i];
      group.setAttribute("transform", `translate(${px.toFixed(2)} ${py.toFixed(2)})`);
      group.setAttribute("aria-label", `${h.label}, x ${h.x.toFixed(1)}, y ${h.y.toFixed(1)} pixels`);
    });
    if (this.kind === "ellipse") {
      line(parts.axes[0], at(places[1]), at(places[2]));
      line(parts.axes[1], at(places[3]), at(places[4]));
    } else {
      const [a, b] = places.map(at), length = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
      const [nx, ny] = [(-TICK * (b[1] - a[1])) / length, (TICK * (b[0] - a[0])) / length];
      [a, b].forEach((p, i) => line(parts.axes[i], [p[0] - nx, p[1] - ny], [p[0] + nx, p[1] + ny]));
    }
  }

  drawGlass() {
    const id = this.drag?.id ?? this.focused;
    const spot = id && this.shape && handles(this.kind, this.shape).find((h) => h.id === id);
    const seen = Boolean(this.options.magnifier && spot && this.picture && this.options.outline);
    this.glass.classList.toggle("on", seen);
    if (!seen) return;
    const context = this.glass.getContext("2d"), k = Math.max(this.view.scale * MAGNIFIED, 2) * 2, half = GLASS / 2;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, GLASS, GLASS);
    context.setTransform(k, 0, 0, k, half - spot.x * k, half - spot.y * k);
    context.imageSmoothingEnabled = k < 6;
    context.drawImage(this.canvas, 0, 0);
    context.beginPath();
    if (this.kind === "ellipse") context.ellipse(...this.shape, 0, 2 * Math.PI);
    else { context.moveTo(this.shape[0], this.shape[1]); context.lineTo(this.shape[2], this.shape[3]); }
    context.lineWidth = 3 / k;
    context.strokeStyle = "#62c8f5";
    context.stroke();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#fff";
    for (const [px, py, w, h] of [[half - 1, half - 22, 2, 16], [half - 1, half + 6, 2, 16], [half - 22, half - 1, 16, 2], [half + 6, half - 1, 16, 2]]) context.fillRect(px, py, w, h);
    const { scale, x, y } = this.view, size = GLASS / 2, gap = 36, { clientWidth: w } = this.box;
    const px = spot.x * scale + x, py = spot.y * scale + y;
    const left = px + gap + size < w ? px + gap : px - gap - size;
    const top = Math.max(py - gap - size, 8);
    this.glass.style.transform = `translate(${Math.max(left, 8)}px, ${top}px)`;
  }

  // ------------------------------------------------------------------------------------------------ pointer

  point(e) {
    const box = this.box.getBoundingClientRect();
    return { x: e.clientX - box.left, y: e.clientY - box.top };
  }

  inFrame(p) { return { x: (p.x - this.view.x) / this.view.scale, y: (p.y - this.view.y) / this.view.scale }; }

  down(e) {
    if (!this.picture || e.button > 0) return;
    this.pointers.set(e.pointerId, this.point(e));
    this.svg.setPointerCapture(e.pointerId);
    if (this.pointers.size === 2) {
      this.cancel();
      this.drag = { pinch: true };
      return;
    }
    const at = this.inFrame(this.point(e)), group = e.target.closest(".handle");
    performance.clearMeasures("drag");
    if (group && !this.options.draw) {
      e.preventDefault();
      group.focus({ preventScroll: true });
      this.drag = { id: group.dataset.handle, from: at, shape: this.shape, before: this.answer };
    } else if (this.options.draw && this.kind) {
      this.drag = { drawing: true, from: at, shape: this.shape ?? [], before: this.answer };
    } else {
      document.activeElement?.blur?.();
      this.drag = { pan: true, grey: this.options.window };
    }
    this.later();
  }

  moved(e) {
    const last = this.pointers.get(e.pointerId), drag = this.drag;
    if (!last || !drag) return;
    const now = this.point(e);
    if (drag.pinch) this.pinch(e.pointerId, last, now);
    this.pointers.set(e.pointerId, now);
    if (drag.pinch) return;
    const dx = now.x - last.x, dy = now.y - last.y;
    if (drag.grey) this.changeGrey(dx, -dy / 2);
    else if (drag.pan) {
      this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy, fitted: false };
      this.later();
    } else {
      drag.time = e.timeStamp;
      drag.moved = true;
      const shape = drag.drawing ? this.drawing(drag.from, this.inFrame(now)) : dragged(this.kind, drag.shape, drag.id, drag.from, this.inFrame(now));
      if (shape) this.edit(shape);
    }
  }

  drawing(from, to) { return drawn(this.kind, from, to, NEW_ROUNDNESS[this.answer.plane]); }

  edit(shape) {
    this.answer = { ...this.answer, [this.kind]: shape };
    if (!this.parts) this.build();
    this.on.live(this.answer);
    this.later();
  }

  pinch(id, last, now) {
    const other = [...this.pointers].find(([k]) => k !== id)?.[1];
    if (!other) return;
    const apart = (p) => Math.hypot(p.x - other.x, p.y - other.y) || 1;
    this.view = { ...this.view, x: this.view.x + (now.x - last.x) / 2, y: this.view.y + (now.y - last.y) / 2 };
    this.zoom(apart(now) / apart(last), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
  }

  up(e) {
    this.pointers.delete(e.pointerId);
    const drag = this.drag;
    if (drag?.pinch ? this.pointers.size : !drag) return;
    this.drag = null;
    if (drag.shape && e.type === "pointercancel") this.restore(drag.before);
    else if (drag.shape && drag.moved) this.commit(drag.drawing ? "draw" : actionOf(drag.id));
    this.later();
  }

  cancel() {
    const before = this.drag?.before ?? this.nudged?.before;
    this.drag = this.nudged = null;
    if (before) this.restore(before);
  }

  restore(answer) {
    this.answer = answer;
    this.on.live(answer);
    this.build();
    this.later();
  }

  commit(action) {
    if (!this.shape) return;
    const shape = this.kind === "ellipse" ? canonical(this.shape) : this.shape;
    this.on.edit(action, { ...this.answer, [this.kind]: shape });
  }

  // ------------------------------------------------------------------------------------------------ keyboard

  /** Move the focused handle; false if none has the focus. Arrows turn by half a degree at the turning handle. */
  nudge(key, step) {
    const id = this.focused;
    if (!id || !this.shape) return false;
    const [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[key];
    this.nudged ??= { before: this.answer, action: actionOf(id) };
    if (id === "turn") {
      const shape = [...this.shape];
      shape[4] += ((dx + dy) * Math.PI) / 360;
      this.edit(shape);
    } else this.edit(dragged(this.kind, this.shape, id, { x: 0, y: 0 }, { x: dx, y: dy }));
    return true;
  }

  finishNudge() {
    if (!this.nudged) return;
    const { action } = this.nudged;
    this.nudged = null;
    this.commit(action);
  }

  /** A new shape in the middle of the picture. */
  drawInMiddle() {
    if (!this.kind || !this.picture) return;
    const { width, height } = this.picture, y = height / 2;
    this.edit(this.drawing({ x: width * 0.3, y }, { x: width * 0.7, y }));
    this.commit("draw");
  }
}

function element(tag, name) {
  const made = document.createElementNS(SVG, tag);
  made.setAttribute("class", name);
  return made;
}

function line(node, [x1, y1], [x2, y2]) {
  for (const [k, v] of Object.entries({ x1, y1, x2, y2 })) node.setAttribute(k, v.toFixed(2));
}

function outline(node, kind, shape, { scale, x, y }) {
  if (kind === "shaft") {
    line(node, [shape[0] * scale + x, shape[1] * scale + y], [shape[2] * scale + x, shape[3] * scale + y]);
    return;
  }
  node.setAttribute("rx", shape[2] * scale);
  node.setAttribute("ry", shape[3] * scale);
  node.setAttribute("transform", `translate(${shape[0] * scale + x} ${shape[1] * scale + y}) rotate(${(shape[4] * 180) / Math.PI})`);
}
