// The examination of a frame: in short beside the frame, following the handles; whole in the place of the frame.

import * as api from "./api.js";
import { thumbnail } from "./drawing.js";
import { made } from "./messages.js";

const SHORT = { hc: "HC", ac: "AC", fl: "FL" };
const MEASURE = { head: "hc", abdomen: "ac", femur: "fl" };
const STATUS = { measured: "Measured", review: "To review", refused: "No value", accepted: "Accepted" };
const PLANE = { hc: "head", bpd: "head", ofd: "head", ac: "abdomen", fl: "femur" };
const PAUSE = 60; // ms between two previews
const get = (id) => document.getElementById(id);

export class Examination {
  /** on: {frame(n), details(n), picture(n), kind(plane), name(n), decision(n), judged(k, status), accepted(k), age(n, answer, age)} */
  constructor(on) {
    this.on = on;
    this.k = null;
    this.stale = false;
    this.sight = new IntersectionObserver((seen) => {
      for (const { isIntersecting, target } of seen) if (isIntersecting) this.thumb(target);
    });
  }

  get open() { return !get("examination").hidden; }

  /** Show an examination, or none; `plane` is that of the frame beside it, `recorded` what it waits for. */
  async show(k, plane = this.plane, recorded = undefined) {
    this.plane = plane;
    const other = k !== this.k;
    this.k = k;
    if (k === null || k === undefined) {
      get("brief").hidden = true;
      return;
    }
    if (other) {
      this.found = null;
      for (const id of ["brief", "examination"]) get(id).classList.add("away"); // the numbers of another one
    }
    await recorded;
    const found = await api.examination(k);
    this.on.judged(k, found.status);
    if (this.k === k) this.fill(found);
  }

  /** Follow a handle: one question at a time, the newest answer last. */
  live(n, answer) {
    this.wanted = [n, answer];
    this.asking ??= this.ask().finally(() => (this.asking = null));
  }

