// What was read of frames: a cache that keeps what was used last.

import * as api from "./api.js";

const KEPT = 16;

/** What a map holds of a frame, or what `ask` gives. */
function kept(map, n, ask) {
  const found = map.get(n) ?? ask();
  map.delete(n);
  map.set(n, found);
  if (map.size > KEPT) map.delete(map.keys().next().value);
  return found;
}

export class FrameCache {
  /** version(n): that of a frame's newest answer. */
  constructor(version) {
    this.version = version;
    this.pictures = new Map();
    this.found = new Map();
    /** Why a frame has no picture. */
    this.why = new Map();
  }

  /** A frame's picture; null where it cannot be read. */
  picture(n) {
    return kept(this.pictures, n, () => api.picture(n).catch((error) => {
      this.pictures.delete(n);
      if (error instanceof TypeError) throw error; // no answer says nothing about the picture
      this.why.set(n, error.message);
      return null;
    }));
  }

  /** A frame's details, read again where the answer has changed since. */
  async details(n) {
    const found = await kept(this.found, n, () => api.frame(n));
    if (found.version === this.version(n)) return found;
    this.forgetDetails(n);
    return kept(this.found, n, () => api.frame(n));
  }

  forgetDetails(n) { this.found.delete(n); }

  /** Forget a frame: it may show something else. */
  forget(n) {
    this.pictures.delete(n);
    this.forgetDetails(n);
  }
}
