// The keyboard: one key a tool; arrows move the chosen handle, or go through frames and examinations.

import { showList } from "./folds.js";

/** Keys that mean something in an examination too. */
const EVERYWHERE = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "s", "l", "e", "b", "?", "/"]);

/** Keys that act again and again while they are held; the others act once, so that no decision flips by itself. */
const HELD = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "+", "=", "-", "[", "]", ",", "."]);
/** The key that has acted, until another one is pressed. */
let acted = null;

/** No plane or list is under the arrows any more. */
export function letGoOfChoice() {
  if (document.activeElement?.type === "radio") document.activeElement.blur();
}

/** Call what `keys` has for a key; page: {writable, framed(), shown(), leave()}. */
export function listen(keys, stage, page) {
  addEventListener("keydown", (e) => pressed(e, keys, stage, page));
  addEventListener("click", (e) => e.detail && letGoOfChoice()); // by a pointer: the next arrow goes to the next frame
}

function pressed(e, keys, stage, page) {
  if (!e.repeat) acted = null;
  if (document.querySelector("dialog[open]")) return undefined;
  if (e.key === "Escape" && e.target.id === "filter" && e.target.value) return empty(e);
  if (e.key === "Escape") {
    if (!page.framed()) return page.leave();
    stage.cancel();
    if (stage.options.draw) keys.d();
    showList(false);
    document.activeElement?.blur();
    return undefined;
  }
  if (e.target.matches("textarea, input[type=search]")) {
    if (e.repeat && e.key === acted) return e.preventDefault(); // the key that led here is no text
    if (e.key === "Enter" && e.ctrlKey) e.target.blur();
    return undefined;
  }
  const key = e.key.length === 1 ? e.key.toLowerCase() : e.key;
  if (e.repeat && key === "Enter" && e.target.matches("button")) return e.preventDefault(); // it would click again
  const framed = page.framed();
  if (!framed && !EVERYWHERE.has(key)) return undefined;
  if ((e.ctrlKey || e.metaKey) && key === "z") return framed && act(e, e.shiftKey ? keys.y : keys.u);
  if (e.ctrlKey || e.metaKey) return undefined;
  if (framed && key.startsWith("Arrow") && page.writable && stage.focused) {
    return act(e, () => stage.nudge(key, e.shiftKey ? 10 : e.altKey ? 0.1 : 1));
  }
  if (e.repeat && framed && key.startsWith("Arrow") && !page.shown()) return e.preventDefault(); // a held key passes no frame unseen
  if (e.altKey || (e.target.type === "radio" && key.startsWith("Arrow"))) return undefined;
  if (key >= "1" && key <= "6") return act(e, () => stage.focusHandle(Number(key) - 1));
  if (key === "Enter" && stage.options.draw && !e.target.matches("button")) return act(e, () => stage.drawInMiddle());
  return keys[key] && act(e, keys[key]);
}

/** Empty the search box and leave it. The browser empties it too, but then it has lost the focus and says nothing. */
function empty(e) {
  e.preventDefault();
  e.target.value = "";
  e.target.dispatchEvent(new Event("input"));
  e.target.blur();
  showList(false); // keys act on the frame again, so it is in sight
}

function act(e, work) {
  e.preventDefault();
  if (e.repeat && !HELD.has(e.key)) return;
  acted = e.key;
  work();
}
