// The picture, the outline over it and its handles: zoom, pan, window and level, magnifier, drag and keyboard.

import { axes, element, handle, magnify, outline, spotOf } from "./drawing.js";
import { actionOf, aspectOf, canonical, dragged, drawn, handles, nearestEnd, scaled } from "./geometry.js";

const MAX_SCALE = 16, COARSE = 24, FINE = 14;
const FULL = { window: 256, level: 128 };
const NEW_ROUNDNESS = { head: 0.78, abdomen: 0.95 };

export class Stage {
  /** on: {edit(action, part of the answer), live(answer), restore(), planeless(), view()} */
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
    this.reach = matchMedia("(pointer: coarse)").matches ? COARSE : FINE;
    this.measureBox();
    new ResizeObserver(() => this.resized()).observe(box);
    this.svg.addEventListener("pointerdown", (e) => this.down(e));
    this.svg.addEventListener("pointermove", (e) => this.moved(e));
    for (const end of ["pointerup", "pointercancel"]) this.svg.addEventListener(end, (e) => this.up(e));
    // of the box: Chromium takes an SVG that listens to the focus for a place to stop at
    box.addEventListener("focusin", () => { this.released = false; this.reveal(); this.later(); });
    box.addEventListener("focusout", () => { this.finishNudge(); this.later(); });
    this.svg.addEventListener("keyup", (e) => e.key.startsWith("Arrow") && this.finishNudge());
    box.addEventListener("wheel", (e) => {
      e.preventDefault();
      this.measureBox();
      this.zoom(Math.exp(-e.deltaY / 400), this.point(e));
    }, { passive: false });
  }

  get busy() { return Boolean(this.drag?.shape || this.nudged); }
  get aspect() { return aspectOf(this.frame.spacing_mm); }
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
    if (this.drag?.shape && kind !== this.kind) this.drag = null; // the handle that is held is of the other shape
    this.frame = frame;
    this.answer = frame.answer;
    this.kind = kind;
    this.build();
    this.now(); // new handles lie at the corner until they are placed
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

  /** Where the stage is, so that nothing asks for the layout while a handle moves. */
  measureBox() {
    this.size = this.box.getBoundingClientRect();
  }

  resized() {
    this.measureBox();
    if (!this.picture) return;
    if (this.view.fitted) this.fit();
    this.later();
  }

  /** The whole picture, as it was measured. */
  reset() {
    this.grey = { ...FULL };
    this.fit();
    this.later(true);
  }

  fit() {
    const { width: w, height: h } = this.size, { width, height } = this.picture;
    const scale = Math.min(w / width, h / height);
    this.view = { scale, x: (w - width * scale) / 2, y: (h - height * scale) / 2, fitted: true };
    this.on.view();
    this.later();
  }

  /** Zoom about a point of the stage: by a key about the chosen handle. */
  zoom(factor, at = this.spot ?? { x: this.size.width / 2, y: this.size.height / 2 }) {
    if (!this.picture) return;
    const { scale, x, y } = this.view;
    const next = Math.min(Math.max(scale * factor, 0.1), MAX_SCALE), k = next / scale;
    this.view = { scale: next, x: at.x - (at.x - x) * k, y: at.y - (at.y - y) * k, fitted: false };
    this.on.view();
    this.later();
  }

  // ------------------------------------------------------------------------------------------------ outline

  /** Make the outline's parts; those that are there stay, so that a handle under the pointer is the same one. */
  build() {
    const readings = this.frame.readings ?? [], made = JSON.stringify([this.kind, Boolean(this.shape), readings]);
    if (made === this.made) return;
    this.made = made;
    const held = document.activeElement?.dataset?.handle;
    this.svg.replaceChildren();
    this.svg.dataset.kind = this.kind ?? "";
    this.parts = null;
    const shape = this.shape;
    if (!shape) return;
    const tag = this.kind === "ellipse" ? "ellipse" : "line";
    const parts = { machine: element(tag, "machine"), shade: element(tag, "shade"), line: element(tag, "line"), axes: [], handles: [] };
    for (let i = 0; i < 2; i++) parts.axes.push(element("line", "axis"));
    parts.others = readings.flatMap((reading, i) => (reading.answer[this.kind] && i ? [{ shape: reading.answer[this.kind], node: element(tag, `other other-${i}`) }] : []));
    this.svg.append(parts.machine, ...parts.others.map((o) => o.node), ...parts.axes, parts.shade, parts.line);
    for (const h of handles(this.kind, shape, this.aspect)) {
      const group = handle(h.id, this.reach);
      parts.handles.push(group);
      this.svg.append(group);
    }
    this.parts = parts;
    if (held) this.handle(held)?.focus({ preventScroll: true });
  }

  handle(id) { return this.parts?.handles.find((h) => h.dataset.handle === id); }
  focusHandle(n) {
    this.released = false;
    this.parts?.handles[n]?.focus({ preventScroll: true });
    this.later();
  }
  get focused() { return this.parts?.handles.find((h) => h === document.activeElement)?.dataset.handle; }
  /** Where the chosen handle is on the stage; null without one. */
  get spot() {
    const id = this.focused, at = id && this.shape && spotOf(this.kind, this.shape, id, this.aspect);
    return at ? { x: at.x * this.view.scale + this.view.x, y: at.y * this.view.scale + this.view.y } : null;
  }

  /** Bring the handle that a key has chosen or moved into sight: another part may be enlarged. */
  reveal() {
    const { spot } = this;
    if (!spot || this.pointers.size) return;
    const out = (at, room) => (at < 0 ? at - this.reach : at > room ? at - room + this.reach : 0);
    const dx = out(spot.x, this.size.width), dy = out(spot.y, this.size.height);
    if (dx || dy) this.view = { ...this.view, x: this.view.x - dx, y: this.view.y - dy, fitted: false };
  }

  later(grey = false) {
    this.dirty ||= grey;
    this.pending ??= requestAnimationFrame(() => this.now());
  }

  now() {
    cancelAnimationFrame(this.pending);
    this.pending = null;
    if (this.dirty && this.picture) this.paint();
    this.dirty = false;
    this.draw();
  }

  draw() {
    const { scale, x, y } = this.view;
    if (this.drawnView !== this.view) {
      this.canvas.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
      this.canvas.dataset.near = String(scale > 3);
      this.drawnView = this.view;
    }
    this.svg.classList.toggle("off", !this.options.outline);
    if (this.parts && this.shape) this.place(this.shape);
    if (this.changed) this.on.live(this.answer);
    this.changed = false;
    this.drawGlass();
    if (this.drag?.time) {
      performance.measure("drag", { start: this.drag.time, end: performance.now() });
      this.drag.time = 0;
    }
  }

  place(shape) {
    const { scale, x, y } = this.view, { parts } = this;
    const machine = this.frame.machine[this.kind];
    const changed = JSON.stringify(shape) !== JSON.stringify(machine);
    this.svg.dataset.status = this.answer.decision || (changed ? "corrected" : this.frame.status);
    outline(parts.shade, this.kind, shape, this.view);
    outline(parts.line, this.kind, shape, this.view);
    parts.machine.toggleAttribute("hidden", !(changed && machine));
    if (changed && machine) outline(parts.machine, this.kind, machine, this.view);
    for (const other of parts.others) outline(other.node, this.kind, other.shape, this.view);
    const places = handles(this.kind, shape, this.aspect), ends = places.map((p) => [p.x * scale + x, p.y * scale + y]);
    ends.forEach(([px, py], i) => parts.handles[i].setAttribute("transform", `translate(${px.toFixed(2)} ${py.toFixed(2)})`));
    axes(parts.axes, this.kind, ends);
    if (!this.drag) this.label(places); // the accessibility tree is not rebuilt while a handle moves
  }

  label(places) {
    places.forEach((h, i) => this.parts.handles[i].setAttribute("aria-label", `${h.label}, x ${h.x.toFixed(1)}, y ${h.y.toFixed(1)} pixels`));
  }

  drawGlass() {
    const id = this.drag?.id ?? (this.released ? null : this.focused);
    const spot = id && this.shape && spotOf(this.kind, this.shape, id, this.aspect);
    const seen = Boolean(this.options.magnifier && spot && this.picture && this.options.outline);
    if (seen !== this.glassOn) this.glass.classList.toggle("on", (this.glassOn = seen));
    if (seen) magnify(this.glass, this.canvas, spot, this.kind, this.shape, this.view, this.size.width);
  }

  // ------------------------------------------------------------------------------------------------ pointer

  point(e) {
    return { x: e.clientX - this.size.left, y: e.clientY - this.size.top };
  }

  inFrame(p) { return { x: (p.x - this.view.x) / this.view.scale, y: (p.y - this.view.y) / this.view.scale }; }

  down(e) {
    if (!this.picture || e.button > 0) return;
    this.measureBox(); // the page may have scrolled
    this.pointers.set(e.pointerId, this.point(e));
    this.svg.setPointerCapture(e.pointerId);
    if (this.pointers.size > 1) { // also a palm beside two fingers
      this.cancel();
      this.drag = { pinch: true };
      return;
    }
    const at = this.inFrame(this.point(e)), group = e.target.closest(".handle");
    performance.clearMeasures("drag");
    if (group && !this.options.draw) {
      e.preventDefault();
      group.focus({ preventScroll: true });
      this.drag = { id: group.dataset.handle, from: at, shape: this.shape };
    } else if (this.options.draw && this.kind) {
      this.drag = { drawing: true, from: at, shape: this.shape ?? [] };
    } else {
      document.activeElement?.blur?.();
      if (this.options.draw) this.on.planeless();
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
    if (!dx && !dy) return; // a pen tells its pressure, too
    if (drag.grey) this.changeGrey(dx, -dy / 2);
    else if (drag.pan) {
      this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy, fitted: false };
      this.later();
    } else {
      drag.time = e.timeStamp;
      const shape = drag.drawing ? this.drawing(drag.from, this.inFrame(now)) : dragged(this.kind, drag.shape, drag.id, drag.from, this.inFrame(now), this.aspect);
      if (shape) this.edit(shape);
      drag.moved ||= Boolean(shape);
      this.now(); // the browser gives one of these events a frame: there is nothing to wait for
    }
  }

  drawing(from, to) { return drawn(this.kind, from, to, NEW_ROUNDNESS[this.answer.plane], this.aspect); }

  edit(shape) {
    this.answer = { ...this.answer, [this.kind]: shape };
    if (!this.parts) this.build();
    this.changed = true;
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
    this.released = true; // the handle keeps the focus, the magnifier goes
    if (drag.shape && e.type === "pointercancel") this.restore();
    else if (drag.moved) this.commit(drag);
    this.later();
  }

  cancel() {
    const moved = this.busy;
    this.drag = this.nudged = null;
    if (moved) this.restore();
  }

  /** Show the page's answer again, which may be a newer one than the handle was moved from. */
  restore() {
    this.changed = true;
    this.on.restore();
  }

  /** Before something else is shown: what a held key moved is recorded, a drag is given up, no handle is chosen. */
  leave() {
    this.finishNudge();
    this.cancel();
    this.letGo();
  }

  /** No handle is chosen any more, so that the next arrow moves none; what a held key moved is recorded. */
  letGo() {
    if (this.focused) document.activeElement.blur();
  }

  /** Record what a handle, `id`, has made of `shape`, or what was drawn. */
  commit({ id, shape: before }) {
    if (!this.shape) return;
    const action = id ? actionOf(id) : "draw";
    const from = action === "pull" && this.focused === id && spotOf(this.kind, before, id, this.aspect);
    const shape = this.kind === "ellipse" ? canonical(this.shape) : this.shape;
    this.on.edit(action, { [this.kind]: shape });
    if (from) this.handle(nearestEnd(this.kind, shape, from, this.aspect))?.focus({ preventScroll: true });
  }

  // ------------------------------------------------------------------------------------------------ keyboard

  /** Move the focused handle; false if none has the focus. Arrows turn by half a degree at the turning handle. */
  nudge(key, step) {
    const id = this.focused;
    if (!id || !this.shape) return false;
    const [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[key];
    const by = (this.nudged ??= { id, shape: this.shape, x: 0, y: 0 });
    by.x += dx;
    by.y += dy;
    this.released = false;
    if (id === "turn") {
      const shape = scaled(by.shape, 1, this.aspect);
      shape[4] += ((by.x + by.y) * Math.PI) / 360;
      this.edit(scaled(shape, 1, 1 / this.aspect));
    } else this.edit(dragged(this.kind, by.shape, id, { x: 0, y: 0 }, by, this.aspect));
    this.reveal();
    return true;
  }

  finishNudge() {
    if (!this.nudged) return;
    const by = this.nudged;
    this.nudged = null;
    this.commit(by);
  }

  /** A new shape in the middle of the picture. */
  drawInMiddle() {
    if (!this.picture) return;
    if (!this.kind) return this.on.planeless();
    const { width, height } = this.picture, y = height / 2;
    this.edit(this.drawing({ x: width * 0.3, y }, { x: width * 0.7, y }));
    this.commit({});
  }
}
