// The measurement beside the picture: status, plane, values, decision, comment, history.

import { alike } from "./answers.js";
import { statusOf } from "./list.js";
import { covered, millimetres } from "./geometry.js";
import { checklist, readings } from "./review.js";

const PLANES = [["head", "Head", "H"], ["abdomen", "Abdomen", "A"], ["femur", "Femur", "F"], ["other", "Other", "T"]];
const COLUMNS = { head: ["hc_mm", "bpd_mm", "ofd_mm"], abdomen: ["ac_mm", "long_mm", "short_mm"], femur: ["fl_mm"] };
const SOURCES = { dicom: "the DICOM header", csv: "the spacing table", flag: "--spacing-mm", ruler: "the depth ruler" };
const STATUS = { review: "To review", measured: "Measured", refused: "Refused", error: "Not read", unread: "To read" };
const DECISION = { accepted: "Accepted", rejected: "Rejected" };
const ACTIONS = { move: "moved", pull: "pulled an end", turn: "turned", draw: "drew again", plane: "changed the plane", accept: "accepted", reject: "rejected", undecide: "took the decision back", comment: "commented", reset: "took the machine’s", tick: "ticked", choose: "chose a reading", undo: "undid", redo: "redid" };
const ROWS = 3;
const get = (id) => document.getElementById(id);

