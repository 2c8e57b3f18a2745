// Shapes in frame pixels and their millimetres, as fetal_jax/geometry.py has them. Pure functions.

/** Exact perimeter of an ellipse with semi-axes a, b, by the arithmetic-geometric mean. */
export function perimeter(a, b) {
  let x = Math.max(a, b), y = Math.min(a, b), sum = 0, power = 0.5;
  const square = x * x;
  let c = square - y * y;
  for (let n = 0; n < 40; n++) {
    sum += power * c;
    if (Math.abs(x - y) <= 1e-15 * x) break;
    const mean = (x + y) / 2, half = (x - y) / 2;
    y = Math.sqrt(x * y);
    x = mean;
    c = half * half;
    power *= 2;
  }
  return (2 * Math.PI / x) * (square - sum);
}

/** An ellipse after scaling x and y. */
export function scaled([cx, cy, a, b, theta], sx, sy) {
  if (sx === sy) return [cx * sx, cy * sy, a * sx, b * sx, theta];
  const c = Math.cos(theta), s = Math.sin(theta);
  const m00 = sx * c * a, m01 = -sx * s * b, m10 = sy * s * a, m11 = sy * c * b;
  const e = (m00 + m11) / 2, f = (m00 - m11) / 2, g = (m10 + m01) / 2, h = (m10 - m01) / 2;
  const q = Math.hypot(e, h), r = Math.hypot(f, g);
  return [cx * sx, cy * sy, q + r, Math.abs(q - r), (Math.atan2(h, e) + Math.atan2(g, f)) / 2];
}

const SLACK = 1; // pixels, as fetal_jax/reading/spacing.py has it

/** Whether one of the regions that the scale holds for contains a whole outline; without regions, anywhere. */
export function covered(regions, kind, s) {
  const c = Math.cos(s[4]), n = Math.sin(s[4]), dx = Math.hypot(c * s[2], n * s[3]), dy = Math.hypot(n * s[2], c * s[3]);
  const [x0, y0, x1, y1] = kind === "shaft"
    ? [Math.min(s[0], s[2]), Math.min(s[1], s[3]), Math.max(s[0], s[2]), Math.max(s[1], s[3])]
    : [s[0] - dx, s[1] - dy, s[0] + dx, s[1] + dy];
  return !regions.length || regions.some(([l, t, r, b]) => l - SLACK <= x0 && t - SLACK <= y0 && x1 <= r + SLACK && y1 <= b + SLACK);
}

/** Millimetres of an answer; spacing is [row, column] or null. */
export function millimetres(answer, kind, { spacing_mm: spacing, regions }) {
  const shape = kind && answer[kind];
  if (!shape || !spacing || !covered(regions, kind, shape)) return {};
  const [sy, sx] = spacing;
  if (kind === "shaft") return { fl_mm: Math.hypot((shape[2] - shape[0]) * sx, (shape[3] - shape[1]) * sy) };
  const [, , long, short] = canonical(scaled(shape, sx, sy)); // while an end is pulled past the other axis, too
  const around = perimeter(long, short);
  if (answer.plane === "head") return { hc_mm: around, bpd_mm: 2 * short, ofd_mm: 2 * long };
  return { ac_mm: around, long_mm: 2 * long, short_mm: 2 * short };
}

/** The same ellipse with a >= b and theta in [-pi/2, pi/2). */
export function canonical([cx, cy, a, b, theta]) {
  if (a < b) [a, b, theta] = [b, a, theta + Math.PI / 2];
  const turns = Math.floor((theta + Math.PI / 2) / Math.PI);
  return [cx, cy, a, b, theta - turns * Math.PI];
}

const DIAGONAL = Math.SQRT1_2;
const SHORTEST = 2; // pixels

/** Height of a pixel over its width: axes, turns and roundness are those in millimetres. Without a spacing, 1. */
export const aspectOf = (spacing) => (spacing ? spacing[0] / spacing[1] : 1);

