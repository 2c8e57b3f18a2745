"""Which examination a frame belongs to, and that identifiers stay in DICOM."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fetal_jax.errors import UserError
from fetal_jax.inference.identity import COLUMNS, KEY_FILE, KEY_VARIABLE, Identities, Key, Naming
from fetal_jax.reading.sources import Source
from fetal_jax.reading.spacing_table import Spacings
from fetal_jax.reading.study import Labels, Study

STUDY = Study("1.2.3", "MRN-1", "2024-01-31")


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


def identities(folder: Path, **naming) -> Identities:
    return Identities(Key(lambda name: folder / name), Naming(**naming))


def test_hashes_are_the_same_in_one_folder_and_differ_between_folders(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, again, other = (identities(tmp_path / f).columns(None, STUDY) for f in ("a", "a", "b"))
    assert one == again
    assert one["patient"] != other["patient"]
    assert one["day"] != other["day"]
    assert not {"MRN-1", "1.2.3", "2024-01-31"} & set(map(str, one.values()))
    assert one["date"] is None
    assert (tmp_path / "a" / KEY_FILE).stat().st_mode & 0o077 == 0


def test_a_key_of_the_environment_names_patients_alike_in_all_folders(tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "a long enough secret")
    (tmp_path / "b").mkdir()
    assert identities(tmp_path).columns(None, STUDY) == identities(tmp_path / "b").columns(None, STUDY)
    assert not (tmp_path / KEY_FILE).exists()
    monkeypatch.setenv(KEY_VARIABLE, "k" * 16)
    assert Key.of_environment() == b"k" * 16
    monkeypatch.setenv(KEY_VARIABLE, "k" * 15)
    with pytest.raises(UserError, match="FETAL_JAX_KEY is shorter than 16"):
        Naming().fingerprint()


def test_days_between_examinations_of_a_patient_are_kept(tmp_path):
    made = identities(tmp_path)
    first, later = (made.columns(None, Study("1", "MRN-1", day))["day"] for day in ("2024-01-31", "2024-03-01"))
    assert later - first == 30
    other = made.columns(None, Study("1", "MRN-2", "2024-01-31"))["day"]
    assert other != first


def test_identifiers_are_written_where_they_are_asked_for(tmp_path):
    found = identities(tmp_path, plain=True).columns(None, STUDY)
    assert (found["examination"], found["patient"], found["date"]) == ("1.2.3", "MRN-1", "2024-01-31")
    assert not (tmp_path / KEY_FILE).exists()


def test_nothing_is_guessed(tmp_path):
    for study in (None, Study("", "MRN-1", "2024-01-31")):
        assert identities(tmp_path).columns(None, study) == dict.fromkeys(COLUMNS)


def test_what_the_table_says_of_a_frame_without_an_examination_is_kept(tmp_path):
    found = identities(tmp_path).columns(Labels(fetus="A", ga_weeks=30.0), Study("", "MRN-1", "2024-01-31"))
    assert (found["examination"], found["fetus"], found["stated_ga_weeks"]) == (None, "A", 30.0)
    assert found["patient"]


def test_the_callers_word_decides_about_the_examination_the_header_about_the_patient(tmp_path):
    made = identities(tmp_path, one=Labels("all", ga_weeks=30.0))
    found = made.columns(None, STUDY)
    assert (found["examination"], found["stated_ga_weeks"]) == ("all", 30.0)
    assert found["patient"] == identities(tmp_path).columns(None, STUDY)["patient"]
    assert made.columns(Labels("of the table", "X"), STUDY)["patient"] == found["patient"]
    assert made.columns(Labels("of the table", "X"), None)["patient"] not in (found["patient"], "X")


def test_an_impossible_date_is_no_day(tmp_path):
    assert identities(tmp_path).columns(None, Study("1", "p", "2024-02-31"))["day"] is None


def table(tmp_path, text) -> Spacings:
    (tmp_path / "t.csv").write_text(text)
    return Spacings.read(tmp_path / "t.csv")


def test_the_spacing_table_names_examinations(tmp_path):
    header = "filename,spacing_mm,examination,patient,fetus,date,ga\n"
    found = table(tmp_path, header + "a.png,0.2,e1,p1,2,2024-01-31,30w2d\nb.png,0.2,,,,,\n")
    label = found.labels_of(Source(tmp_path / "a.png"))
    assert label == Labels("e1", "p1", "2", "2024-01-31", pytest.approx(30 + 2 / 7))
    assert found.labels_of(Source(tmp_path / "b.png")) is None
    assert table(tmp_path, "filename,spacing_mm\na.png,0.2\n").labels_of(Source(tmp_path / "a.png")) is None


def test_a_table_without_examinations_says_whose_a_frame_of_a_study_is(tmp_path):
    found = table(tmp_path, "filename,spacing_mm,fetus,ga\na.dcm,0.2,A,24w0d\n").labels_of(Source(tmp_path / "a.dcm"))
    assert found == Labels(fetus="A", ga_weeks=24.0)
    made = identities(tmp_path).columns(found, STUDY)
    assert made == identities(tmp_path).columns(None, STUDY) | {"fetus": "A", "stated_ga_weeks": 24.0}
    one = identities(tmp_path, one=Labels("all", patient="p", ga_weeks=30.0))
    made = one.columns(replace(found, ga_weeks=None), None)
    assert [made[key] for key in ("examination", "fetus", "stated_ga_weeks")] == ["all", "A", 30.0]
    assert made["patient"] == one.columns(None, None)["patient"] is not None
    assert one.columns(found, STUDY)["stated_ga_weeks"] == 24.0
    assert one.columns(Labels("another"), None)["stated_ga_weeks"] is None


@pytest.mark.parametrize("columns", ["fetus", "ga", "patient", "date"])
def test_a_table_that_says_whose_an_image_is_but_not_its_examination_is_refused(tmp_path, columns):
    cell = {"ga": "24w0d", "date": "2024-01-31"}.get(columns, "A")
    found = table(tmp_path, f"filename,spacing_mm,{columns}\na.png,0.2,{cell}\na.dcm,0.2,{cell}\n")
    image, dicom = (Source(tmp_path / name) for name in ("a.png", "a.dcm"))
    image.path.touch()
    found.check([dicom])
    found.check([image], one_examination=True)
    with pytest.raises(UserError, match=rf"says {columns} of .*a\.png, but not the examination: .*--one-examination"):
        found.check([dicom, image])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("e,,,31.1.2024,", "line 2: date is '31.1.2024': write it as 2024-01-31, or rename"),
        (",,,31.1.2024,", "line 2: date is '31.1.2024'"),
        ("e,,,,thirty", "line 2: ga: 'thirty' is not a gestational age"),
    ],
)
def test_wrong_rows_are_refused_with_their_line(tmp_path, cells, message):
    with pytest.raises(UserError, match=message):
        table(tmp_path, f"filename,spacing_mm,examination,patient,fetus,date,ga\na.png,0.2,{cells}\n")


def test_a_frame_says_which_machine_and_which_operator_made_it_without_naming_either(tmp_path):
    made = identities(tmp_path)
    study = Study("1.2.3", "MRN-1", "2024-01-31", "1.2.3.4", "Maker E10", "SN-77", "Roe^Ann")
    found, twin = made.columns(None, study), made.columns(None, replace(study, serial="SN-78", instance="1.2.3.5"))
    assert found["device"].startswith("Maker E10 #")
    assert found["device"] != twin["device"]
    assert found["instance"] != twin["instance"]
    assert found["operator"] == twin["operator"]
    assert not {"SN-77", "Roe^Ann", "1.2.3.4"} & set(" ".join(map(str, found.values())).split())
    assert found["month"] is None
    monthly = identities(tmp_path, months=True)
    assert monthly.columns(None, study)["month"] == "2024-01"
    assert monthly.columns(Labels("e", date="2024-02-01"), None)["month"] == "2024-02"
    assert monthly.columns(Labels("e", date="2024-02-01"), study)["month"] == "2024-01"  # of the same day as `day`
    assert made.columns(Labels("e", date="2024-02-01"), None)["month"] is None
