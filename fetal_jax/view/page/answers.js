// What a change makes of the frame on the page, before the server has answered.

/** Changes after which a decision is open again. */
export const REOPENS = new Set(["move", "pull", "turn", "draw", "plane", "reset"]);
const ASIDE = new Set(["comment", "tick"]); // they are about the frame, not the outline
const STEPS = { undo: [-1, 1], redo: [1, -1] };

/** Whether two answers have the same plane and outlines. */
export const alike = (one, two) => ["plane", "ellipse", "shaft"].every((key) => JSON.stringify(one[key]) === JSON.stringify(two[key]));

/** The frame after a change {action, answer, reader}; `last` is its last action that is about the outline. */
export function after(frame, { action, answer, reader }) {
  const [undo, redo] = STEPS[action] ?? [1, -frame.redo];
  const other = action in STEPS || REOPENS.has(action);
  return {
    ...frame,
    answer: answer ?? frame.answer,
    undo: frame.undo + undo,
    redo: frame.redo + redo,
    taken: action === "choose" ? reader : other ? null : frame.taken,
    last: ASIDE.has(action) ? frame.last : action,
  };
}

/** The frame with a state of the server's; `aged` is the answer that its age is of. */
export function withState(frame, state) {
  const last = state.events.filter(({ action }) => !ASIDE.has(action)).at(-1)?.action;
  return { ...frame, ...state, aged: state.answer, last };
}
