"""The depth ruler burned into a frame -> millimetres per pixel, or the reason why there is none.

A column of small bright marks with one edge in line, equally spaced: a dot every 5 mm, a dash every 10 mm, a long dash
every 50 mm (GE Voluson). Deep frames leave the dots out. The pattern of dots and dashes gives the distance between two
marks. Any other pattern is refused: marks that are all equal may be 5 or 10 mm apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fetal_jax.reading import edge_ruler
from fetal_jax.reading.spacing import PixelSize, with_ruler

Array = NDArray[Any]

BRIGHTNESS = (235, 200, 160)
"""Grey levels of a mark, tried in turn: marks are white; in frames stored lossily or resized they are greyer."""
MAX_HEIGHT, MAX_WIDTH = 6, 24
MIN_MARKS = 6
MAX_SPECKS = 2000
"""Small bright spots of a frame: real frames have up to 700; more is noise, in which any pattern can be found."""
MIN_PERIOD = 8.0
OFF_LATTICE = 1.2
"""Largest error of a mark's position, in pixels: marks are drawn on whole rows, up to half a row off, and long ones are
a row taller."""
MIN_COVERAGE = 0.65
"""Least share of the positions between the first and the last mark that have one: bright tissue hides some."""
LONG, DASH = 2.5, 1.35
"""Least ratio of light: of a long dash to a dash (4.5, 3.8, 4.4 on three machines), and of a dash to a dot (3, 2, 1.7).
Light and not width, because it stays the same when a frame is resized."""
ALIKE = 0.35
"""Largest relative difference between marks of one kind."""
MAX_ODD = 0.15
"""Largest share of marks that differ from their kind and are ignored: cut off at the frame's edge, or merged with a
caliper or a letter. One is allowed in any ruler."""
BRIGHT_GROUND, UNEVEN_GROUND = 140, 50
"""Grey level and spread around a mark beyond which its position counts, but not its kind."""
MIN_ALIKE = 8
"""Least number of marks of a ruler without dots: there, only the long ones give the distance."""
AGREE = 0.005
"""Largest relative error of the period, and largest relative difference between two readings of one frame."""
PLAUSIBLE_MM = (0.02, 0.6)
NO_SIZE = PixelSize()
SURE = 0.5
"""The least confidence that is accepted."""


@dataclass(frozen=True)
class Marks:
    """Marks on one lattice: row = start + index * period."""

    index: Array
    light: Array
    period: float
    error: float
    """Standard error of the period, relative."""
    coverage: float


def pixel_size(frame: Array) -> PixelSize:
    """Millimetres per pixel of a grey frame (H, W) uint8 from its ruler, pixels taken as square."""
    reason = "no ruler was found"
    for brightness in BRIGHTNESS:
        read = []
        for marks in _lattices(frame, brightness):
            step = _step_mm(marks)
            if isinstance(step, str):
                reason = step
            else:
                read.append((_confidence(marks), step / marks.period))
        if read:
            confidence, mm = max(read)
            if any(abs(other / mm - 1) > AGREE for _, other in read):
                reason = "two rulers say different things"
            elif confidence < SURE or not PLAUSIBLE_MM[0] < mm < PLAUSIBLE_MM[1]:
                reason = f"the ruler is not sure (confidence {confidence:.2f})"
            else:
                return PixelSize((mm, mm), "ruler", confidence=confidence)
    return PixelSize(reason=reason)


def _lattices(frame: Array, brightness: int) -> list[Marks]:
    """Find every column of equally spaced marks with their left or right edges in line."""
    labels, _ = ndimage.label(frame >= brightness, np.ones((3, 3)))
    boxes = np.array([(y.start, y.stop, x.start, x.stop) for y, x in ndimage.find_objects(labels)]).reshape(-1, 4)
    small = boxes[(boxes[:, 1] - boxes[:, 0] <= MAX_HEIGHT) & (boxes[:, 3] - boxes[:, 2] <= MAX_WIDTH)]
    small = small[(small[:, 2] > 0) & (small[:, 3] < frame.shape[1])]  # cut off, a mark does not show its kind
    if len(small) > MAX_SPECKS:
        return []
    light = np.array([_light(frame, box) for box in small])
    rows = (small[:, 0] + small[:, 1]) / 2
    found = []
    for edge in (small[:, 2], small[:, 3]):
        for x in np.unique(edge):
            line = np.abs(edge - x) <= 1
            if np.isfinite(light[line]).sum() >= MIN_MARKS:
                found.append(_lattice(rows[line], light[line]))
    return [marks for marks in found if marks is not None]


def _light(frame: Array, box: Array) -> float:
    """Light of a mark above its ground, as a number of white pixels; NaN on ground that is too bright or uneven."""
    y0, y1, x0, x1 = box
    window = frame[max(y0 - 2, 0) : y1 + 2, max(x0 - 2, 0) : x1 + 2].astype(float)
    inner = np.zeros(window.shape, bool)
    top, left = min(y0, 2), min(x0, 2)  # of the mark in the window; it may be blurred by a pixel
    inner[max(top - 1, 0) : top + y1 - y0 + 1, max(left - 1, 0) : left + x1 - x0 + 1] = True
    ring = window[~inner]
    around = float(np.median(ring)) if len(ring) else 0.0
    if around > BRIGHT_GROUND or (len(ring) and np.ptp(np.quantile(ring, [0.1, 0.9])) > UNEVEN_GROUND):
        return float("nan")
    return float(np.clip(window - around, 0, None)[inner].sum() / (255 - around))


def _lattice(rows: Array, lights: Array) -> Marks | None:
    """Fit the equal spacing that most marks follow; of spacings that fit equally many, the widest."""
    order = np.argsort(rows)
    rows, lights = rows[order], lights[order]
    best = None
    for i in range(len(rows)):
        for j in range(i + 1, min(i + 4, len(rows))):
            period = rows[j] - rows[i]
            if period >= MIN_PERIOD:
                marks = _follow(rows, lights, rows[i], period)
                if marks and (best is None or (len(marks.index), marks.period) > (len(best.index), best.period)):
                    best = marks
    return best


def _follow(rows: Array, lights: Array, start: float, period: float) -> Marks | None:
    reach = 4
    for _ in range(4):  # from nearby marks outwards, as the period becomes more exact
        index = np.rint((rows - start) / period)
        fits = (np.abs(rows - start - index * period) <= OFF_LATTICE) & (np.abs(index) <= reach)
        if fits.sum() < 3 or np.ptp(index[fits]) < 2:
            return None
        period, start = np.polyfit(index[fits], rows[fits], 1)
        if period < MIN_PERIOD:
            return None
        reach *= 4
    index = np.rint((rows - start) / period).astype(int)
    off = np.abs(rows - start - index * period)
    order = np.argsort(off)  # of two marks at one position, the nearer one
    chosen = order[np.sort(np.unique(index[order], return_index=True)[1])]
    chosen = np.sort(chosen[off[chosen] <= OFF_LATTICE])
    index, off = index[chosen], off[chosen]
    coverage = len(index) / (np.ptp(index) + 1)
    if len(index) < MIN_MARKS or coverage < MIN_COVERAGE:
        return None
    spread = np.sqrt(((index - index.mean()) ** 2).sum())
    error = np.sqrt(np.mean(off**2)) / spread / period
    return Marks(index, lights[chosen], float(period), float(error), float(coverage))


def _step_mm(marks: Marks) -> float | str:
    """Millimetres from one mark to the next, or why their pattern does not show it."""
    known = np.isfinite(marks.light)
    index, light = marks.index[known], marks.light[known]
    parity = index % 2
    medians = [np.median(light[parity == p]) if (parity == p).any() else 0.0 for p in (0, 1)]
    dash = int(medians[1] > medians[0])
    long = light >= LONG * medians[dash]
    usual = np.array(
        [np.median(light[~long & (parity == p)]) if (~long & (parity == p)).any() else 1.0 for p in (0, 1)]
    )
    odd = ~long & (np.abs(light / usual[parity] - 1) > ALIKE)
    if odd.sum() > max(1, MAX_ODD * len(light)):
        return "the ruler's marks follow no known pattern"
    index, light, parity, long = index[~odd], light[~odd], parity[~odd], long[~odd]
    at, short = np.sort(index[long]), index[~long]
    dots, dashes = light[~long & (parity != dash)], light[~long & (parity == dash)]
    alternating = min(len(dots), len(dashes)) >= 3 and dashes.min() >= DASH * dots.max()
    kinds = (dots, dashes) if alternating else (np.concatenate([dots, dashes]),)
    if any(np.abs(kind / np.median(kind) - 1).max() > ALIKE for kind in kinds if len(kind)):
        return "the ruler's marks follow no known pattern"
    step = 10 if alternating else 5  # marks from one long one to the next
    regular = not len(at) or ((np.diff(at) % step == 0).all() and ((short - at[0]) % step != 0).all())
    if not regular or (alternating and len(at) and at[0] % 2 != dash):
        return "the ruler's long marks are not where they should be"
    if not alternating and (len(index) < MIN_ALIKE or step not in np.diff(at)):
        return "the ruler's marks are alike, so that their distance is not known"
    return 5.0 if alternating else 10.0


def _confidence(marks: Marks) -> float:
    """Confidence in [0, 1]: lower if marks are missing or few, the period is inexact, or no long dash confirms it."""
    confirmed = 1.0 if np.nanmax(marks.light) >= LONG * np.nanmedian(marks.light) else 0.8
    few = min(1.0, len(marks.index) / 8)
    return float(confirmed * marks.coverage * few * max(0.0, 1 - marks.error / AGREE))


def read(frame: Array, size: PixelSize = NO_SIZE) -> PixelSize:
    """Complete the file's own millimetres per pixel by the rulers of its grey frame (`spacing.with_ruler`)."""
    return with_ruler(size, *read_rulers(frame))


