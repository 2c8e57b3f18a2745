// A cache that keeps what was used last.

const KEPT = 16;

/** What a cache holds of a frame, or what `ask` gives. */
export function kept(cache, n, ask) {
  const found = cache.get(n) ?? ask();
  cache.delete(n);
  cache.set(n, found);
  if (cache.size > KEPT) cache.delete(cache.keys().next().value);
  return found;
}
