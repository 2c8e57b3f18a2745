"""Twins: each report names the fetus that its values are of, and our own reader tells them apart."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest
from fhir.resources.R4B.bundle import Bundle

from fetal_jax.outputs import fhir, structured_report
from fetal_jax.outputs.dicom_parts import header_of
from fetal_jax.outputs.examinations import fhir as examination_fhir
from fetal_jax.outputs.examinations import structured_report as of_examination
from fetal_jax.outputs.examinations.examination import group, summarise
from fetal_jax.outputs.rows import Row
from fetal_jax.reading.scanner.report import read_folder
from fetal_jax.reading.sources import Source, find
from fetal_jax.reading.spacing_table import Spacings
from fetal_jax.results.folder import measure_files
from tests.outputs.test_outputs import dciodvfy, walk
from tests.support.counting import HEADS, counting
from tests.support.dicom_files import region, save, ultrasound
from tests.support.examination_rows import sizes, woman

Measured = tuple[Path, list[Row]]


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Measured:
    """Two heads of one study, of which the spacing table says whose they are; with all reports of frames."""
    home = tmp_path_factory.mktemp("twins")
    (home / "in").mkdir()
    lines = ["filename,spacing_mm,examination,fetus"]
    for name, head in zip("AB", HEADS[:2], strict=True):
        image = ultrasound(head.image, [region(head.spacing_mm, head.spacing_mm)])
        image.StudyInstanceUID = "1.2.3"
        save(image, home / "in" / f"{name}.dcm")
        lines.append(f"{name}.dcm,{head.spacing_mm},e,{name}")
    (home / "table.csv").write_text("\n".join(lines) + "\n")
    sources, spacings = find([home / "in"]).sources, Spacings.read(home / "table.csv")
    return home / "out", list(
        measure_files(counting(), sources, spacings, "head", home / "out", ("sr", "sr1500", "fhir"))
    )


def read_back(paths: list[Path], folder: Path) -> dict[tuple[str, str], float]:
    """The values of our own reports by measure and fetus. A scanner's name is put in: ours are no reference."""
    for path in paths:
        report = pydicom.dcmread(path)
        report.Manufacturer = "Maker"
        save(report, folder / path.name)
    reports, refused = read_folder(folder)
    assert not refused
    assert not [r for report in reports for r in report.refused]
    return {(v.measure, v.fetus): v.mm for report in reports for v in report.values}


def heads(rows: list[Row]) -> dict[tuple[str, str], float]:
    return {(m, row["fetus"]): round(row[f"{m}_mm"], 2) for row in rows for m in ("hc", "bpd", "ofd")}


@pytest.mark.parametrize("kind", ["sr", "sr1500"])
def test_values_of_frames_are_read_back_each_with_its_fetus(measured, tmp_path, kind):
    out, rows = measured
    paths = sorted((out / kind).glob("*.dcm"))
    assert [row["fetus"] for row in rows] == ["A", "B"]
    assert read_back(paths, tmp_path) == heads(rows)
    assert not [path for path in paths if "Error" in dciodvfy(path)]


def test_values_of_examinations_are_read_back_each_with_its_fetus(measured, tmp_path):
    (tmp_path / "read").mkdir()
    _, rows = measured
    for examination in group(rows):
        summary = summarise(examination)
        headers, root = of_examination.content(summary, lambda row: header_of(Source(Path(row["file"]))))
        path = tmp_path / f"{examination.fetus}.dcm"
        structured_report.save(path, headers, root, 1)
        assert "Error" not in dciodvfy(path)
        (of_fetus,) = (i for i in walk(root) if i.ConceptNameCodeSequence[0].CodeValue == "125008")  # age and weight
        name, *_ = of_fetus.ContentSequence
        assert (name.RelationshipType, name.TextValue) == ("HAS OBS CONTEXT", examination.fetus)
    assert read_back(sorted(tmp_path.glob("*.dcm")), tmp_path / "read") == heads(rows)


def focus(bundle: dict) -> set[str]:
    """The display of each Observation's focus, by the reference implementation."""
    return {found.display for e in Bundle.model_validate(bundle).entry for found in e.resource.focus or ()}


def test_fhir_has_the_fetus_as_its_focus(measured):
    out, rows = measured
    for row in rows:
        written = json.loads((out / "fhir" / f"{row['fetus']}.json").read_text())
        assert focus(written) == {f"Fetus {row['fetus']}"}
        assert all("focus" in entry["resource"] for entry in written["entry"])
        assert focus(fhir.bundle(row, fhir.context(row | {"fetus": None}))) == set()


@pytest.mark.parametrize("contradiction", ["ages", "frames"])
def test_every_size_of_a_contradictory_examination_is_to_review_in_fhir(contradiction):
    """A head of 12 weeks with a femur of 33, or two femurs; there is no age or weight that could have the note."""
    mm = sizes(24) | ({"hc": 74.0, "fl": 63.6} if contradiction == "ages" else {})
    frames = woman("e", mm)
    frames += woman("e", {"fl": 20.0}) if contradiction == "frames" else []
    (examination,) = group(frames)
    summary = summarise(examination)
    bundle = Bundle.model_validate(examination_fhir.bundle(summary))
    labelled = [[label.code for label in entry.resource.meta.security] for entry in bundle.entry]
    assert labelled == [["UNCERTREL"]] * len(bundle.entry)
    assert len(bundle.entry) >= 4
    assert all(any("two fetuses" in note.text for note in entry.resource.note) for entry in bundle.entry)


def test_a_reason_of_one_size_is_not_that_of_the_others_in_fhir():
    frames = [
        row | {"status": "review", "reason": "soft"} if row["plane"] == "femur" else row
        for row in woman("e", sizes(24))
    ]
    (examination,) = group(frames)
    bundle = examination_fhir.bundle(summarise(examination))
    marked = {e["resource"]["code"]["text"] for e in bundle["entry"] if "meta" in e["resource"]}
    assert marked == {"Fetal Femur Length", "Fetal Gestational Age", "Fetal Estimated Weight"}


def test_two_weights_of_one_patient_are_told_apart():
    twins = [*woman("e", sizes(24), patient="p", fetus="A"), *woman("e", sizes(23), patient="p", fetus="B")]
    for examination in group(twins):
        bundle = examination_fhir.bundle(summarise(examination))
        assert {e["resource"]["code"]["coding"][0]["code"] for e in bundle["entry"]} >= {"11727-5", "11984-2"}
        assert all(e["resource"]["focus"] == [{"display": f"Fetus {examination.fetus}"}] for e in bundle["entry"])
        assert focus(bundle) == {f"Fetus {examination.fetus}"}
    (alone,) = group(woman("e", sizes(24)))
    assert focus(examination_fhir.bundle(summarise(alone))) == set()
