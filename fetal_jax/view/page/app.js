// The page: frames, the stage, the panel, the keys, and what is sent to the server.

import * as api from "./api.js";
import { Examination } from "./examination.js";
import { listen } from "./keys.js";
import { kept } from "./cache.js";
import { ExaminationList, FrameList } from "./list.js";
import { connected, note, toast } from "./messages.js";
import { Panel } from "./panel.js";
import { agreement, exported, readingOf } from "./review.js";
import { Stage } from "./stage.js";

const POLL = 1500, RETRY = 1000, AHEAD = [1, 2, 3, -1];
const get = (id) => document.getElementById(id);
const GEOMETRIC = new Set(["move", "pull", "turn", "draw", "plane"]);

let info, list, exams, examination, panel, stage, current = null, asked = null, rowsSeen = 0, eventSeen = 0, examsSeen = 0, complete = false, waiting = 0;
let queue = Promise.resolve();
const pictures = new Map(), details = new Map(), versions = new Map();

// ------------------------------------------------------------------------------------------------------ frames

async function show(n) {
  if (n === null || n === undefined) return;
  asked = n;
  stage.cancel();
  list.choose(n);
  history.replaceState(null, "", `#n=${n}`);
  const started = performance.now();
  let frame, picture;
  try {
    [frame, picture] = await Promise.all([queue.then(() => detailsOf(n)), pictureOf(n)]);
  } catch (error) {
    details.delete(n);
    return connected(false, error);
  }
  if (asked !== n) return; // a later one was asked for
  current = frame;
  versions.set(n, frame.version);
  stage.show(picture, frame, info.planes[frame.answer.plane]);
  panel.show(frame);
  if (frame.examination !== null) exams.choose(frame.examination);
  examination.show(frame.examination, frame.answer.plane).catch((error) => connected(false, error));
  note(picture ? (picture.isFrame ? "" : "The frame is not where it was measured: this is the overlay that measure drew.") : "This frame cannot be read.");
  announce();
  performance.measure("show", { start: started, end: performance.now() });
  for (const step of AHEAD) {
    const beside = list.beside(n, step);
    if (beside === null) continue;
    pictureOf(beside);
    detailsOf(beside).catch(() => details.delete(beside));
  }
}

const pictureOf = (n) => kept(pictures, n, () => api.picture(n).catch(() => { pictures.delete(n); return null; }));

/** A frame's details, read again where the answer has changed since. */
async function detailsOf(n) {
  const found = await kept(details, n, () => api.frame(n));
  if (found.version === (list.answers.get(n)?.version ?? 0)) return found;
  details.delete(n);
  return kept(details, n, () => api.frame(n));
}

async function poll() {
  try {
    const found = await api.changes(rowsSeen, eventSeen, examsSeen);
    rowsSeen += found.rows.length;
    eventSeen = found.event;
    examsSeen += found.examinations.length;
    complete = found.complete;
    list.add(found.rows, found.answers);
    list.apart(found.apart);
    exams.follow(found.examinations, found.rows, found.answers, list.answers);
    get("tabs").hidden = !examsSeen;
    progress();
    const mine = current && found.answers[current.number];
    if (mine && mine.version !== versions.get(current.number) && !waiting && !stage.busy) await refresh();
    connected(true);
  } catch (error) {
    connected(false, error);
  }
}

async function refresh() {
  const frame = await api.frame(current.number);
  if (frame.number === current.number && !waiting && !stage.busy) update(frame);
}

function update(state) {
  current = { ...current, ...state };
  versions.set(current.number, current.version);
  if (stage.busy) return; // a handle moves: its end is recorded after this
  stage.set(current, info.planes[current.answer.plane]);
  panel.show(current);
  examination.refresh(current.answer.plane).catch((error) => connected(false, error));
}

// ------------------------------------------------------------------------------------------------------ changes

/** Record an event of a frame: shown at once, sent in order, sent again while the server does not answer. */
function record(action, answer, n = current?.number, reader = undefined) {
  if (!info.writable || n === undefined) return;
  if (answer && GEOMETRIC.has(action)) answer = { ...answer, decision: "" };
  if (answer && n === current.number) {
    current = { ...current, answer };
    stage.set(current, info.planes[answer.plane]);
    panel.show(current);
  }
  waiting++;
  queue = queue.then(() => send(n, action, answer, reader)).finally(() => waiting--);
}

