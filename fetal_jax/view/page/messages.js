// What the page says beside the picture: progress, toasts, the lost server.

const SHOWN = 5000;
const get = (id) => document.getElementById(id);

/** Say something for five seconds, or until what is returned is called; it hides nothing that is still being said. */
export function toast(text, stays = false) {
  const box = get("toast"), line = made("p", "", text);
  const end = () => {
    line.remove();
    box.classList.toggle("on", box.children.length > 0);
  };
  [...box.children].find((said) => said.textContent === text)?.remove(); // said again: once is enough
  box.append(line);
  box.classList.add("on");
  if (!stays) setTimeout(end, SHOWN);
  return end;
}

const ofFrame = [];
/** Say something about the frame in sight: it ends when the frame is left. */
export function sayOfFrame(text) {
  ofFrame.push(toast(text));
}
export function frameLeft() {
  for (const end of ofFrame.splice(0)) end();
}

let back = null;
/** Whether the server did not answer, and not everything that was missed has been asked for again. */
export const away = () => back !== null;
export function connected(is, error) {
  if (!is && !away()) back = toast(whyAway(error), true);
  if (!is || !away()) return;
  back();
  back = null;
  toast("The server answers again.");
}

function whyAway(error) {
  if (error?.status === 507) return `The change ${error.message}. Changes are kept here and sent when there is room.`;
  if (error && !(error instanceof TypeError)) return error.message;
  return `The server does not answer. Changes are kept here and sent when it does: start it again with --port=${location.port}.`;
}

export function note(text) {
  get("note").textContent = text;
  get("note").hidden = !text;
}

/** Change a text that is another one: what is under the pointer stays. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Make what is in a box anew where `key` says that it is something else; what stays keeps the focus and a press. */
export function remake(box, key, make) {
  if (box.dataset.made === key) return;
  box.dataset.made = key;
  box.replaceChildren(...make());
}

/** An element with a class and a text. */
export function made(tag, name, text = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.textContent = text;
  return element;
}
