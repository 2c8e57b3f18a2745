"""The pages of an evaluation: sections of tables, texts and pictures, rendered as one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jinja2

from fetal_jax.errors import NOT_CLINICAL

HERE = Path(__file__).parent
STYLE = (HERE / "page.css").read_text()
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
)


class Cell(NamedTuple):
    """A cell of a table: text, and a second line in small type."""

    text: str
    small: str = ""


@dataclass(frozen=True)
class Table:
    """A table of texts and cells; `text_columns` are left-aligned and wrap."""

    kind: ClassVar[str] = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]  # of `str` and `Cell`
    text_columns: tuple[int, ...] = ()
    title: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Plot:
    """A plot as an SVG document, with its caption."""

    svg: str
    caption: str

    @property
    def source(self) -> str:
        """The plot as a `data:` URL."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg.encode()).decode()


@dataclass(frozen=True)
class Outline:
    """A line over a picture: SVG `points`, its `role` ("measured" or "annotated", A or B) and its colour."""

    points: str
    role: str
    colour: str


@dataclass(frozen=True)
class Picture:
    """A frame of `width` x `height` pixels as a JPEG, with outlines in its pixels and a caption."""

    jpeg: bytes
    width: int
    height: int
    outlines: Sequence[Outline]
    caption: str

    @property
    def source(self) -> str:
        """The frame as a `data:` URL."""
        return "data:image/jpeg;base64," + base64.b64encode(self.jpeg).decode()


@dataclass(frozen=True)
class Plots:
    """Plots side by side."""

    kind: ClassVar[str] = "plots"
    items: Sequence[Plot]


@dataclass(frozen=True)
class Pictures:
    """Frames side by side; a click enlarges one."""

    kind: ClassVar[str] = "pictures"
    items: Sequence[Picture]


Block = Table | Text | Plots | Pictures
Sections = dict[str, Sequence[Block]]


def page(title: str, intro: str, sections: Sections, command: str, summary: Sequence[Sequence[str]] = ()) -> str:
    """Render an HTML document that loads nothing and runs no script, which its content security policy enforces.

    Args:
      title: of the page.
      intro: text after the disclaimer.
      sections: blocks by heading; an empty section is left out.
      command: the command that makes the page again.
      summary: points at the top, each a list of sentences.
    """
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return TEMPLATES.get_template("page.html").render(
        title=title,
        intro=intro,
        disclaimer=NOT_CLINICAL,
        sections={h: blocks for h, blocks in sections.items() if blocks},
        command=command,
        summary=summary,
        style=STYLE,
        policy=f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'",
        anchor=anchor,
    )


def anchor(heading: str) -> str:
    """The `id` of a section."""
    return "-".join("".join(c if c.isalnum() else " " for c in heading.lower()).split())


def not_measured(what: str, why: str) -> Text:
    """The text in place of a table that has nothing to show."""
    return Text(f"{what}: not measured, because {why}.")


def number(value: Any, digits: int = 2) -> str:
    """Format a number, a pair as `a to b`, or None as `not measured`."""
    if value is None:
        return "not measured"
    if isinstance(value, list | tuple):
        return f"{value[0]:.{digits}f} to {value[1]:.{digits}f}"
    return f"{round(value, digits) + 0.0:.{digits}f}" if isinstance(value, float) else str(value)  # + 0.0: no "-0.0"


def with_interval(value: Any, interval: Any, digits: int = 2, sd: Any = None) -> Cell:
    """Format a value, ± its SD if given, with its interval in small type."""
    text = number(value, digits) + ("" if sd is None else f" ± {number(sd, digits)}")
    return Cell(text, "" if interval is None else number(interval, digits))