async function send(n, action, answer, reader) {
  for (;;) {
    try {
      const event = { action, after: versions.get(n) ?? 0, ...(reader !== undefined ? { reader } : answer ? { answer } : {}) };
      const state = await api.change(n, event);
      versions.set(n, state.version);
      list.add([], { [n]: state.brief });
      exams.follow([], [], { [n]: state.brief }, list.answers);
      progress();
      connected(true);
      if (state.conflict) toast("Changed in another tab: its answer is shown.");
      if (current?.number === n && (waiting === 1 || state.conflict)) {
        update(state);
        announce();
      }
      return;
    } catch (error) {
      if (!(error instanceof TypeError)) { // the server answered: it refuses
        toast(error.message);
        if (current?.number === n) update(await api.frame(n));
        return;
      }
      connected(false);
      await new Promise((resolve) => setTimeout(resolve, RETRY));
    }
  }
}

function decide(decision) {
  if (!current) return;
  const taken = current.answer.decision === decision ? "" : decision;
  record(taken === "" ? "undecide" : taken === "accepted" ? "accept" : "reject", { ...current.answer, decision: taken });
}

function changePlane(plane) {
  if (current && plane !== current.answer.plane) record("plane", { ...current.answer, plane });
}

function tick(item, met) {
  const ticks = { ...current.answer.ticks };
  if (met === null) delete ticks[item];
  else ticks[item] = met;
  record("tick", { ...current.answer, ticks });
}

/** An adjudicator takes a reading of the frame. */
function choose(reading) {
  if (!reading) return;
  const decision = reading.answer.decision || "accepted";
  record("choose", { ...reading.answer, decision, comment: current.answer.comment }, current.number, reading.reader);
}

async function exportAll() {
  try {
    await queue;
    const done = await api.exportAll();
    exported(done);
  } catch (error) {
    toast(error.message);
  }
}

// ------------------------------------------------------------------------------------------------------ messages

function progress() {
  const { all, decided, review } = list.counts();
  get("progress").textContent = `${decided} of ${all} decided · ${review} to review${complete ? "" : " · measuring"}`;
}

function announce() { get("live").textContent = examination.open ? examination.spoken() : panel.spoken(); }

// ------------------------------------------------------------------------------------------------------ keys

function option(name) {
  stage.options[name] = !stage.options[name];
  get(`tool-${name}`).setAttribute("aria-pressed", String(stage.options[name]));
  get("stage").dataset.tool = stage.options.draw ? "draw" : stage.options.window ? "window" : "";
  stage.later();
}

function toggleList() {
  const open = document.body.classList.toggle("list-open");
  get("list-toggle").setAttribute("aria-expanded", String(open));
  if (open) (get("list").hidden ? get("exam-list") : get("list")).focus();
}

/** The examination of the frame in the place of the frame, or the frame again. */
async function openExamination(open = !examination.open, k = current?.examination ?? null) {
  if (open && k === null) return toast("The examination of this frame is not known.");
  get("examination").hidden = !open;
  document.body.classList.toggle("exam-open", open);
  tab(open ? "examinations" : "frames");
  if (!open) return stage.resized();
  stage.cancel();
  exams.choose(k);
  await examination.show(k, current?.answer.plane);
  announce();
  get("exam-close").focus({ preventScroll: true });
  return undefined;
}

async function frameOfExamination(n) {
  await openExamination(false);
  await show(n);
}

function tab(name) {
  for (const radio of get("tabs").querySelectorAll("input")) radio.checked = radio.value === name;
  get("list").hidden = name !== "frames";
  get("exam-list").hidden = name === "frames";
  get("filter").placeholder = name === "frames" ? "Find a frame  /" : "Find an examination  /";
  (name === "frames" ? list : exams)?.render();
}

const besideExamination = (by) => {
  const k = exams.beside(examination.k, by);
  if (k !== null) openExamination(true, k);
};

async function showAgreement() {
  try {
    await queue;
    agreement(await api.agreement());
  } catch (error) {
    toast(error.message);
  }
}

