"""`report.html`: one self-contained file with the table, the agreement plot and the worst frames."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from fetal_jax.data.source import Split
from fetal_jax.evaluation.frames import Row
from fetal_jax.inference import overlay

matplotlib.use("Agg")
from matplotlib import pyplot as plt

WORST, PICTURE_WIDTH = 12, 480
NAMES = {"hc_mm": "HC", "ac_mm": "AC", "fl_mm": "FL"}

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem; color: #1a1a1a; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.frames { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: 1rem; }
img { max-width: 100%; height: auto; }
.note { color: #555; }
h1 { font-size: 1.6rem; }
h1, pre, figcaption { overflow-wrap: anywhere; white-space: pre-wrap; }
figure { margin: 0; break-inside: avoid; }
"""


def render(title: str, summary: dict[str, Any], rows: list[Row], frames: Split, command: str) -> str:
    """The page as text.

    Args:
      title: what was evaluated.
      summary: of `frames.summarise`.
      rows: of `frames.evaluate_frames`.
      frames: the split that they are of.
      command: what makes the report again.
    """
    measured = [r for r in rows if r.dice is not None]
    worst = sorted(measured, key=_badness, reverse=True)[:WORST]
    drawn = np.random.default_rng(0).permutation(len(measured))[:WORST]
    chance = [measured[i] for i in drawn]
    plots = [_agreement(m, [r for r in measured if r.measure == m]) for m in NAMES if m in summary]
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{STYLE}</style>
<h1>{html.escape(title)}</h1>
<p class="note">Research software. Not for clinical use. {html.escape(frames.fingerprint)}.</p>
<h2>Millimetres</h2>
{_size_table(summary)}
<p class="note">Over all frames of the plane, the plane given; a failure has no geometry or Dice below 0.90.</p>
{_plane_table(summary)}
<h2>Agreement</h2>
{_agreement_table(summary)}
<p class="note">Limits: Bland-Altman, 95 %. Two sonographers, each scanning anew: Sarris 2012. A frame without a figure
is counted in the table above and is in no mean.</p>
<div class="frames">{"".join(plots)}</div>
<h2>90 % intervals</h2>
{_interval_table(summary)}
<p class="note">Conformal, from the calibration split. The trimester is that of the annotated size (Hadlock 1984);
unknown: outside its formula.</p>
<h2>The worst frames</h2>
<p class="note">Green: annotated. Yellow: measured.</p>
<div class="frames">{"".join(_picture(r, frames) for r in worst)}</div>
<h2>Frames at random</h2>
<div class="frames">{"".join(_picture(r, frames) for r in chance)}</div>
<h2>Made by</h2><pre>{html.escape(command)}</pre>
</html>
"""


def _badness(row: Row) -> float:
    if row.error_mm is None:
        return 1 - (row.dice or 0)
    return np.inf if np.isnan(row.error_mm) else abs(row.error_mm)


def _size_table(summary: dict[str, Any]) -> str:
    columns = {
        "frames": "frames",
        "mae": "MAE mm",
        "bias": "bias mm",
        "sd": "SD mm",
        "mae_ci": "MAE 95 % interval",
        "median": "median mm",
        "max": "largest mm",
        "dice": "Dice",
        "hausdorff_mm": "Hausdorff mm",
        "hausdorff95_mm": "95 % Hausdorff mm",
        "surface_mm": "mean surface mm",
        "within_5_percent": "within 5 %",
        "within_10_percent": "within 10 %",
        "missing": "no figure",
        "failed": "failed",
        "accepted": "accepted",
    }
    measures = [m for m in NAMES if m in summary]
    if not measures:
        return "<p>Millimetres: not measured, no frame of the split has a shape to compare with.</p>"
    head = "".join(f"<th>{name}</th>" for name in ["", *(NAMES[m] for m in measures)])
    body = "".join(
        f"<tr><td>{name}</td>" + "".join(f"<td>{_number(_cell(summary[m], c))}</td>" for m in measures) + "</tr>"
        for c, name in columns.items()
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _plane_table(summary: dict[str, Any]) -> str:
    if "plane" not in summary:
        return "<p>Planes: not measured, the network knows only one.</p>"
    planes = summary["plane"]
    rows = "".join(f"<tr><td>{p}</td><td>{_number(v)}</td></tr>" for p, v in planes["recall"].items())
    total = f"<tr><td>all {planes['frames']} frames</td><td>{_number(planes['accuracy'])}</td></tr>"
    return f"<h2>Planes</h2><table><tr><th></th><th>recall</th></tr>{rows}{total}</table>"


def _cell(summary: dict[str, Any], column: str) -> Any:
    return summary.get("ci", {}).get("mae") if column == "mae_ci" else summary.get(column)


def _agreement_table(summary: dict[str, Any]) -> str:
    """Limits of agreement beside those of two sonographers."""
    found = {m: summary[m]["agreement"] for m in NAMES if summary.get(m, {}).get("agreement")}
    if not found:
        return "<p>Agreement: not measured, fewer than three frames have both figures.</p>"
    head = "<th></th><th>pairs</th><th>bias mm</th><th>limits mm</th><th>limits %</th><th>two sonographers %</th>"
    head += "<th>slope</th><th>ICC(2,1)</th><th>concordance</th>"
    body = "".join(
        f"<tr><td>{NAMES[m]}</td><td>{a['mm']['pairs']}</td>"
        f"<td>{_number(a['mm']['bias'])} ({_number(a['mm']['bias_ci'])})</td>"
        f"<td>{_number((a['mm']['lower'], a['mm']['upper']))}</td>"
        f"<td>{_number((a['percent']['lower'], a['percent']['upper']))}</td><td>± {a['observers_percent']}</td>"
        f"<td>{_number(a['mm']['slope'])}</td><td>{_number(a['icc'])}</td><td>{_number(a['concordance'])}</td></tr>"
        for m, a in found.items()
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _interval_table(summary: dict[str, Any]) -> str:
    """How often the 90 % intervals hold the truth, over all and by trimester."""
    found = {m: summary[m]["interval"] for m in NAMES if summary.get(m, {}).get("interval")}
    if not found:
        return "<p>Intervals: not measured, the bundle has no table (fetal-jax evaluate --calibrate).</p>"
    body = "".join(
        f"<tr><td>{NAMES[m]}, {part}</td><td>{i['frames']}</td><td>{_number(i['coverage'])}</td>"
        f"<td>{_number(i['width_mm'])}</td></tr>"
        for m, whole in found.items()
        for part, i in {"all": whole, **whole["by_trimester"]}.items()
    )
    return f"<table><tr><th></th><th>frames</th><th>coverage</th><th>mean width mm</th></tr>{body}</table>"


def _number(value: Any) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, tuple):
        return f"{value[0]:.3f} to {value[1]:.3f}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _agreement(measure: str, rows: list[Row]) -> str:
    """A Bland-Altman plot (Lancet 1986; 327: 307-10): difference over mean, bias and 95 % limits."""
    pairs = [(r.measured_mm, r.true_mm) for r in rows if r.measured_mm is not None and r.true_mm is not None]
    if len(pairs) < 2:
        return ""
    measured, true = np.array(pairs, float).T
    difference = measured - true
    bias, limit = difference.mean(), 1.96 * difference.std(ddof=1)
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    axes.plot((measured + true) / 2, difference, "o", ms=3, alpha=0.6, color="#1f5f8b")
    for y, style in ((bias, "-"), (bias - limit, "--"), (bias + limit, "--")):
        axes.axhline(y, ls=style, lw=1, color="#444")
    axes.set_xlabel(f"mean {NAMES[measure]} (mm)")
    axes.set_ylabel("measured - annotated (mm)")
    axes.set_title(f"{NAMES[measure]}: bias {bias:+.2f} mm, limits ± {limit:.2f}", fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    plt.close(figure)
    return _image(buffer.getvalue(), f"Bland-Altman plot of {NAMES[measure]}")


def _picture(row: Row, frames: Split) -> str:
    frame = frames[row.index]
    error = "no figure" if row.error_mm is None or np.isnan(row.error_mm) else f"{row.error_mm:+.2f} mm"
    image = Image.fromarray(overlay.draw(frame.image, row.found, [], frame.shape))
    image.thumbnail((PICTURE_WIDTH, PICTURE_WIDTH))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    name = html.escape(row.filename)
    text = f"{name}: {NAMES[row.measure or 'hc_mm']} {error}, Dice {row.dice:.3f}"
    return f"<figure>{_image(buffer.getvalue(), name)}<figcaption>{text}</figcaption></figure>"


def _image(png: bytes, text: str) -> str:
    return f'<img alt="{text}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
