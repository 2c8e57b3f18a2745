// The server's interface. With a token, it comes after the # of the address and goes into a header.

const headers = {};

function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  const token = sessionStorage.getItem("token");
  if (token) headers.authorization = `Bearer ${token}`;
}

takeToken();
addEventListener("hashchange", takeToken); // that of a server which was started again: what waits here is sent to it

async function ask(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { ...headers, ...options.headers }, cache: "no-store" });
  if (response.ok || (response.status === 409 && options.conflict)) return response;
  let reason = response.statusText;
  try { reason = (await response.json()).error; } catch { /* no JSON: the status says it */ }
  throw Object.assign(new Error(reason || `the server answered ${response.status}`), { status: response.status });
}

const post = (path, data, conflict = false) =>
  ask(path, { method: "POST", body: JSON.stringify(data), headers: { "content-type": "application/json" }, keepalive: true, conflict });

/** The facts of the page; from now on every request says which page it comes from. */
export async function about() {
  const found = await (await ask("/api/about")).json();
  headers["x-page"] = found.page;
  return found;
}
export const changes = async (rows, event, exams, remeasured) => (await ask(`/api/changes?rows=${rows}&event=${event}&exams=${exams}&remeasured=${remeasured}`)).json();
export const frame = async (n) => (await ask(`/api/frames/${n}`)).json();
export const examination = async (k) => (await ask(`/api/examinations/${k}`)).json();
/** The age and the examination of a frame with an answer that is not recorded yet. */
export const preview = async (n, answer) => (await post(`/api/frames/${n}/preview`, answer)).json();
export const agreement = async () => (await ask("/api/agreement")).json();
export const exportAll = async () => (await post("/api/export", {})).json();

/** A new event's id. `crypto.randomUUID` is missing where the page comes from another machine without TLS. */
export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (v) => v.toString(16).padStart(2, "0")).join("");

/** Record an event; {conflict: true, ...state} where another tab was first. */
export async function change(n, event) {
  const response = await post(`/api/frames/${n}/events`, event, true);
  const data = await response.json();
  if (response.status === 409 && data.error) throw new Error(data.error);
  return { ...data, conflict: response.status === 409 };
}

/** The picture of a frame: {grey, width, height, isFrame}. */
export async function picture(n) {
  const response = await ask(`/api/frames/${n}/image`);
  const bitmap = await createImageBitmap(await response.blob());
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const rgba = context.getImageData(0, 0, canvas.width, canvas.height);
  return { rgba, width: canvas.width, height: canvas.height, isFrame: response.headers.get("x-picture") === "frame" };
}
