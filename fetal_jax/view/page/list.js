// The lists of frames and of examinations: those to review first; only the rows in sight are in the document.

import { write } from "./messages.js";

const HEIGHT = 68, SPARE = 6; // as --row in style.css
const ORDER = { apart: -1, unread: 0, review: 0, measured: 1, accepted: 2, refused: 2, error: 3 };
const WORDS = { review: "to review", measured: "measured", refused: "refused", error: "not read", unread: "to read", accepted: "accepted" };
const MARKS = { review: "◇", measured: "●", refused: "○", error: "!", unread: "◇", accepted: "✓" };
export const DECIDED = { accepted: "✓", rejected: "✕" };

/** The status of a frame with a reader's answer: a corrected one is to review until it is decided on. */
export const statusOf = (status, answer) => (answer?.edited && !answer.decision ? "review" : status);

export class FrameList {
  constructor(box, rows, onChoose, prefix = "row", name = "frame") {
    this.box = box;
    this.open = onChoose;
    this.name = name;
    this.prefix = prefix;
    this.space = rows;
    this.all = [];
    this.shown = [];
    this.answers = new Map();
    this.current = null;
    this.text = "";
    this.elements = new Map();
    /** Whether a frame has a change that cannot be written now. */
    this.isKept = () => false;
    box.addEventListener("scroll", () => this.render(), { passive: true });
    new ResizeObserver(() => this.render()).observe(box);
    rows.addEventListener("click", (e) => {
      const row = e.target.closest("[data-n]");
      if (row) onChoose(Number(row.dataset.n));
    });
  }

  add(rows, answers) {
    for (const row of rows) this.all[row.n] = row;
    for (const [n, answer] of Object.entries(answers)) this.answers.set(Number(n), answer);
    if (rows.length) this.sort();
    else if (Object.keys(answers).length) this.refresh();
  }

  filter(text) {
    this.text = text;
    this.sort();
    this.box.scrollTop = 0;
    this.render();
  }

  /** Whether the search hides the one in sight. */
  get without() { return this.current !== null && !this.places.has(this.current); }

  /** How many rows the search hides. */
  get hides() { return this.there.length - this.shown.length; }

  /** The rows that can be listed. */
  get there() { return this.all; }

  sort() {
    const text = this.text.toLowerCase();
    const wanted = this.there.filter((row) => row.name.toLowerCase().includes(text));
    const order = (row) => ORDER[row.apart?.first ? "apart" : row.status];
    this.shown = wanted.sort((p, q) => order(p) - order(q) || p.n - q.n);
    this.places = new Map(this.shown.map((row, i) => [row.n, i]));
    this.space.style.height = `${this.shown.length * HEIGHT}px`;
    this.refresh();
  }

  /** Show what has changed: rows that are there stay, so that a row under the pointer is the same one. */
  refresh() {
    this.render(true);
  }