/** Handles of a shape: {id, label, x, y}. */
export function handles(kind, shape, aspect) {
  if (kind === "shaft") {
    return [[0, "First end"], [2, "Second end"]].map(([i, label], n) => ({ id: `end${n}`, label, x: shape[i], y: shape[i + 1] }));
  }
  const [cx, cy, a, b, theta] = scaled(shape, 1, aspect), c = Math.cos(theta), s = Math.sin(theta);
  const at = (u, v) => ({ x: cx + c * a * u - s * b * v, y: (cy + s * a * u + c * b * v) / aspect });
  return [
    { id: "centre", label: "Centre", ...at(0, 0) },
    { id: "long0", label: "Long axis, first end", ...at(-1, 0) },
    { id: "long1", label: "Long axis, second end", ...at(1, 0) },
    { id: "short0", label: "Short axis, first end", ...at(0, -1) },
    { id: "short1", label: "Short axis, second end", ...at(0, 1) },
    { id: "turn", label: "Turn", ...at(DIAGONAL, -DIAGONAL) },
  ];
}

/** The action that a handle's change is recorded as. */
export const actionOf = (id) => (id === "centre" ? "move" : id === "turn" ? "turn" : "pull");

/** The end of a shape that is nearest to a point: one that was pulled past the other axis has another name. */
export function nearestEnd(kind, shape, { x, y }, aspect) {
  const ends = handles(kind, shape, aspect).filter(({ id }) => actionOf(id) === "pull");
  const far = (end) => Math.hypot(end.x - x, end.y - y);
  return ends.reduce((best, end) => (far(end) < far(best) ? end : best)).id;
}

/** The shape after a handle was dragged from one point to another. */
export function dragged(kind, shape, id, from, to, aspect) {
  if (kind === "shaft") {
    const dx = to.x - from.x, dy = to.y - from.y;
    const moved = [...shape], i = id === "end0" ? 0 : 2;
    moved[i] += dx;
    moved[i + 1] += dy;
    return Math.hypot(moved[2] - moved[0], moved[3] - moved[1]) < SHORTEST ? shape : moved;
  }
  const square = (p) => ({ x: p.x, y: p.y * aspect });
  return scaled(draggedEllipse(scaled(shape, 1, aspect), id, square(from), square(to)), 1, 1 / aspect);
}

function draggedEllipse([cx, cy, a, b, theta], id, from, to) {
  const dx = to.x - from.x, dy = to.y - from.y, c = Math.cos(theta), s = Math.sin(theta);
  if (id === "centre") return [cx + dx, cy + dy, a, b, theta];
  if (id === "turn") {
    const angle = (p) => Math.atan2(p.y - cy, p.x - cx);
    return [cx, cy, a, b, theta + angle(to) - angle(from)];
  }
  // the opposite end stays: the axis keeps its direction, its middle moves by half
  const long = id.startsWith("long"), sign = id.endsWith("1") ? 1 : -1;
  const [ux, uy] = long ? [c, s] : [-s, c];
  const old = long ? a : b;
  const half = Math.max(old + (sign * (dx * ux + dy * uy)) / 2, SHORTEST / 2);
  const shift = sign * (half - old);
  return [cx + ux * shift, cy + uy * shift, long ? half : a, long ? b : half, theta];
}

/** A new shape whose long axis goes from one point to another; null if they are too near. */
export function drawn(kind, from, to, roundness, aspect) {
  const length = Math.hypot(to.x - from.x, to.y - from.y);
  if (length < 2 * SHORTEST) return null;
  if (kind === "shaft") return [from.x, from.y, to.x, to.y, null];
  const dx = to.x - from.x, dy = (to.y - from.y) * aspect, a = Math.hypot(dx, dy) / 2;
  const square = [(from.x + to.x) / 2, ((from.y + to.y) / 2) * aspect, a, a * roundness, Math.atan2(dy, dx)];
  return canonical(scaled(square, 1, 1 / aspect));
}
