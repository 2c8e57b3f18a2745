"""The tree of a structured report: its codes, the frame it names, and when a shape has coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from fetal_jax.errors import NOT_CLINICAL
from fetal_jax.geometry import Ellipse
from fetal_jax.outputs.rows import Row
from fetal_jax.outputs.structured_report import content
from tests.outputs.test_status import MEASURED_ROW, PIXELS, REVIEW_ROW
from tests.support.dicom_files import ultrasound

MIDDLE = Ellipse(150, 100, 80, 60, 0)


def walk(header: Dataset, row: Row) -> Iterator[Dataset]:
    def below(item: Dataset) -> Iterator[Dataset]:
        yield item
        for child in item.get("ContentSequence", ()):
            yield from below(child)

    return below(content(header, row))


def name(item: Dataset) -> tuple[str, str]:
    concept = item.ConceptNameCodeSequence[0]
    return concept.CodeValue, concept.CodeMeaning


def test_containers_and_comments_have_their_codes_and_meanings():
    items = list(walk(ultrasound(PIXELS), REVIEW_ROW))
    containers = {name(i): i.get("ContentTemplateSequence") for i in items if i.ValueType == "CONTAINER"}
    assert {k: v and v[0].TemplateIdentifier for k, v in containers.items()} == {
        ("125000", "OB-GYN Ultrasound Procedure Report"): "5000",
        ("111028", "Image Library"): None,
        ("121111", "Summary"): "5002",
        ("125002", "Fetal Biometry"): "5005",
        ("125005", "Biometry Group"): "5008",
    }
    comments = [i for i in items if i.ValueType == "TEXT"]
    named = {name(i) for i in comments if not name(i)[1].startswith("Device Observer")}
    assert named == {("121106", "Comment"), ("121050", "Equivalent Meaning of Concept Name")}
    (summary,) = (i.TextValue for i in comments if "spacing from" in i.TextValue)
    assert summary.startswith(NOT_CLINICAL)
    assert summary.endswith(f"{REVIEW_ROW['reason']}; spacing from the DICOM header")
    assert {name(i) for i in items if i.ValueType == "IMAGE"} == {
        ("121080", "Best illustration of finding"),
        ("121112", "Source of Measurement"),
    }
    numbers = {name(i)[0]: float(i.MeasuredValueSequence[0].NumericValue) for i in items if i.ValueType == "NUM"}
    keys = {"11984-2": "hc_mm", "11820-8": "bpd_mm", "11851-3": "ofd_mm", "18185-9": "ga_weeks"}
    assert numbers == {code: round(REVIEW_ROW[key], 2) for code, key in keys.items()}


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_frame_of_a_cine_is_named(frames):
    header = ultrasound(np.stack([PIXELS] * frames)) if frames > 1 else ultrasound(PIXELS)
    row = MEASURED_ROW | {"frame": frames - 1}
    images = [i.ReferencedSOPSequence[0] for i in walk(header, row) if i.ValueType == "IMAGE"]
    assert images
    assert {i.get("ReferencedFrameNumber") for i in images} == {frames if frames > 1 else None}


@pytest.mark.parametrize(
    ("change", "inside"),
    [
        ({}, True),
        ({"cx": 80}, True),  # touches the frame's corner of coordinates, which is in it
        ({"cx": 79.5}, False),
        ({"cx": 220}, True),
        ({"cx": 220.5}, False),
        ({"cy": 60}, True),
        ({"cy": 59.5}, False),
        ({"cy": 140}, True),
        ({"cy": 140.5}, False),
    ],
)
def test_coordinates_are_given_where_the_whole_outline_is_in_the_frame(change, inside):
    row = MEASURED_ROW | {"ellipse_px": np.asarray(replace(MIDDLE, **change)).tolist(), "bpd_mm": None, "ofd_mm": None}
    shapes = [i for i in walk(ultrasound(PIXELS), row) if i.ValueType == "SCOORD"]
    assert len(shapes) == inside
    for shape in shapes:
        assert shape.GraphicType == "ELLIPSE"
