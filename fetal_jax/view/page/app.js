// The page: frames, the stage, the panel, the keys, and what is sent to the server.

import { after, REOPENS, withState } from "./answers.js";
import * as api from "./api.js";
import { Examination } from "./examination.js";
import { letGoOfChoice, listen } from "./keys.js";
import { FrameCache } from "./cache.js";
import { openChecklist, openDialog, showList, toggleList } from "./folds.js";
import { ExaminationList, FrameList } from "./list.js";
import { away, connected, frameLeft, note, sayOfFrame, toast } from "./messages.js";
import { Panel } from "./panel.js";
import { agreement, exportAll, readingOf } from "./review.js";
import { hidden, noFurther, Search } from "./search.js";
import { Stage } from "./stage.js";

const POLL = 1500, RETRY = 1000, AHEAD = [1, 2, 3, -1];
const KEPT = [401, 507]; // a change is sent again: the server has another token since, or no room now
/** What was read of frames; an answer that has changed since is read again. */
const cache = new FrameCache((n) => list.answers.get(n)?.version ?? 0);
const get = (id) => document.getElementById(id);

let opener = null; // what had the focus before an examination was opened
let info, list, exams, search, examination, panel, stage, current = null, asked = null, rowsSeen = 0, eventSeen = 0, examsSeen = 0, anewSeen = 0, complete = false, pressed = 0, refused = null;
let queue = Promise.resolve();
/** Of a frame: the newest state that the server sent; changes that it has not answered; the last change that a conflict drops. */
const states = new Map(), unanswered = new Map(), dropped = new Map();
const waits = (n) => unanswered.get(n) ?? 0;
/** Whether a frame has a change that cannot be written now. */
const isKept = (n) => away() && waits(n) > 0;
const unsent = () => [...unanswered.values()].reduce((sum, n) => sum + n, 0);

/** Take a frame's state in, and give the newest one. */
function learn(n, state) {
  if (state.version >= (states.get(n)?.version ?? 0)) states.set(n, state);
  return states.get(n);
}

// ------------------------------------------------------------------------------------------------------ frames

/** Show a frame; false where the server does not answer. */
async function show(n) {
  if (n === null || n === undefined) return true;
  stage.leave();
  if (n !== asked) frameLeft();
  if (n !== asked && stage.options.draw) option("draw"); // it was meant for the frame that is left
  asked = n;
  delete document.body.dataset.shown;
  list.choose(n);
  search.say();
  const started = performance.now();
  let frame, picture;
  try {
    [frame, picture] = await Promise.all([(waits(n) ? queue : Promise.resolve()).then(() => cache.details(n)), cache.picture(n)]);
  } catch (error) {
    cache.forgetDetails(n);
    if (asked === n && current) { // what is shown is what is chosen
      list.choose((asked = current.number));
      document.body.dataset.shown = asked;
    }
    connected(false, error);
    return false;
  }
  if (asked !== n) return true; // a later one was asked for
  if (frame.name !== list.all[n].name) return location.reload(); // the server was started again, and counts otherwise
  history.replaceState(null, "", `#n=${n}`);
  frame = current = withState(frame, learn(n, frame));
  stage.show(picture, frame, info.planes[frame.answer.plane]);
  panel.show(frame);
  showExamination(frame);
  note(picture ? (picture.isFrame ? "" : "The frame is gone, changed or damaged: this is the overlay that measure drew.") : `No picture: ${cache.why.get(n)}`);
  announce();
  document.body.dataset.shown = n;
  performance.measure("show", { start: started, end: performance.now() });
  for (const step of AHEAD) {
    const beside = list.beside(n, step);
    if (beside === null) continue;
    cache.picture(beside).catch(() => {}); // it is asked for again when it is shown
    cache.details(beside).catch(() => cache.forgetDetails(beside));
  }
  return true;
}

/** Put the frame's own examination beside it. */
function showExamination({ examination: k, answer }) {
  if (k !== null) exams.choose(k);
  examination.show(k, answer.plane, queue).catch((error) => connected(false, error));
}

