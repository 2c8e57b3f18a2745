"""Reports of drawn heads, and what every page must keep to."""

from __future__ import annotations

import re

from fetal_jax.evaluation import outputs
from fetal_jax.evaluation.report.report import Origin
from fetal_jax.evaluation.summary import summarise


def write_report(out, frames, evaluated, data_dir="", **more):
    """Evaluate into a folder; the page as text."""
    summary = summarise(evaluated) | more
    origin = Origin("a <title>", f"fetal-jax evaluate --out={out}", data_dir)
    with outputs.claiming(out) as claim:
        outputs.write(claim, summary, evaluated, frames, origin)
    return (out / "report.html").read_text()


def loads_nothing(page):
    """No address, file or script outside the page, and a policy that forbids them."""
    links = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'>)\s]{0,5})""", page)
    assert {link for link in links if not link.startswith("#")} <= {"data:"}
    assert "<script" not in page
    assert "@import" not in page
    assert "default-src &#39;none&#39;" in page
    assert "style=" not in page  # the policy allows the one style sheet, by its digest
