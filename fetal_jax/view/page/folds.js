// What opens and closes: the list on a narrow page, the checklist, the help.

const get = (id) => document.getElementById(id);

/** Open or close the list where the page is too narrow for it to be always there. */
export function showList(open) {
  document.body.classList.toggle("list-open", open);
  get("list-toggle").setAttribute("aria-expanded", String(open));
}

export function toggleList() {
  const open = !document.body.classList.contains("list-open");
  showList(open);
  if (open) (get("list").hidden ? get("exam-list") : get("list")).focus();
}

export function openChecklist() {
  get("checklist").open = !get("checklist").open;
  if (get("checklist").open) get("checklist").querySelector("button")?.focus();
}

export function openHelp() {
  get("help").showModal();
  get("help").scrollTop = 0; // the button that has the focus is at its end
}
