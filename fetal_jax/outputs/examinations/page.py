"""One printable page per examination, and their index: self-contained HTML, without a script."""

from __future__ import annotations

import base64
import functools
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from fetal_jax import __version__
from fetal_jax.errors import NOT_CLINICAL
from fetal_jax.growth import format_age
from fetal_jax.outputs import overlay
from fetal_jax.outputs.examinations import chart
from fetal_jax.outputs.examinations.examination import Summary
from fetal_jax.outputs.examinations.tables import RATIOS, Record
from fetal_jax.outputs.examinations.visits import Pregnancy
from fetal_jax.outputs.rows import STATUSES, Row, caption
from fetal_jax.planes import PRIMARY, QUANTITIES
from fetal_jax.reading.images import read_image

CHARTS = ("hc", "ac", "fl", "efw")
MEASURES = ("hc", "bpd", "ofd", "ac", "fl", "efw")
RATIO_NAMES = {
    "cephalic_index": ("Cephalic index", "100 BPD/OFD", ".1f"),
    "hc_ac": ("HC/AC", "", ".2f"),
    "fl_ac": ("FL/AC", "percent", ".1f"),
}
PICTURE_WIDTH = 720
"""Width of a frame on a page in pixels: three frames take about 200 kB."""


@functools.cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # imported here: most calls write no page
    from markupsafe import Markup

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.lstrip_blocks = True
    style = Markup((Path(__file__).parent / "page.css").read_text(encoding="utf-8"))
    environment.globals |= {"style": style, "disclaimer": NOT_CLINICAL, "version": __version__, "statuses": STATUSES}
    environment.globals["standards"] = chart.STANDARD_NAMES
    environment.filters |= {"age": format_age, "grams": grams}
    return environment


def render(pregnancy: Pregnancy, index: int, record: Record, folder: Path, pages: list[str]) -> str:
    """Render the page of one visit.

    Args:
      pregnancy: all visits of the fetus, for the charts.
      index: position of the visit in `pregnancy`.
      record: from `tables.record`.
      folder: the results folder, which holds the overlays.
      pages: paths of the pages of all visits, relative to this one.
    """
    summary = pregnancy.visits[index]
    visits = [
        {"page": page, "summary": visit, "days": pregnancy.days(i), "current": i == index}
        for i, (page, visit) in enumerate(zip(pages, pregnancy.visits, strict=True))
    ]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            record=record,
            summary=summary,
            visits=visits,
            measures=[measure_cells(summary, record, measure) for measure in MEASURES],
            ratios=[
                (*RATIO_NAMES[name][:2], _format(record["ratios"].get(name), RATIO_NAMES[name][2])) for name in RATIOS
            ],
            pictures=[_picture(summary, plane, folder) for plane in PRIMARY],
            charts=[chart.draw(m, summary.standard, p) for m in CHARTS if (p := points(pregnancy, index, m))],
            sources=_sources(summary),
        )
    )


def index(records: list[Record]) -> str:
    """Render the index of all examinations of a results folder."""
    measures = [QUANTITIES[m] for m in ("hc", "ac", "fl", "efw")]
    return _environment().get_template("index.html.j2").render(records=records, measures=measures)


def points(pregnancy: Pregnancy, index: int, measure: str) -> list[chart.Point]:
    """The points of a measure's chart: visits of a pregnancy with a value and an age."""
    found = []
    for i, visit in enumerate(pregnancy.visits):
        value = visit.weight.grams if measure == "efw" and visit.weight else visit.sizes_mm.get(measure)
        if value is not None and visit.weeks is not None:
            by_sizes = visit.known_weeks is None and visit.age
            low, high = (visit.age.low, visit.age.high) if by_sizes and visit.age else (None, None)
            found.append(chart.Point(visit.weeks, value, low, high, i == index))
    return found


def measure_cells(summary: Summary, record: Record, measure: str) -> dict[str, Any]:
    """The cells of a measure's row in the page's table."""
    quantity = QUANTITIES[measure]
    of = record["centiles"].get(measure)
    if measure == "efw":
        status, frames, span = summary.status if summary.weight else "refused", None, None
        value = grams(summary.weight.grams) if summary.weight else None
        reason = summary.reasons.get("weight", "")
    else:
        structure = summary.structures[quantity.plane or ""]
        status, reason = structure.status, structure.reason
        frames = len(structure.counted) if structure.counted else None
        several = frames and frames > 1 and f"{measure}_mm" == PRIMARY[structure.plane]
        span = structure.span_mm if several else None
        value = _format(structure.sizes_mm.get(measure), ".1f")
    return {
        "label": quantity.label,
        "name": quantity.name.replace("Occipital-Frontal", "Occipitofrontal"),
        "unit": quantity.unit,
        "status": status if value else "refused",
        "value": value,
        "frames": frames,
        "span": f"{span[0]:.1f} to {span[1]:.1f}" if span else None,
        "centile": summary.centiles[measure].text if of else None,
        "at": of and _position(of),
        "z": of and of["z"] is not None and f"{of['z']:+.2f}".replace("-", "−"),
        "change": of and of["change"] is not None and f"{of['change']:+.0f}".replace("-", "−"),
        "why": reason if not value else "" if of else summary.reasons.get(measure, ""),
    }


def _position(of: Record) -> float:
    """Position of a centile on a bar from 0 to 100 that shows z-scores from -3 to 3."""
    end = {"below": -3.0, "above": 3.0}.get(of["bound"], 0.0)
    return min(max(50 + 50 / 3 * (end if of["z"] is None else of["z"]), 1), 99)


def _picture(summary: Summary, plane: str, folder: Path) -> dict[str, Any]:
    """The best frame of a structure with its outline, as an embedded JPEG."""
    structure = summary.structures[plane]
    best = structure.best
    name = best and Path(best["file"]).name + (f", frame {best['frame'] + 1}" if best["frame"] else "")
    found = {"plane": plane, "structure": structure, "file": name, "src": None, "alt": ""}
    if best is None or not best["overlay"] or not (folder / best["overlay"]).is_file():
        return found
    size = ", ".join(f"{QUANTITIES[m].label} {mm:.1f} mm" for m, mm in structure.sizes_mm.items())
    return found | {"src": _jpeg(best, folder / best["overlay"]), "alt": f"{plane} with its outline: {size}"}


def _jpeg(row: Row, path: Path) -> str:
    picture = read_image(path)
    picture = picture[: -overlay.band_height(overlay.wrapped(caption(row), picture.shape[1]))]
    image = Image.fromarray(picture)
    if image.width > PICTURE_WIDTH:
        image = image.resize(
            (PICTURE_WIDTH, round(image.height * PICTURE_WIDTH / image.width)), Image.Resampling.LANCZOS
        )
    data = BytesIO()
    image.convert("RGB").save(data, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def _sources(summary: Summary) -> list[str]:
    found = [summary.age, summary.weight, *summary.centiles.values()]
    return list(dict.fromkeys(f"{f.citation}." for f in found if f is not None))


def _format(value: float | None, form: str) -> str | None:
    return None if value is None else format(value, form)


def grams(value: float) -> str:
    """Format whole grams with a thin space as thousands separator."""
    return f"{value:,.0f}".replace(",", " ")