async function poll() {
  try {
    const found = await api.changes(rowsSeen, eventSeen, examsSeen, anewSeen);
    rowsSeen += found.rows.length;
    eventSeen = found.event;
    examsSeen += found.examinations.length;
    complete = found.complete;
    found.anew.forEach(({ n }) => cache.forget(n));
    list.add([...found.rows, ...found.anew.map((row) => ({ ...list.all[row.n], ...row }))], found.answers);
    list.apart(found.apart);
    exams.follow(found.examinations, [...found.rows, ...found.anew], found.answers, list.answers);
    exams.judged(found.statuses, list.answers);
    get("tabs").hidden = !examsSeen;
    progress();
    if (found.anew.some(({ n }) => n === asked) && !(await show(asked))) return; // the next poll asks again
    anewSeen = found.remeasured;
    const mine = current && list.answers.get(current.number);
    if (mine && mine.version > states.get(current.number).version && !waits(current.number) && !stage.busy) await refresh();
    if (examination.open && !exams.all[examination.k].frames.length) await openExamination(false); // they are another one's now
    await examination.follow(away() || Object.keys(found.statuses).length > 0, !stage.busy && !unsent(), current?.answer.plane);
    if (!unsent()) connected(true);
    refused?.();
    refused = null;
  } catch (error) {
    if (error.status === 412) refused ??= toast(error.message, true); // the server answers again, to another reader
    connected(false, error);
  }
}

async function refresh() {
  const frame = await api.frame(current.number);
  if (frame.number === current.number && !waits(current.number) && !stage.busy) update(frame);
}

function update(state) {
  current = withState(current, learn(current.number, state));
  if (stage.busy) return; // a handle moves: its end is recorded after this
  draw();
  examination.refresh(current.answer.plane).catch((error) => connected(false, error));
}

/** Put the page's answer on the stage and into the panel. */
function draw() {
  stage.set(current, info.planes[current.answer.plane]);
  panel.show(current);
}

// ------------------------------------------------------------------------------------------------------ changes

/**
 * Record an event of a frame: shown at once, sent in order, sent again while the server does not answer.
 *
 * `make` gives {action, answer} from an answer, and is asked twice: of the answer on the page, to show it, and of the
 * answer that the server has when the event's turn comes. They differ after an undo that is not answered yet.
 */
function record(make, n = current?.number) {
  if (!info.writable || n === undefined) return;
  stage.finishNudge(); // a key that is still held has moved the outline already
  if (n === current.number) {
    const made = make(current.answer), { decision } = current.answer;
    const taken = REOPENS.has(made.action) ? "Changed, so no" : made.action === "undecide" ? "No" : "";
    if (decision && taken) say(n, `${taken} longer ${decision}. U undoes the change.`);
    current = after(current, made);
    draw();
  }
  wait(n, 1);
  const order = ++pressed, { beside } = states.get(n);
  queue = queue.then(() => send(n, make, order, beside)).finally(() => wait(n, -1));
}

/** Count a change that is not answered, or no longer; while nothing can be written, list and progress say so. */
function wait(n, by) {
  unanswered.set(n, waits(n) + by);
  if (away()) sayKept();
}

function sayKept() {
  list.refresh();
  progress();
}

async function send(n, make, order, beside) {
  const id = api.newId(); // the reply may be lost: the server knows by it what it has already recorded
  const isComment = make(states.get(n).answer).action === "comment"; // it is about the frame: no other answer makes it wrong
  if (order <= (dropped.get(n) ?? 0) && !isComment) return; // made of an answer that another tab has changed
  for (;;) {
    try {
      const { version, answer } = states.get(n);
      const state = await api.change(n, { id, beside, after: version, ...make(answer) });
      learn(n, state);
      if (state.conflict && isComment && state.beside === beside && state.answer.comment === answer.comment) continue;
      list.add([], { [n]: state.brief });
      exams.follow([], [], { [n]: state.brief }, list.answers);
      progress();
      if (state.conflict) {
        dropped.set(n, pressed);
        if (current?.number === n) stage.cancel(); // a handle that moves was taken hold of on the old outline
        const anew = state.beside !== beside;
        say(n, anew ? "Measured again since: nothing was recorded." : "Changed in another tab: its answer is shown.");
        if (anew) cache.forget(n);
        if (anew && current?.number === n) return void show(n);
      }
      if (current?.number === n && (waits(n) === 1 || state.conflict)) {
        update(state);
        announce();
      }
      return;
    } catch (error) {
      if (!(error instanceof TypeError || KEPT.includes(error.status))) { // the server answered: it refuses
        say(n, error.message);
        if (current?.number === n) update(states.get(n));
        return;
      }
      connected(false, error);
      sayKept();
      await new Promise((resolve) => setTimeout(resolve, RETRY));
    }
  }
}

