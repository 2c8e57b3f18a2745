// The list of frames: those to review first; only the rows in sight are in the document.

const HEIGHT = 56, SPARE = 6;
const ORDER = { review: 0, measured: 1, refused: 2, error: 3 };
const WORDS = { review: "to review", measured: "measured", refused: "refused", error: "not read" };
const MARKS = { review: "◇", measured: "●", refused: "○", error: "!" };
export const DECIDED = { accepted: "✓", rejected: "✕" };

export class FrameList {
  constructor(box, rows, onChoose) {
    this.box = box;
    this.space = rows;
    this.all = [];
    this.shown = [];
    this.answers = new Map();
    this.current = null;
    this.text = "";
    this.elements = new Map();
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
    this.text = text.toLowerCase();
    this.sort();
    this.box.scrollTop = 0;
    this.render();
  }

  sort() {
    const wanted = this.text ? this.all.filter((row) => row.name.toLowerCase().includes(this.text)) : [...this.all];
    this.shown = wanted.sort((p, q) => ORDER[p.status] - ORDER[q.status] || p.n - q.n);
    this.places = new Map(this.shown.map((row, i) => [row.n, i]));
    this.space.style.height = `${this.shown.length * HEIGHT}px`;
    this.refresh();
  }

  refresh() {
    for (const element of this.elements.values()) element.remove();
    this.elements.clear();
    this.render();
  }

  render() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / HEIGHT) - SPARE);
    const last = Math.min(this.shown.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / HEIGHT) + SPARE);
    for (const [i, element] of this.elements) {
      if (i < first || i >= last) {
        element.remove();
        this.elements.delete(i);
      }
    }
    for (let i = first; i < last; i++) {
      if (this.elements.has(i)) continue;
      const element = this.element(i);
      this.elements.set(i, element);
      this.space.append(element);
    }
  }

  element(i) {
    const row = this.shown[i], answer = this.answers.get(row.n);
    const decision = answer?.decision || "";
    const element = document.createElement("div");
    element.className = "row";
    element.id = `row-${row.n}`;
    element.dataset.n = row.n;
    element.dataset.status = row.status;
    element.dataset.decision = decision;
    element.style.transform = `translateY(${i * HEIGHT}px)`;
    element.setAttribute("role", "option");
    element.setAttribute("aria-selected", String(row.n === this.current));
    element.setAttribute("aria-posinset", i + 1);
    element.setAttribute("aria-setsize", this.shown.length);
    const mm = answer ? answer.mm : row.mm;
    const value = mm == null ? "" : `${mm.toFixed(1)} mm`;
    const said = [decision || WORDS[row.status], answer?.edited ? "corrected" : ""].filter(Boolean).join(", ");
    element.append(
      part("mark", decision ? DECIDED[decision] : MARKS[row.status], true),
      part("title", row.name),
      part("said", [answer?.plane ?? row.plane ?? "", said].filter(Boolean).join(" · ")),
      part("value", value),
    );
    return element;
  }

  choose(n) {
    this.current = n;
    const i = this.places.get(n);
    for (const [j, element] of this.elements) element.setAttribute("aria-selected", String(j === i));
    if (i === undefined) return;
    const top = i * HEIGHT, height = this.box.clientHeight;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + HEIGHT > this.box.scrollTop + height) this.box.scrollTop = top + HEIGHT - height;
    this.render();
    this.box.setAttribute("aria-activedescendant", `row-${n}`);
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
    return { all: this.all.length, decided, review: this.all.filter((row) => row.status === "review").length };
  }
}

function part(name, text, silent = false) {
  const element = document.createElement("span");
  element.className = name;
  element.textContent = text;
  if (silent) element.setAttribute("aria-hidden", "true");
  return element;
}
