// The search box: a list keeps its own text, a line says what that hides, one click shows all again.

import { showList } from "./folds.js";
import { toast, write } from "./messages.js";

const get = (id) => document.getElementById(id);

/** What the line of progress says of a search. */
export const hidden = ({ hides }) => (hides ? ` · ${hides} hidden by a search` : "");

/** Say that a list ends here: one that a search has cut ends early. */
export const noFurther = ({ hides, name }, text) => toast(hides ? `${text} A search hides ${hides} ${name}${hides === 1 ? "" : "s"}.` : text);

/** The row that a text means: of that name, else with a name that begins so, else the first. */
function best(shown, text) {
  const wanted = text.trim().toLowerCase(), names = shown.map((row) => row.name.toLowerCase());
  const found = [names.indexOf(wanted), names.findIndex((name) => name.startsWith(wanted)), 0];
  return shown[found.find((i) => i >= 0)];
}

export class Search {
  /** lists: () => the list in sight; changed() is called after a text. */
  constructor(lists, changed) {
    this.lists = lists;
    this.changed = changed;
    get("filter").addEventListener("input", (e) => this.use(e.target.value));
    get("filter").addEventListener("keydown", (e) => e.key === "Enter" && this.enter(e));
    get("show-all").addEventListener("click", () => {
      this.use("");
      this.follow();
      this.lists().box.focus(); // the button is gone, and letters typed next are keys again
    });
  }

  /** Go to the box, wherever the list is. */
  begin() {
    showList(true); // a box that is not in sight takes no focus, and the letters would decide
    get("filter").focus();
  }

  /** Open the first that is found. Where there is none the box keeps the focus: letters typed next decide nothing. */
  enter(e) {
    const { text, shown, open } = this.lists();
    e.preventDefault(); // it would click what has the focus next
    if (text && !shown.length) return;
    get("filter").blur();
    showList(false);
    if (text) open(best(shown, text).n);
  }

  use(text) {
    this.lists().filter(text);
    this.say();
    this.changed();
  }

  /** Another list is in sight: its own text stands in the box. */
  follow() {
    const list = this.lists();
    get("filter").value = list.text;
    get("filter").placeholder = `Find ${list.name === "frame" ? "a frame" : "an examination"}  /`;
    this.say();
  }

  say() {
    const { text, shown, there, name, without } = this.lists();
    const found = shown.length ? `${shown.length} of ${there.length} ${name}s${without ? " · not the one in sight" : ""}` : `No ${name} found.`;
    get("found").hidden = !text;
    write(get("found-said"), text ? found : "");
  }
}
