// The checklist of a plane, the readings that an adjudicator sees, and the table of agreement.

import { made } from "./messages.js";

const MARKS = { true: "✓", false: "✕", null: "–" };
const WORDS = { true: "met", false: "not met", null: "open" };
const BY = { reader: "yours", machine: "ours", "": "" };
const FIRST_KEY = 7;
const get = (id) => document.getElementById(id);

/** Fill the checklist; `on(item, met)` records a tick (null: ours again). */
export function checklist(frame, writable, on) {
  const list = get("checklist").querySelector("ul");
  // by the answer of the page: the server's may be a press behind
  const items = frame.checklist.map((item) => ({ ...item, ...said(frame.answer.ticks[item.item], item.ours) }));
  get("checklist").hidden = !items.length;
  const met = items.filter((item) => item.met).length, open = items.filter((item) => item.met === null).length;
  get("checklist-score").textContent = `${met} of ${items.length}${open ? ` · ${open} open` : ""}`;
  const held = document.activeElement?.dataset?.item;
  list.replaceChildren(...items.map((item) => tick(item, writable, on)));
  if (held) list.querySelector(`[data-item="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
}

function said(ticked, ours) {
  return ticked !== undefined ? { met: ticked, by: "reader" } : { met: ours, by: ours === null ? "" : "machine" };
}

function tick({ item, text, met, by }, writable, on) {
  const row = document.createElement("li"), button = made("button", "tick");
  button.dataset.item = item;
  button.dataset.met = String(met);
  button.disabled = !writable;
  button.setAttribute("aria-label", `${text}: ${WORDS[met]}${by ? `, ${BY[by]}` : ""}`);
  button.append(made("span", "mark", MARKS[met]), made("span", "", text), made("span", "muted", BY[by]));
  // a tick, a cross, nothing: then ours stands again
  button.addEventListener("click", () => on(item, by !== "reader" ? met !== true : met ? false : null));
  row.append(button);
  return row;
}

/** Fill the readings of a frame; `on(reader)` takes one. */
export function readings(frame, about, on) {
  const found = frame.readings ?? [], box = get("readings");
  box.hidden = !found.length;
  box.lastElementChild.replaceChildren(...found.map((reading, i) => readingButton(reading, i, about, on)));
}

function readingButton({ reader, answer, mm }, i, about, on) {
  const button = made("button", "reading"), column = about.primary[answer.plane], value = column && mm[column];
  button.dataset.order = i;
  button.disabled = !about.writable;
  const said = [answer.plane ?? "no plane", answer.decision].filter(Boolean).join(" · ");
  button.append(made("span", "swatch"), made("span", "title", reader || "Machine"), made("span", "value", value == null ? "—" : `${value.toFixed(1)} mm`), made("span", "said", said));
  if (i < 3) button.append(made("kbd", "", String(FIRST_KEY + i)));
  button.addEventListener("click", () => on(reader));
  return button;
}

/** The reading of a key, 7 to 9; undefined if there is none. */
export const readingOf = (frame, key) => frame?.readings?.[Number(key) - FIRST_KEY];

/** What an export has written, and what it left out. */
export function exported(done) {
  const lines = [`Corrections: ${done.corrections}. Frames for training: ${done.frames}. Signed DICOM reports: ${done.reports}.`, ...done.files, ...done.left_out];
  get("exported-text").replaceChildren(...lines.map((text) => made("p", "", text)));
  get("exported").showModal();
}

/** The table of agreement. */
export function agreement(found) {
  const parts = [made("p", "", found.note)];
  for (const { one, other, frames, planes_differ: planes, one_rejected: rejected, quantities } of found.pairs) {
    const table = made("table", "sizes"), names = [one || "Machine", other || "Machine"];
    table.append(made("caption", "", `${names[0]} − ${names[1]}: ${frames} frames, ${planes} of another plane, ${rejected} rejected by one`));
    const head = table.createTHead().insertRow();
    head.append(...["", "Frames", "Subjects", "Bias", "Limits of agreement", "Limits in percent", "Unchanged"].map((text) => Object.assign(made("th", "", text), { scope: "col" })));
    const body = table.createTBody();
    for (const q of quantities) {
      const line = body.insertRow();
      line.append(Object.assign(made("th", "", q.label), { scope: "row" }));
      for (const text of [q.pairs, q.subjects ?? "—", number(q.bias), range(q), range(q.percent ?? {}), q.unchanged]) line.append(made("td", "", text));
    }
    parts.push(table);
  }
  const text = get("agreement-text");
  text.replaceChildren(...parts);
  get("agreement").showModal();
  get("agreement").scrollTop = 0;
}

function signed(v) {
  const size = Math.abs(v).toFixed(1);
  return size === "0.0" ? size : `${v > 0 ? "+" : "−"}${size}`;
}
const number = (v) => (v == null ? "too few" : signed(v));
const range = ({ lower, upper }) => (lower == null ? "—" : `${signed(lower)} to ${signed(upper)}`);