/** Record an event of the frame in sight; while another one is on its way, a key may be meant for either. */
function change(make) {
  if (!current) return;
  if (!info.writable) return update(states.get(current.number)); // a mouse may have moved the outline
  if (asked === current.number) return record(make);
  draw();
  return toast("The next frame is not shown yet: nothing was changed.");
}

/** The outline or the plane is another one: what was decided about the old one is open again. */
const redraw = (action, part) => change((answer) => ({ action, answer: { ...answer, ...part, decision: "" } }));

/** Whether there is no picture, so that nobody can have compared the outline with it; the page says so. */
const unseen = () => !stage.picture && (say(asked, "There is no picture, so nothing can be accepted. X rejects the frame."), true);

function decide(decision) {
  stage.letGo();
  letGoOfChoice();
  if (decision === "accepted" && current?.answer.decision !== decision && unseen()) return;
  const confirms = current?.last === "choose"; // taking a reading has decided: the key that decides says so again
  change((answer) => {
    const now = answer.decision === decision && !confirms ? "" : decision;
    return { action: now === "" ? "undecide" : now === "accepted" ? "accept" : "reject", answer: { ...answer, decision: now } };
  });
}

function changePlane(plane) {
  if (current && plane !== current.answer.plane) redraw("plane", { plane });
}

function tick(item, met) {
  change((answer) => {
    const ticks = { ...answer.ticks };
    if (met === null) delete ticks[item];
    else ticks[item] = met;
    return { action: "tick", answer: { ...answer, ticks } };
  });
}

const comment = (n, text) => record((answer) => ({ action: "comment", answer: { ...answer, comment: text } }), n);
const undo = () => current?.undo && change(() => ({ action: "undo" }));
const redo = () => current?.redo && change(() => ({ action: "redo" }));

function reset() {
  const { machine } = current ?? {};
  change(({ comment: own, ticks }) => ({ action: "reset", answer: { ...machine, comment: own, ticks } }));
}

/** An adjudicator takes a reading of the frame and accepts it, or rejects it as its reader did. */
function choose(reading) {
  if (!reading || unseen()) return;
  stage.letGo();
  const { reader, answer: chosen } = reading;
  change(({ comment: own }) => ({ action: "choose", reader, answer: { ...chosen, decision: chosen.decision || "accepted", comment: own } }));
}

const exportNow = () => exportAll(queue, () => list.counts());

// ------------------------------------------------------------------------------------------------------ messages

function progress() {
  const { all, decided, todo } = list.counts();
  get("progress").textContent = `${decided} of ${all} decided · ${todo}${away() && unsent() ? ` · ${unsent()} not written yet` : ""}${hidden(list)}${complete ? "" : " · measuring"}`;
  search.say();
}

/** Say something about a frame: of the one in sight until another one is asked for, of another one with its name. */
const say = (n, text) => (n === asked ? sayOfFrame(text) : toast(`${list.all[n].name}: ${text}`));

function announce() { get("live").textContent = examination.open ? examination.spoken() : panel.spoken(); }

// ------------------------------------------------------------------------------------------------------ keys

function option(name) {
  stage.options[name] = !stage.options[name];
  get(`tool-${name}`).setAttribute("aria-pressed", String(stage.options[name]));
  get("stage").dataset.tool = stage.options.draw ? "draw" : stage.options.window ? "window" : "";
  stage.later();
}

const planeFirst = () => say(asked, "Choose a plane first: H, A or F.");

function chooseDraw() {
  if (!info.writable) return;
  if (!stage.options.draw && current && !stage.kind) return planeFirst();
  option("draw");
  if (document.activeElement.matches("button:not(#tool-draw)")) document.activeElement.blur(); // Enter is the tool's now
}

/** The examination of the frame in the place of the frame, or the frame again. */
async function openExamination(open = !examination.open, k = current?.examination ?? null) {
  if (open && k === null) return toast("The examination of this frame is not known.");
  if (open && !examination.open) opener = document.activeElement;
  get("examination").hidden = !open;
  document.body.classList.toggle("exam-open", open);
  tab(open ? "examinations" : "frames");
  if (!open) {
    stage.resized();
    if (current) showExamination(current); // the arrows may have gone to another one
    announce();
    return opener?.focus({ preventScroll: true });
  }
  stage.leave();
  exams.choose(k);
  examination.show(k, current?.answer.plane, queue).then(announce, (error) => connected(false, error));
  get("exam-close").focus({ preventScroll: true });
  return undefined;
}

async function openFrame(n) {
  if (examination.open) await openExamination(false);
  await show(n);
}

