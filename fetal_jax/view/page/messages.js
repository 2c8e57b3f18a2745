// What the page says beside the picture: progress, toasts, the lost server.

const SHOWN = 5000;
const get = (id) => document.getElementById(id);

let hiding;
export function toast(text, stays = false) {
  get("toast").textContent = text;
  get("toast").classList.add("on");
  clearTimeout(hiding);
  if (!stays) hiding = setTimeout(() => get("toast").classList.remove("on"), SHOWN);
}

let lost = false;
/** Whether the server did not answer last time. */
export const away = () => lost;
export function connected(is, error) {
  if (!is && !lost) toast(error && !(error instanceof TypeError) ? error.message : "The server does not answer. Changes are kept here and sent when it does.", true);
  if (is && lost) toast("The server answers again.");
  lost = !is;
}

export function note(text) {
  get("note").textContent = text;
  get("note").hidden = !text;
}

/** An element with a class and a text. */
export function made(tag, name, text = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.textContent = text;
  return element;
}
