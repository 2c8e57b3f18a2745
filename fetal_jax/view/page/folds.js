// What opens and closes: the list on a narrow page, the checklist, the dialogs.

const get = (id) => document.getElementById(id);

/** Open or close the list where the page is too narrow for it to be always there. */
export function showList(open) {
  document.body.classList.toggle("list-open", open);
  get("list-toggle").setAttribute("aria-expanded", String(open));
}

/** Close the list when the focus goes on behind it. Its own button opens and closes it. */
get("frames").addEventListener("focusout", ({ relatedTarget: next }) => {
  if (next && !get("frames").contains(next) && next !== get("list-toggle")) showList(false);
});

export function toggleList() {
  const open = !document.body.classList.contains("list-open");
  showList(open);
  if (open) (get("list").hidden ? get("exam-list") : get("list")).focus();
}

export function openChecklist() {
  get("checklist").open = !get("checklist").open;
  if (get("checklist").open) get("checklist").querySelector("button")?.focus();
}

/** Open a dialog at its beginning: the button that has the focus is at its end. */
export function openDialog(id) {
  get(id).showModal();
  get(id).scrollTop = 0;
}
