"""A results folder as `fetal-jax measure` leaves it, of drawn frames, without a network; and a server on it."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np

from fetal_jax.geometry import Ellipse
from fetal_jax.outputs.rows import COLUMNS, GEOMETRY, Row, age, spacing_of
from fetal_jax.reading.images import write_png
from fetal_jax.view.answer import Answer
from tests.support.command import heeding_interrupts
from tests.support.dicom_files import region, save, ultrasound
from tests.support.examination_rows import sizes
from tfds_builders.fetal_phantom.acoustics import Machine
from tfds_builders.fetal_phantom.phantom import draw

MACHINE = Machine(300, 400, clear=True)
drawn = functools.cache(draw)
STATUSES = ("measured", "review", "measured", "refused")
PLANES = ("head", "abdomen", "femur")


def row(path: Path, plane: str | None, status: str, **values: Any) -> Row:
    """A row with the values of its shape."""
    found = dict.fromkeys((*COLUMNS, *GEOMETRY)) | {"file": str(path), "frame": 0, "status": status, "plane": plane}
    found |= {"flags": [], "plane_probability": 0.99, "reason": None if status == "measured" else "why not"} | values
    if status in ("measured", "review"):
        mm = Answer.of_row(found).millimetres(spacing_of(found))
        found |= mm | age(mm)
    return found


def write_results(home: Path, frames: int = 8, dicom: bool = False, column_mm: float = 1.0) -> list[Row]:
    """Frames in `home/frames`, their rows in `home/results`; `column_mm` makes pixels that are not square."""
    (home / "frames").mkdir(parents=True)
    rows = []
    for i in range(frames):
        phantom = drawn(PLANES[i % 3], 500_000 + i, MACHINE)
        shape = phantom.shape
        name = f"frame_{i:02d}"
        spacing = phantom.spacing_mm, phantom.spacing_mm * column_mm
        if dicom:
            path = save(ultrasound(phantom.image, [region(*spacing)]), home / "frames" / f"{name}.dcm")
        else:
            path = home / "frames" / f"{name}.png"
            write_png(path, phantom.image)
        key = "ellipse_px" if isinstance(shape, Ellipse) else "shaft_px"
        numbers = {key: np.asarray(shape).tolist(), "spacing_mm": spacing[0], "column_spacing_mm": spacing[1]}
        numbers |= {"spacing_source": "dicom" if dicom else "flag", "overlay": f"overlays/{name}.png"}
        rows.append(row(path, PLANES[i % 3], STATUSES[i % 4], **numbers))
    save_rows(home / "results", rows)
    return rows


def write_examinations(home: Path, women: int = 2, dicom: bool = False, weeks: float = 24.0) -> list[Row]:
    """Head, abdomen and femur of each woman on one day, `weeks` old by Hadlock; the first head is to review."""
    (home / "frames").mkdir(parents=True)
    wanted, rows = sizes(weeks), []
    for w in range(women):
        for plane, measure in zip(PLANES, ("hc", "ac", "fl"), strict=True):
            phantom = drawn(plane, 600_000 + 10 * w + len(rows), MACHINE)
            ellipse = isinstance(phantom.shape, Ellipse)
            mm = wanted[measure] / (phantom.shape.perimeter if ellipse else phantom.shape.length)
            path = home / "frames" / f"w{w}_{plane}.{'dcm' if dicom else 'png'}"
            if dicom:
                image = ultrasound(phantom.image, [region(mm, mm)])
                image.StudyInstanceUID = f"1.2.3.{w + 1}"
                save(image, path)
            else:
                write_png(path, phantom.image)
            numbers = {"ellipse_px" if ellipse else "shaft_px": np.asarray(phantom.shape).tolist()}
            numbers |= {"spacing_mm": mm, "column_spacing_mm": mm, "spacing_source": "dicom" if dicom else "csv"}
            numbers |= {"examination": f"visit-{w}", "patient": f"woman-{w}", "day": 100, "frame_px": [400, 300]}
            rows.append(row(path, plane, "measured" if rows else "review", regions_px=[], **numbers))
    save_rows(home / "results", rows)
    return rows


def save_rows(folder: Path, rows: list[Row]) -> None:
    (folder / "overlays").mkdir(parents=True, exist_ok=True)
    (folder / "measurements.json").write_text(json.dumps(rows))
    (folder / "call.json").write_text(json.dumps({"paths": []}))


class Server:
    """`fetal-jax view` in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "fetal_jax.cli.main", "view", str(folder), "--no-browser", *options]
        quiet = {**os.environ, "PYTHONWARNINGS": ""}
        with heeding_interrupts():
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=quiet
            )
        assert self.process.stdout
        self.address = self.process.stdout.readline().strip()
        if not self.address.startswith("http://"):
            raise AssertionError(self.process.communicate()[1])

    @functools.cached_property
    def page(self) -> str:
        """What the page says with every request."""
        with urlopen(f"{self.address}api/about") as answer:
            return json.load(answer)["page"]

    def post(self, path: str, data: Any) -> Any:
        """Send what the page sends; returns the answer."""
        headers = {"content-type": "application/json", "x-page": self.page}
        with urlopen(Request(self.address + path, json.dumps(data).encode(), headers)) as answer:
            return json.load(answer)

    def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            self.process.communicate()

    def stop(self) -> tuple[int, str]:
        """End it as a terminal does; returns the exit code and what it wrote on stderr."""
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    server = Server(folder, *options)
    try:
        yield server
    finally:
        server.kill()
