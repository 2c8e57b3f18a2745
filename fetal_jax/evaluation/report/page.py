"""What all pages of an evaluation share: one self-contained file, its style, tables, numbers and pictures."""

from __future__ import annotations

import base64
import html
from typing import Any

from fetal_jax.errors import NOT_CLINICAL

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem; color: #1a1a1a; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { margin-top: 2.5rem; border-top: 1px solid #ddd; padding-top: 1rem; }
h1, pre, td.text, figcaption, .note { overflow-wrap: anywhere; }
pre { white-space: pre-wrap; background: #f5f5f5; padding: .7rem; font-size: .85rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
caption { text-align: left; color: #555; padding-bottom: .3rem; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 6.5rem; }
td.text, th.text { text-align: left; white-space: normal; }
td small { display: block; color: #555; }
td small.why { white-space: normal; min-width: 8rem; }
.plots, .frames { display: grid; gap: 1rem; }
.plots { grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
.frames { grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr)); }
img { width: 100%; height: auto; display: block; }
figure { margin: 0; break-inside: avoid; }
figcaption { font-size: .9rem; color: #333; }
.note { color: #555; }
.warn { font-weight: 600; }
@media (max-width: 480px) { body { font-size: 15px; padding: .7rem; } th, td { padding: .25rem .4rem; } }
@media print {
  @page { margin: 14mm; }
  body { font-size: 9.5pt; max-width: none; padding: 0; }
  h2 { break-after: avoid; margin-top: 1.2rem; }
  tr { break-inside: avoid; }
  th, td { padding: .15rem .35rem; }
  .scroll { overflow: visible; }
  .plots { grid-template-columns: 1fr 1fr; }
  .frames { grid-template-columns: 1fr 1fr 1fr; }
}
"""


def page(title: str, intro: str, sections: dict[str, str], command: str) -> str:
    """A whole HTML document that asks for nothing else.

    Args:
      title: plain text.
      intro: plain text, after the notice that stands on every page.
      sections: headings, plain text, and what stands under each, HTML. An empty one is left out.
      command: what makes the page again.
    """
    body = "\n".join(f"<h2>{html.escape(h)}</h2>\n{content}" for h, content in sections.items() if content)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{STYLE}</style>
<h1>{html.escape(title)}</h1>
<p class="note"><span class="warn">{NOT_CLINICAL}</span> {html.escape(intro)}</p>
{body}
<h2>The command that makes this again</h2><pre>{html.escape(command)}</pre>
</html>
"""


def table(head: list[str], rows: list[list[str]], text_columns: tuple[int, ...] = ()) -> str:
    """A table; cells are HTML. It scrolls by itself where the page is narrower."""
    kind = [" class=text" * (i in text_columns) for i in range(len(head))]
    top = "".join(f"<th{k}>{cell}</th>" for k, cell in zip(kind, head, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{k}>{cell}</td>" for k, cell in zip(kind, row, strict=True)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><tr>{top}</tr>{body}</table></div>'


def note(text: str) -> str:
    """A paragraph of explanation; the text is HTML."""
    return f'<p class="note">{text}</p>'


def not_measured(what: str, why: str) -> str:
    """What stands in place of a table."""
    return f"<p>{what}: not measured, because {html.escape(why)}.</p>"


def number(value: Any, digits: int = 2) -> str:
    """A number, a pair `a to b`, or `not measured`."""
    if value is None:
        return "not measured"
    if isinstance(value, list | tuple):
        return f"{value[0]:.{digits}f} to {value[1]:.{digits}f}"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def with_interval(value: Any, interval: Any, digits: int = 2, sd: Any = None) -> str:
    """A figure, ± its SD where given, and its interval in small type below."""
    text = number(value, digits) + ("" if sd is None else f" ± {number(sd, digits)}")
    return text + ("" if interval is None else f"<small>{number(interval, digits)}</small>")


def image(data: bytes, kind: str, text: str) -> str:
    """A picture inside the page: `kind` is its MIME type, `text` what it shows."""
    encoded = base64.b64encode(data).decode()
    return f'<img alt="{html.escape(text)}" src="data:image/{kind};base64,{encoded}">'


def figure(picture: str, caption: str) -> str:
    """A picture with a line below it, plain text."""
    return f"<figure>{picture}<figcaption>{html.escape(caption)}</figcaption></figure>"