  async ask() {
    while (this.wanted) {
      const [n, answer] = this.wanted;
      this.wanted = null;
      try {
        const { age, examination } = await api.preview(n, answer);
        this.on.age(n, answer, age);
        if (examination && this.k === examination.k) this.fill(examination);
      } catch { /* the next one, or the recorded change, will say it */ }
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }

  /** After a change was recorded: what is on the way from a moving handle is old. */
  async refresh(plane) {
    this.wanted = null;
    await this.asking;
    await this.show(this.k, plane);
  }

  /** Take in that frames which may count for it have `changed`, as soon as it `may` be asked for; until then it is known. */
  async follow(changed, may, plane) {
    this.stale ||= changed;
    if (!this.stale || !may) return;
    await this.refresh(plane); // if its numbers do not come, the next poll asks
    this.stale = false;
  }

  fill(found) {
    this.found = found;
    for (const id of ["brief", "examination"]) get(id).classList.remove("away");
    this.fillBrief(found);
    if (this.open) this.fillWhole(found);
  }

  fillBrief({ measures, charts, age, range, why, status, known_age: known }) {
    const box = get("brief");
    box.hidden = false;
    box.dataset.status = status;
    const rows = [["Age", age ?? "—", range ?? why.age ?? ""]];
    if (known) rows.push(["Known age", known, ""]);
    rows.push(["Weight", unit(measures.efw), centile(measures.efw)]);
    for (const [key, label] of Object.entries(SHORT)) rows.push([label, unit(measures[key]), centile(measures[key])]);
    box.querySelector("tbody").replaceChildren(...rows.map(row));
    const measure = MEASURE[this.plane] ?? "efw";
    box.querySelector(".charts").replaceChildren(...drawn(charts[measure] ?? charts.efw));
  }

  fillWhole(found) {
    get("exam-name").textContent = [found.name, found.fetus].filter(Boolean).join(" · ");
    get("exam-visit").textContent = `Visit ${found.visit} of ${found.visits} · ${found.standard} · not for clinical use`;
    const status = found.status === "measured" && this.on.accepted(this.k) ? "accepted" : found.status;
    get("exam-status").textContent = STATUS[status];
    get("exam-status").dataset.status = status;
    const facts = [["Age by sizes", found.age ?? "—", found.range ? `95 % ${found.range}` : found.why.age ?? ""]];
    if (found.known_age) facts.push(["Known age", found.known_age, found.known_by]);
    facts.push(["Weight", unit(found.measures.efw), centile(found.measures.efw) || found.why.weight || ""]);
    for (const { label, unit: of, value } of found.ratios) facts.push([label, value ?? "—", of]);
    get("exam-facts").replaceChildren(...facts.map(fact));
    get("exam-notes").replaceChildren(...found.notes.map((text) => made("p", "", text)));
    const body = get("exam-values").tBodies[0];
    body.replaceChildren(...Object.entries(found.measures).map(([key, m]) => {
      const of = { ...m, status: this.status(key, m, found.frames) };
      return row([m.label, unit(m), m.centile ?? "—", m.z ?? "—", m.frames ?? "—", STATUS[of.status]], of);
    }));
    get("exam-charts").replaceChildren(...Object.values(found.charts).flatMap(drawn));
    this.fillFrames(found.frames);
  }

  /** The status of a measure: accepted where every frame that counts for it is. */
  status(key, { status }, frames) {
    const counted = frames.filter((f) => f.counts && (key === "efw" || f.plane === PLANE[key]));
    return status === "measured" && counted.length && counted.every((f) => this.on.decision(f.n) === "accepted") ? "accepted" : status;
  }

  fillFrames(frames) {
    const key = frames.map((f) => f.n).join();
    if (get("exam-frames").dataset.key !== key) {
      this.sight.disconnect();
      get("exam-frames").dataset.key = key;
      get("exam-frames").replaceChildren(...frames.map(({ n }) => this.shot(n)));
    }
    frames.forEach((frame, i) => {
      const shot = get("exam-frames").children[i];
      shot.querySelector(".said").textContent = [frame.plane ?? "no plane", frame.best ? "best" : frame.counts ? "counts" : "left out"].join(" · ");
      shot.dataset.counts = String(frame.counts);
      shot.querySelector("canvas").dataset.drawn = "";
      this.sight.unobserve(shot);
      this.sight.observe(shot);
    });
  }

  shot(n) {
    const button = made("button", "shot"), canvas = document.createElement("canvas");
    Object.assign(canvas, { width: 360, height: 260 });
    canvas.setAttribute("aria-hidden", "true");
    button.dataset.n = n;
    button.append(canvas, made("span", "title", this.on.name(n)), made("span", "said"));
    button.addEventListener("click", () => this.on.frame(n));
    return button;
  }

  async thumb(shot) {
    const canvas = shot.querySelector("canvas"), n = Number(shot.dataset.n);
    if (canvas.dataset.drawn) return;
    canvas.dataset.drawn = "true";
    const [frame, picture] = await Promise.all([this.on.details(n), this.on.picture(n)]);
    const kind = this.on.kind(frame.answer.plane);
    if (picture) thumbnail(canvas, picture, kind, kind && frame.answer[kind]);
  }

  /** One sentence for a screen reader. */
  spoken() {
    const { found } = this;
    return found ? `Examination ${found.name}: age ${found.age ?? "not known"}, weight ${unit(found.measures.efw)}, ${STATUS[found.status]}` : "";
  }
}

const unit = ({ value, unit: of }) => (value == null ? "—" : `${value} ${of}`);
const centile = ({ centile: of }) => (of ? `centile ${of}` : "");

/** A chart that the server drew of numbers and its own words; parsed as a picture, no script can come of it. */
function drawn(text) {
  if (!text) return [];
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  return parsed.nodeName === "svg" ? [document.importNode(parsed, true)] : [];
}

function row(cells, of) {
  const made_ = document.createElement("tr"), head = made("th", "", cells[0]);
  head.scope = "row";
  made_.append(head, ...cells.slice(1).map((text) => made("td", "", text)));
  if (of) {
    made_.dataset.status = of.status;
    made_.title = of.why;
  }
  return made_;
}

function fact([label, value, detail]) {
  const box = made("div");
  box.append(made("dt", "", label), made("dd", "", value), made("dd", "muted", detail));
  return box;
}