export class Panel {
  constructor(about, on) {
    this.about = about;
    this.on = on;
    get("checklist-source").textContent = about.checklist;
    get("values").classList.toggle("alone", about.role === "blinded");
    const legend = get("planes").firstElementChild;
    get("planes").replaceChildren(legend, ...PLANES.map(([plane, label, key]) => planeChoice(plane, label, key, on)));
    const body = get("values").tBodies[0];
    this.cells = Array.from({ length: ROWS + 1 }, () => {
      const row = body.insertRow(), head = document.createElement("th");
      head.scope = "row";
      row.append(head);
      return [head, row.insertCell(), row.insertCell()];
    });
    this.comment = get("comment");
    this.comment.maxLength = about.max_comment;
    this.comment.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.flush(), 700);
    });
    this.comment.addEventListener("blur", () => this.flush());
    for (const control of document.querySelectorAll("#accept, #reject, #reset, #comment, #tool-draw")) control.disabled = !about.writable;
    get("reset").disabled ||= about.role === "blinded";
  }

  /** Record what was typed. */
  flush() {
    clearTimeout(this.timer);
    if (this.frame && this.comment.value !== this.frame.answer.comment) this.on.comment(this.frame.number, this.comment.value);
  }

  show(frame) {
    const other = this.frame?.number !== frame.number;
    if (other) {
      this.flush();
      this.live = null;
      document.querySelector(".panel").scrollTop = 0; // its values and doubts are what is decided about
    }
    this.frame = frame;
    get("name").textContent = frame.name;
    const { answer } = frame, status = get("status");
    const is = statusOf(frame.status, { edited: frame.brief.edited, decision: answer.decision });
    status.textContent = [DECISION[answer.decision] ?? STATUS[is], frame.brief.edited ? "corrected" : ""].filter(Boolean).join(" · ");
    status.dataset.status = answer.decision || is;
    get("reason").textContent = [frame.open_again, doubts(frame)].filter(Boolean).join(" ");
    for (const radio of get("planes").querySelectorAll("input")) {
      radio.checked = radio.value === answer.plane;
      radio.disabled = !this.about.writable;
    }
    get("accept").setAttribute("aria-pressed", String(answer.decision === "accepted"));
    get("reject").setAttribute("aria-pressed", String(answer.decision === "rejected"));
    get("undo").disabled = !frame.undo || !this.about.writable;
    get("redo").disabled = !frame.redo || !this.about.writable;
    if (other || document.activeElement !== this.comment) this.comment.value = answer.comment;
    checklist(frame, this.about.writable, this.on.tick);
    readings(frame, this.about, this.on.choose);
    get("history").replaceChildren(...[...frame.events].reverse().map(historyItem));
    this.values(answer);
  }

  /** The values of an answer, while a handle moves. */
  values(answer) {
    const { frame, about } = this, kind = about.planes[answer.plane];
    const now = millimetres(answer, kind, frame), machine = frame.machine_mm;
    const columns = COLUMNS[answer.plane] ?? [];
    const { low_mm: low, high_mm: high } = frame;
    get("interval").textContent = low == null || answer.plane !== frame.plane ? "" : `Machine’s 90 % interval ${low.toFixed(1)}–${high.toFixed(1)} mm`;
    get("scale").textContent = this.scale(answer, kind);
    get("decided-on").textContent = this.short(answer, "mm");
    for (let i = 0; i < ROWS; i++) {
      const [head, value, theirs] = this.cells[i], column = columns[i];
      head.parentElement.classList.toggle("empty", !column);
      head.textContent = column ? about.labels[column] : "";
      value.textContent = column ? millimetre(now[column]) : "";
      value.dataset.exact = now[column] ?? "";
      theirs.textContent = column ? millimetre(machine[column]) : "";
    }
    this.shown = answer;
    if (alike(answer, frame.aged)) this.live = null;
    this.showAge();
  }

  /** Take in the age of an answer that is not recorded yet; a late one, after the recorded answer's, is old. */
  age(n, answer, age) {
    if (n !== this.frame.number || alike(this.shown, this.frame.aged)) return;
    this.live = { answer, age };
    this.showAge();
  }

  /** The newest age that is known; pale while it is that of another outline than the one in sight. */
  showAge() {
    const { answer, age } = this.live ?? { answer: this.frame.aged, age: this.frame.age };
    const [head, value] = this.cells[ROWS];
    head.parentElement.classList.toggle("empty", !age);
    head.textContent = age ? "Age" : "";
    value.textContent = age ?? "";
    value.classList.toggle("old", !alike(answer, this.shown));
  }

  scale(answer, kind) {
    const { spacing_mm: spacing, spacing_source: source, regions } = this.frame;
    if (!spacing) return "No scale: no millimetres. Measure again with a spacing.";
    if (kind && answer[kind] && !covered(regions, kind, answer[kind])) return "It reaches out of the region that the DICOM scale holds for: no millimetres.";
    const [down, along] = spacing.map((mm) => mm.toPrecision(4));
    const size = down === along ? `${down} mm per pixel` : `${down} (rows) x ${along} (columns) mm per pixel`;
    return `${size}, from ${SOURCES[source] ?? "the results"}`;
  }

  /** Plane and first value of an answer, in a line. */
  short(answer, unit) {
    const { frame, about } = this, column = COLUMNS[answer.plane]?.[0];
    const mm = column && millimetres(answer, about.planes[answer.plane], frame)[column];
    const value = mm ? `${about.labels[column]} ${mm.toFixed(1)} ${unit}` : "no value";
    return `${answer.plane ?? "no plane"}, ${value}`;
  }

  /** One sentence for a screen reader. */
  spoken() {
    const { frame } = this;
    return `${frame.name}: ${this.short(frame.answer, "millimetres")}, ${get("status").textContent}`;
  }
}

/** What the machine doubts and notes; beside a person's answer it says whose doubt it is. */
function doubts({ reason, noted, answer, brief }) {
  const said = [reason, noted.length ? `noted: ${noted.join("; ")}` : ""].filter(Boolean).join("; ");
  return said && (answer.decision || brief.edited) ? `The machine said: ${said}` : said;
}

const millimetre = (value) => (value == null ? "—" : `${value.toFixed(1)} mm`);

function planeChoice(plane, label, key, on) {
  const box = document.createElement("label"), radio = document.createElement("input"), text = document.createElement("span");
  const hint = document.createElement("kbd");
  Object.assign(radio, { type: "radio", name: "plane", value: plane });
  radio.addEventListener("change", () => on.plane(plane));
  hint.textContent = key;
  text.append(label, hint);
  box.append(radio, text);
  return box;
}

function historyItem(event) {
  const item = document.createElement("li"), time = document.createElement("time");
  time.dateTime = event.time;
  time.textContent = new Date(event.time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  item.append(time, ` ${event.reader || "no name"} ${ACTIONS[event.action] ?? event.action}`);
  return item;
}
