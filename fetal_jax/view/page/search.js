// The search box: a list keeps its own text, a line says what that hides, one click shows all again.

import { toast, write } from "./messages.js";

const get = (id) => document.getElementById(id);

/** What the line of progress says of a search. */
export const hidden = ({ hides }) => (hides ? ` · ${hides} hidden by a search` : "");

/** Say that a list ends here: one that a search has cut ends early. */
export const noFurther = ({ hides, name }, text) => toast(hides ? `${text} A search hides ${hides} ${name}${hides === 1 ? "" : "s"}.` : text);

export class Search {
  /** lists: () => the list in sight; changed() is called after a text. */
  constructor(lists, changed) {
    this.lists = lists;
    this.changed = changed;
    get("filter").addEventListener("input", (e) => this.use(e.target.value));
    get("show-all").addEventListener("click", () => {
      this.use("");
      this.follow();
      get("filter").focus(); // the button is gone
    });
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
    const { text, shown, all, name } = this.lists();
    get("found").hidden = !text;
    write(get("found-said"), !text ? "" : shown.length ? `${shown.length} of ${all.length} ${name}s` : `No ${name} found.`);
  }
}