const listed = () => (get("list").hidden ? exams : list);

function tab(name) {
  for (const radio of get("tabs").querySelectorAll("input")) radio.checked = radio.value === name;
  get("list").hidden = name !== "frames";
  get("exam-list").hidden = name === "frames";
  search.follow();
  listed().render();
}

const besideExamination = (by) => {
  const k = exams.beside(examination.k, by);
  if (k !== null) openExamination(true, k);
};

const showAgreement = () => agreement(queue);

/** Show another frame, or say that there is none. */
const go = (n, none) => (n === null ? noFurther(list, none) : show(n));
const step = (by) => (examination.open ? besideExamination(by) : current && go(list.beside(asked, by), "No further frame."));
const KEYS = {
  ArrowLeft: () => step(-1), ArrowRight: () => step(1), ArrowUp: () => step(-1), ArrowDown: () => step(1),
  n: () => current && go(list.undecided(asked), "No frame is without a decision."),
  v: () => decide("accepted"), x: () => decide("rejected"),
  h: () => changePlane("head"), a: () => changePlane("abdomen"), f: () => changePlane("femur"), t: () => changePlane("other"),
  u: undo, y: redo, r: reset,
  "+": () => stage.zoom(1.25), "=": () => stage.zoom(1.25), "-": () => stage.zoom(0.8), 0: () => stage.picture && stage.reset(),
  w: () => option("window"), m: () => option("magnifier"), o: () => option("outline"), d: chooseDraw,
  "[": () => stage.changeGrey(-16, 0), "]": () => stage.changeGrey(16, 0), ",": () => stage.changeGrey(0, 8), ".": () => stage.changeGrey(0, -8),
  s: () => openExamination(), k: openChecklist, b: showAgreement,
  7: () => choose(readingOf(current, 7)), 8: () => choose(readingOf(current, 8)), 9: () => choose(readingOf(current, 9)),
  c: () => get("comment").focus(), "/": () => search.begin(), l: toggleList, e: exportNow, "?": () => openDialog("help"),
};

// ------------------------------------------------------------------------------------------------------ start

async function start() {
  info = await api.about();
  get("notice").textContent = info.notice;
  const role = { blinded: " · blinded", adjudicator: " · adjudicates" }[info.role] ?? "";
  get("who").textContent = info.writable ? (info.reader || "no reader’s name") + role : "read-only";
  document.body.dataset.role = info.role;
  panel = new Panel(info, { plane: changePlane, comment, tick, choose: (reader) => choose(current.readings.find((r) => r.reader === reader)) });
  stage = new Stage(get("stage"), {
    edit: (action, part) => { redraw(action, part); if (stage.options.draw) option("draw"); },
    live: (answer) => { panel.values(answer); if (current) examination.live(current.number, answer); },
    restore: draw, planeless: planeFirst,
    view: () => { get("zoom").textContent = `${Math.round(stage.view.scale * 100)} %`; },
  });
  list = new FrameList(get("list"), get("rows"), (n) => { showList(false); openFrame(n); });
  list.isKept = isKept;
  exams = new ExaminationList(get("exam-list"), get("exam-rows"), (k) => { showList(false); openExamination(true, k); });
  examination = new Examination({ frame: openFrame, details: (n) => cache.details(n), picture: (n) => cache.picture(n), kind: (plane) => info.planes[plane], name: (n) => list.all[n].name, decision: (n) => list.answers.get(n)?.decision, judged: (k, status) => exams.judged({ [k]: status }, list.answers), accepted: (k) => exams.all[k]?.status === "accepted", age: (...found) => panel.age(...found) });
  for (const radio of get("tabs").querySelectorAll("input")) radio.addEventListener("change", () => tab(radio.value));
  search = new Search(listed, progress);
  get("list-toggle").addEventListener("click", toggleList);
  get("help-open").addEventListener("click", KEYS["?"]);
  get("export").addEventListener("click", exportNow);
  get("export").disabled = !info.writable || info.role === "blinded";
  get("agreement-open").hidden = info.role === "blinded";
  for (const button of document.querySelectorAll("[data-key]")) button.addEventListener("click", () => KEYS[button.dataset.key]());
  listen(KEYS, stage, { writable: info.writable, framed: () => !examination.open, shown: () => asked === current?.number, leave: () => openExamination(false) });
  addEventListener("beforeunload", (e) => {
    panel.flush();
    if (unsent() > (away() ? 0 : 1)) e.preventDefault(); // the first is on its way and arrives, the others are only here
  });
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