  /** Put the rows in sight into the document, in their order; `all` writes those anew that are there already. */
  render(all = false) {
    const first = Math.max(0, Math.floor(this.box.scrollTop / HEIGHT) - SPARE);
    const last = Math.min(this.shown.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / HEIGHT) + SPARE);
    for (const [n, element] of this.elements) {
      const i = this.places.get(n) ?? -1;
      if (i < first || i >= last) {
        element.remove();
        this.elements.delete(n);
      }
    }
    let at = this.space.firstElementChild;
    for (let i = first; i < last; i++) {
      const { n } = this.shown[i], old = this.elements.get(n), element = old ?? this.element(n);
      if (all || !old) this.fill(element, i);
      if (element === at) at = at.nextElementSibling;
      else this.space.insertBefore(element, at);
    }
  }

  element(n) {
    const element = document.createElement("div");
    element.className = "row";
    element.id = `${this.prefix}-${n}`;
    element.dataset.n = n;
    element.setAttribute("role", "option");
    element.append(part("mark", true), part("title"), part("said"), part("value"));
    this.elements.set(n, element);
    return element;
  }

  fill(element, i) {
    const row = this.shown[i], answer = this.answers.get(row.n);
    const decision = answer?.decision || "", status = statusOf(row.status, answer);
    element.dataset.status = status;
    element.dataset.decision = decision;
    element.style.transform = `translateY(${i * HEIGHT}px)`;
    element.setAttribute("aria-selected", String(row.n === this.current));
    element.setAttribute("aria-posinset", i + 1);
    element.setAttribute("aria-setsize", this.shown.length);
    const said = [decision ? DECIDED[decision] : MARKS[status], row.name, ...this.words(row, answer)];
    said.forEach((text, k) => write(element.children[k], text));
    for (const name of ["title", "said"]) { // a long one is cut
      const node = element.querySelector(`.${name}`);
      node.title = node.textContent;
    }
  }

  /** What is said of a row below its name, and the value to the right. */
  words(row, answer) {
    const mm = answer ? answer.mm : row.mm;
    const said = [row.apart?.text, answer?.decision || WORDS[statusOf(row.status, answer)], answer?.edited ? "corrected" : "", this.isKept(row.n) ? "a change is not written yet" : ""].filter(Boolean).join(", ");
    return [[answer?.plane ?? row.plane ?? "", said].filter(Boolean).join(" · "), mm == null ? "" : `${mm.toFixed(1)} mm`];
  }

  /** Where readers are apart, by number: for an adjudicator. */
  apart(found) {
    for (const [n, apart] of Object.entries(found)) if (this.all[n]) this.all[n].apart = apart;
    if (Object.keys(found).length) this.sort();
  }

  choose(n) {
    this.current = n;
    const i = this.places.get(n);
    for (const [other, element] of this.elements) element.setAttribute("aria-selected", String(other === n));
    if (i === undefined) return;
    const top = i * HEIGHT, height = this.box.clientHeight;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + HEIGHT > this.box.scrollTop + height) this.box.scrollTop = top + HEIGHT - height;
    this.render();
    this.box.setAttribute("aria-activedescendant", `${this.prefix}-${n}`);
  }

  /** Number of the frame `step` places on; null at the end. */
  beside(n, step) {
    const i = this.places.get(n);
    return this.shown[(i ?? -1) + step]?.n ?? null;
  }

  /** The next frame without a decision, from `n` on and around. */
  undecided(n) {
    const start = (this.places.get(n) ?? -1) + 1;
    const turned = [...this.shown.slice(start), ...this.shown.slice(0, start)];
    return turned.find((row) => row.status !== "error" && !this.answers.get(row.n)?.decision)?.n ?? null;
  }

  counts() {
    const decided = [...this.answers.values()].filter((a) => a.decision).length;
    const open = this.all.filter((row) => !this.answers.get(row.n)?.decision).map((row) => statusOf(row.status, this.answers.get(row.n)));
    const blinded = this.all.some((row) => row.status === "unread");
    const [review, unread] = ["review", "unread"].map((status) => open.filter((of) => of === status).length);
    return { all: this.all.length, decided, todo: blinded ? `${unread} to read` : `${review} to review` };
  }
}

/** The examinations: their status is the server's, what is decided follows from their frames. */
export class ExaminationList extends FrameList {
  constructor(box, rows, onChoose) {
    super(box, rows, onChoose, "exam", "examination");
    this.frames = [];
  }

  /** Without those whose frames were all measured again as another's. */
  get there() { return this.all.filter((row) => row.frames.length); }

  /** Take new examinations and frames in; `answers` are those of the frames' list. */
  follow(examinations, rows, changed, answers) {
    for (const { k, name, fetus } of examinations) {
      this.all[k] = { n: k, name: fetus ? `${name} · ${fetus}` : name, status: "measured", judged: "measured", frames: [] };
    }
    const touched = new Set(examinations.map((e) => e.k));
    for (const row of rows) {
      const before = this.frames[row.n]?.k ?? null; // of a frame that was measured again
      this.frames[row.n] = row;
      if (before !== null) touched.add(before);
      if (before === row.k) continue;
      if (before !== null) this.all[before].frames = this.all[before].frames.filter((n) => n !== row.n);
      if (row.k === null) continue;
      this.all[row.k].frames.push(row.n);
      touched.add(row.k);
    }
    for (const n of Object.keys(changed)) if (this.frames[n]?.k != null) touched.add(this.frames[n].k);
    for (const k of touched) this.judge(this.all[k], answers);
    if (touched.size) this.sort();
  }

  /** Take in the status that the server gives some examinations, by number. */
  judged(statuses, answers) {
    for (const [k, status] of Object.entries(statuses)) {
      if (!this.all[k]) continue; // it came meanwhile: the next poll has it
      this.all[k].judged = status;
      this.judge(this.all[k], answers);
    }
    if (Object.keys(statuses).length) this.sort();
  }

  judge(row, answers) {
    const frames = row.frames.map((n) => ({ ...this.frames[n], decision: answers.get(n)?.decision }));
    const open = frames.filter((f) => !f.decision && f.status !== "refused" && f.status !== "error");
    row.decided = frames.filter((f) => f.decision).length;
    const unread = open.some((f) => f.status === "unread");
    row.status = unread ? "unread" : row.judged !== "measured" ? row.judged : open.length ? "measured" : "accepted";
  }

  words(row) {
    return [WORDS[row.status], `${row.decided} of ${row.frames.length} decided`];
  }
}

function part(name, silent = false) {
  const element = document.createElement("span");
  element.className = name;
  if (silent) element.setAttribute("aria-hidden", "true");
  return element;
}
