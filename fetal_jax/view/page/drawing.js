// What the stage draws: outlines in SVG, and the magnifier.

import { handles } from "./geometry.js";

const SVG = "http://www.w3.org/2000/svg";
const MAGNIFIED = 3, GLASS = 320, TICK = 18, GAP = 36;

export function element(tag, name) {
  const made = document.createElementNS(SVG, tag);
  made.setAttribute("class", name);
  return made;
}

export function line(node, [x1, y1], [x2, y2]) {
  for (const [k, v] of Object.entries({ x1, y1, x2, y2 })) node.setAttribute(k, v.toFixed(2));
}

export function outline(node, kind, shape, { scale, x, y }) {
  if (kind === "shaft") {
    line(node, [shape[0] * scale + x, shape[1] * scale + y], [shape[2] * scale + x, shape[3] * scale + y]);
    return;
  }
  node.setAttribute("rx", shape[2] * scale);
  node.setAttribute("ry", shape[3] * scale);
  node.setAttribute("transform", `translate(${shape[0] * scale + x} ${shape[1] * scale + y}) rotate(${(shape[4] * 180) / Math.PI})`);
}

/** The axes of an ellipse, or the ticks at the ends of a shaft; `ends` are its handles on the screen. */
export function axes(nodes, kind, ends) {
  if (kind === "ellipse") {
    line(nodes[0], ends[1], ends[2]);
    line(nodes[1], ends[3], ends[4]);
    return;
  }
  const [a, b] = ends, length = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
  const [nx, ny] = [(-TICK * (b[1] - a[1])) / length, (TICK * (b[0] - a[0])) / length];
  ends.forEach((p, i) => line(nodes[i], [p[0] - nx, p[1] - ny], [p[0] + nx, p[1] + ny]));
}

/** A handle: a place to take hold of, and what is seen of it. */
export function handle(id, radius) {
  const group = element("g", "handle"), turns = id === "turn";
  group.dataset.handle = id;
  group.setAttribute("tabindex", "0");
  group.setAttribute("role", "button");
  const dot = element(turns ? "rect" : "circle", "dot"), hit = element("circle", "hit");
  for (const [k, v] of Object.entries(turns ? { x: -6, y: -6, width: 12, height: 12, transform: "rotate(45)" } : { r: 6 })) dot.setAttribute(k, v);
  hit.setAttribute("r", radius);
  group.append(hit, dot);
  return group;
}

/** Draw what is under a handle, enlarged, and put the glass beside it; `width` is that of the stage. */
export function magnify(glass, picture, spot, kind, shape, view, width) {
  const context = glass.getContext("2d"), k = Math.max(view.scale * MAGNIFIED, 2) * 2, half = GLASS / 2, reach = half / k;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = "#000";
  context.fillRect(0, 0, GLASS, GLASS);
  context.setTransform(k, 0, 0, k, half - spot.x * k, half - spot.y * k);
  context.imageSmoothingEnabled = k < 6;
  const left = Math.max(Math.floor(spot.x - reach), 0), top = Math.max(Math.floor(spot.y - reach), 0);
  const right = Math.min(Math.ceil(spot.x + reach), picture.width), bottom = Math.min(Math.ceil(spot.y + reach), picture.height);
  if (right > left && bottom > top) context.drawImage(picture, left, top, right - left, bottom - top, left, top, right - left, bottom - top);
  trace(context, kind, shape);
  context.lineWidth = 3 / k;
  context.strokeStyle = "#62c8f5";
  context.stroke();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = "#fff";
  for (const [px, py, w, h] of [[half - 1, half - 22, 2, 16], [half - 1, half + 6, 2, 16], [half - 22, half - 1, 16, 2], [half + 6, half - 1, 16, 2]]) context.fillRect(px, py, w, h);
  const px = spot.x * view.scale + view.x, py = spot.y * view.scale + view.y;
  const beside = px + GAP + half < width ? px + GAP : px - GAP - half;
  glass.style.transform = `translate(${Math.max(beside, 8)}px, ${Math.max(py - GAP - half, 8)}px)`;
}

/** The path of a shape in the frame's pixels. */
export function trace(context, kind, shape) {
  context.beginPath();
  if (kind === "ellipse") context.ellipse(...shape, 0, 2 * Math.PI);
  else {
    context.moveTo(shape[0], shape[1]);
    context.lineTo(shape[2], shape[3]);
  }
}

/** A frame with its outline, as small as its canvas is wide. */
export function thumbnail(canvas, picture, kind, shape) {
  const whole = new OffscreenCanvas(picture.width, picture.height);
  whole.getContext("2d").putImageData(picture.rgba, 0, 0);
  const context = canvas.getContext("2d"), k = Math.min(canvas.width / picture.width, canvas.height / picture.height);
  context.setTransform(k, 0, 0, k, (canvas.width - k * picture.width) / 2, (canvas.height - k * picture.height) / 2);
  context.drawImage(whole, 0, 0);
  if (!shape) return;
  trace(context, kind, shape);
  context.lineWidth = 2.5 / k;
  context.strokeStyle = "#62c8f5";
  context.stroke();
}

/** The place of a handle in the frame; null if the shape has none of this name. */
export const spotOf = (kind, shape, id, aspect) => handles(kind, shape, aspect).find((h) => h.id === id) ?? null;