def read_rulers(frame: Array) -> tuple[PixelSize, PixelSize]:
    """Read the rulers of a grey frame (H, W) uint8: down its rows, and along its columns if there is one too.

    Marks down the rows (Voluson), or ticks on the left and the bottom edge (Aloka).
    """
    marks = pixel_size(frame)
    left, bottom, unit = edge_ruler.read_ticks(frame)
    if isinstance(unit, str):
        return marks, PixelSize()
    down, along = _from_edges(left, bottom, unit)
    if marks.mm and down.mm and abs(marks.mm[0] / down.mm[0] - 1) > AGREE:
        return PixelSize(reason="two rulers say different things"), PixelSize()
    return (marks, along) if marks.mm else (down, along)


def _from_edges(
    left: edge_ruler.Ticks | None, bottom: edge_ruler.Ticks | None, unit: float
) -> tuple[PixelSize, PixelSize]:
    """Millimetres per pixel from the ticks; if the two edges agree to 1 %, one scale for both, of square pixels."""
    if left and bottom and abs(left.period / bottom.period - 1) <= 2 * AGREE:
        weights = np.array([left.error, bottom.error]) ** -2.0
        period = float(np.average([left.period, bottom.period], weights=weights))
        both = _edge(unit / period, float(weights.sum() ** -0.5))
        return both, both
    down, along = (_edge(unit / t.period, t.error) if t else PixelSize() for t in (left, bottom))
    return down, along


def _edge(mm: float, error: float) -> PixelSize:
    confidence = max(0.0, 1 - error / AGREE)
    if confidence < SURE or not PLAUSIBLE_MM[0] < mm < PLAUSIBLE_MM[1]:
        return PixelSize(reason=f"the ruler is not sure (confidence {confidence:.2f})")
    return PixelSize((mm, mm), "ruler", confidence=confidence)