function openChecklist() {
  get("checklist").open = !get("checklist").open;
  if (get("checklist").open) get("checklist").querySelector("button")?.focus();
}

const step = (by) => (examination.open ? besideExamination(by) : current && show(list.beside(current.number, by)));
const KEYS = {
  ArrowLeft: () => step(-1), ArrowRight: () => step(1), ArrowUp: () => step(-1), ArrowDown: () => step(1),
  n: () => current && show(list.undecided(current.number)),
  v: () => decide("accepted"), x: () => decide("rejected"),
  h: () => changePlane("head"), a: () => changePlane("abdomen"), f: () => changePlane("femur"), t: () => changePlane("other"),
  u: () => (current?.undo || waiting) && record("undo"), y: () => (current?.redo || waiting) && record("redo"), r: () => current && record("reset", { ...current.machine }),
  "+": () => stage.zoom(1.25), "=": () => stage.zoom(1.25), "-": () => stage.zoom(0.8), 0: () => stage.picture && stage.fit(),
  w: () => option("window"), m: () => option("magnifier"), o: () => option("outline"), d: () => info.writable && option("draw"),
  "[": () => stage.changeGrey(-16, 0), "]": () => stage.changeGrey(16, 0), ",": () => stage.changeGrey(0, 8), ".": () => stage.changeGrey(0, -8),
  s: () => openExamination(), k: openChecklist, b: showAgreement,
  7: () => choose(readingOf(current, 7)), 8: () => choose(readingOf(current, 8)), 9: () => choose(readingOf(current, 9)),
  c: () => get("comment").focus(), "/": () => get("filter").focus(), l: toggleList, e: exportAll, "?": () => get("help").showModal(),
};

// ------------------------------------------------------------------------------------------------------ start

async function start() {
  info = await api.about();
  get("notice").textContent = info.notice;
  const role = { blinded: " · blinded", adjudicator: " · adjudicates" }[info.role] ?? "";
  get("who").textContent = info.writable ? (info.reader || "no reader’s name") + role : "read-only";
  document.body.dataset.role = info.role;
  panel = new Panel(info, { plane: changePlane, comment: (n, comment) => n === current.number && record("comment", { ...current.answer, comment }), tick, choose: (reader) => choose(current.readings.find((r) => r.reader === reader)) });
  stage = new Stage(get("stage"), {
    edit: (action, answer) => { record(action, answer); if (stage.options.draw) option("draw"); },
    live: (answer) => { panel.values(answer); if (current) examination.live(current.number, answer); },
    view: () => { get("zoom").textContent = `${Math.round(stage.view.scale * 100)} %`; },
  });
  list = new FrameList(get("list"), get("rows"), (n) => { document.body.classList.remove("list-open"); show(n); });
  exams = new ExaminationList(get("exam-list"), get("exam-rows"), (k) => { document.body.classList.remove("list-open"); openExamination(true, k); });
  examination = new Examination({ frame: frameOfExamination, details: detailsOf, picture: pictureOf, kind: (plane) => info.planes[plane], name: (n) => list.all[n].name });
  for (const radio of get("tabs").querySelectorAll("input")) radio.addEventListener("change", () => tab(radio.value));
  get("filter").addEventListener("input", (e) => (get("list").hidden ? exams : list).filter(e.target.value));
  get("list-toggle").addEventListener("click", toggleList);
  get("help-open").addEventListener("click", KEYS["?"]);
  get("export").addEventListener("click", exportAll);
  get("export").disabled = !info.writable || info.role === "blinded";
  get("agreement-open").hidden = info.role === "blinded";
  for (const button of document.querySelectorAll("[data-key]")) button.addEventListener("click", () => KEYS[button.dataset.key]());
  listen(KEYS, stage, { writable: info.writable, framed: () => !examination.open, leave: () => openExamination(false), drawn: () => option("draw") });
  await poll();
  const wanted = Number(new URLSearchParams(location.hash.slice(1)).get("n") ?? NaN);
  await show(list.places?.has(wanted) ? wanted : list.shown[0]?.n);
  document.body.dataset.ready = "true";
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL));
    await poll();
    if (!current && list.shown.length) await show(list.shown[0].n);
  }
}

start().catch((error) => toast(error.message, true));
