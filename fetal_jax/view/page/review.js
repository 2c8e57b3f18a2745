// The checklist of a plane, the readings that an adjudicator sees, and the table of agreement.

import * as api from "./api.js";
import { openDialog } from "./folds.js";
import { made, remake, toast, write } from "./messages.js";

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
  // with the frame's number: a press that began on one frame ticks nothing on the next
  remake(list, [frame.number, ...items.map(({ item }) => item)].join(), () => items.map(({ item }) => tick(item, writable, on)));
  items.forEach((item, i) => fillTick(list.children[i].firstElementChild, item));
  if (held) list.querySelector(`[data-item="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
}

function said(ticked, ours) {
  return ticked !== undefined ? { met: ticked, by: "reader" } : { met: ours, by: ours === null ? "" : "machine" };
}

function tick(item, writable, on) {
  const row = document.createElement("li"), button = made("button", "tick");
  button.dataset.item = item;
  button.disabled = !writable;
  button.append(made("span", "mark"), made("span"), made("span", "muted"));
  button.addEventListener("click", () => on(item, next(button.dataset)));
  row.append(button);
  return row;
}

/** A tick, a cross, nothing: then ours stands again. */
const next = ({ met, by }) => (by !== "reader" ? met !== "true" : met === "true" ? false : null);

function fillTick(button, { text, met, by }) {
  Object.assign(button.dataset, { met: String(met), by });
  button.setAttribute("aria-label", `${text}: ${WORDS[met]}${by ? `, ${BY[by]}` : ""}`);
  [MARKS[met], text, BY[by]].forEach((said, i) => write(button.children[i], said));
}

/** Fill the readings of a frame; `on(reader)` takes one. */
export function readings(frame, about, on) {
  const found = frame.readings ?? [], box = get("readings");
  const buttons = box.lastElementChild;
  box.hidden = !found.length;
  remake(buttons, JSON.stringify([frame.number, ...found.map((r) => r.reader)]), () => found.map(({ reader }, i) => readingButton(reader, i, about, on)));
  found.forEach((reading, i) => fillReading(buttons.children[i], reading, reading.reader === frame.taken, about));
}

function readingButton(reader, i, about, on) {
  const button = made("button", "reading");
  button.dataset.order = i;
  button.disabled = !about.writable;
  button.append(made("span", "swatch"), made("span", "title", reader || "Machine"), made("span", "value"), made("span", "said"));
  if (i < 3) button.append(made("kbd", "", String(FIRST_KEY + i)));
  button.addEventListener("click", () => on(reader));
  return button;
}

function fillReading(button, { answer, mm }, taken, about) {
  const column = about.primary[answer.plane], value = column && mm[column];
  button.dataset.taken = String(taken);
  write(button.querySelector(".value"), value == null ? "—" : `${value.toFixed(1)} mm`);
  write(button.querySelector(".said"), [answer.plane ?? "no plane", answer.decision, taken ? "taken" : ""].filter(Boolean).join(" · "));
}

/** The reading of a key, 7 to 9; undefined if there is none. */
export const readingOf = (frame, key) => frame?.readings?.[Number(key) - FIRST_KEY];

/** Export once all changes are `recorded`, and say what was written; counts() gives those of the list then. */
export async function exportAll(recorded, counts) {
  const end = toast("Exporting …", true);
  try {
    await recorded;
    exported(await api.exportAll(), counts());
  } catch (error) {
    toast(error.message);
  }
  end();
}

/** What an export has written, and what it left out. */
function exported(done, { all, decided }) {
  const open = all - decided, without = open ? [`${open} of ${all} frames ${open === 1 ? "is" : "are"} without a decision.`] : [];
  const named = done.frames || done.reports ? ["A frame’s files are named by its number in corrections.csv: a file’s own name may name a patient."] : [];
  const lines = [...without, `Decisions: ${done.corrections}. Frames for training: ${done.frames}. Signed DICOM reports: ${done.reports}.`, ...done.files, ...named, ...done.left_out];
  get("exported-text").replaceChildren(...lines.map((text) => made("p", "", text)));
  openDialog("exported");
}

/** Show the table of agreement, once all changes are `recorded`. */
export async function agreement(recorded) {
  try {
    await recorded;
    fillAgreement(await api.agreement());
  } catch (error) {
    toast(error.message);
  }
}

function fillAgreement(found) {
  const parts = [made("p", "", found.note)];
  for (const { one, other, frames, planes_differ: planes, one_rejected: rejected, quantities } of found.pairs) {
    const title = `${one || "Machine"} − ${other || "Machine"}: ${frames} frame${frames === 1 ? "" : "s"}, ${planes} of another plane, ${rejected} rejected by one`;
    if (!quantities.length) {
      parts.push(made("p", "", title));
      continue;
    }
    const table = made("table", "sizes");
    table.append(made("caption", "", title));
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
  openDialog("agreement");
}

function signed(v) {
  const size = Math.abs(v).toFixed(1);
  return size === "0.0" ? size : `${v > 0 ? "+" : "−"}${size}`;
}
const number = (v) => (v == null ? "too few" : signed(v));
const range = ({ lower, upper }) => (lower == null ? "—" : `${signed(lower)} to ${signed(upper)}`);
