"""Spacing tables as people make them: read, or a message that shows what is wrong."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fetal_jax.errors import UserError
from fetal_jax.reading.frame import Frame
from fetal_jax.reading.sources import Source
from fetal_jax.reading.spacing import RULER_ROWS_ONLY, PixelSize, with_ruler
from fetal_jax.reading.spacing_table import Spacings
from fetal_jax.reading.study import Labels


def table(path: Path, text: str, encoding: str = "utf-8") -> Spacings:
    path.write_bytes(text.encode(encoding))
    return Spacings.read(path)


def frame(path: str, shape: tuple[int, int] = (540, 800)) -> Frame:
    return Frame(Source(Path(path)), 0, np.zeros(shape, np.uint8), PixelSize())


NAME = "Müller_20w.png"


@pytest.mark.parametrize(
    "text",
    [
        f"filename,spacing_mm\n{NAME},0.12\n",
        f"filename;spacing_mm\r\n{NAME};0,12\r\n",
        f"filename\tspacing_mm\n{NAME}\t0,12\n",
        f"sep=;\nfilename;spacing_mm\n{NAME};0,12\n",
        f'"filename","spacing_mm"\n"{NAME}","0,12"\n',
        f"Filename,Spacing_MM\n{NAME},0.12\n",
        f"filename, spacing_mm\n{NAME}, 0.12\n",
        f" filename , spacing_mm \n {NAME} , 0.12 \n",
        f"filename,spacing_mm,\n{NAME},0.12,\n,,\n",
        f"\n\nfilename,spacing_mm\n\n{NAME},0.12\n\n\n",
        f"filename,spacing_mm\n./{NAME},0.12\n",
        f"filename,spacing_mm\nexam1/{NAME},0.12\n",
        f"filename,spacing_mm\nexam1\\{NAME},0.12\n",
        f"filename,spacing_mm\n.\\exam1\\{NAME},0.12\n",
        f"Dateiname;spacing_mm\n{NAME};0,12\n",
        f"fichier;spacing_mm\n{NAME};0,12\n",
        f"patient,filename,note,spacing_mm\n7,{NAME},,0.12\n",
        f"filename,spacing_mm,column_spacing_mm\n{NAME},0.12,0.12\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_tables_of_all_spreadsheets_are_read(tmp_path, text, encoding, form):
    if encoding == "cp1252" and form == "NFD":
        form = "NFC"  # it has no combining accents
    spacings = table(tmp_path / "t.csv", unicodedata.normalize(form, text), encoding)
    for other in ("NFC", "NFD"):
        size = spacings.of(frame(unicodedata.normalize(other, f"/data/exam1/{NAME}")))
        assert size.mm == (0.12, 0.12), size.reason
        assert size.source == "csv"


def test_a_path_may_be_text(tmp_path):
    (tmp_path / "t.csv").write_text("filename,spacing_mm\na.png,0.2\n")
    assert Spacings.read(str(tmp_path / "t.csv")) == Spacings.read(tmp_path / "t.csv")


def test_results_are_a_table_too(tmp_path):
    line = f"{NAME},measured,0.2,csv,0.1,\n"
    spacings = table(
        tmp_path / "t.csv", f"file,status,spacing_mm,spacing_source,column_spacing_mm,spacing_confidence\n{line}"
    )
    assert spacings.of(frame(f"/x/{NAME}")).mm == (0.2, 0.1)


def test_two_columns_are_rows_and_columns(tmp_path):
    spacings = table(tmp_path / "t.csv", "filename;spacing_mm;column_spacing_mm\na.png;0,2;0,1\n")
    assert spacings.of(frame("/x/a.png")).mm == (0.2, 0.1)


def test_the_way_to_a_frame_does_not_matter(tmp_path):
    spacings = table(tmp_path / "t.csv", "filename,spacing_mm\nd/exam1/a.png,0.1\nd/exam2/a.png,0.2\n")
    assert spacings.of(frame("/d/exam1/../exam2/a.png")).mm == (0.2, 0.2)


def test_name_that_is_missing_is_shown_beside_the_nearest(tmp_path):
    spacings = table(tmp_path / "t.csv", "filename,spacing_mm\nMueller_20w.png,0.12\nother.png,0.1\n")
    reason = spacings.of(frame(f"/x/{NAME}")).reason
    assert repr(NAME) in reason
    assert "'Mueller_20w.png'" in reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("filename,spacing_mm,spacing_mm\na.png,0.1,0.2\n", "column spacing_mm twice"),
        ("filename,filename,spacing_mm\na.png,b.png,0.2\n", "column filename twice"),
        ("filename,spacing_mm,pixel size(mm)\na.png,0.1,0.2\n", "remove one"),
        ("filename,spacing_mm\na.png,0.1\na.png,0.2\n", "line 3: a.png is listed twice"),
        ("filename,spacing_mm\na.png,0.1\n./a.png,0.2\n", "line 3: .* twice"),
        ("filename,spacing_mm\n\nx\\a.png,0.1\nx/a.png,0.2\n", "line 4: .* twice"),
        ("filename,spacing_mm\na.png,0,12\n", "line 2 has more cells than columns"),
        ("filename,spacing_mm\na.png,1,2\n", "decimal commas"),
        ("filename,spacing_mm,\na.png,1,2\n", "more cells than columns"),
        ("filename,spacing_mm\na.png,\nb.png,\n", r"t\.csv has no spacing_mm in any row: fill the cells in"),
        ("filename,spacing_mm\na.png,\nb.png,0.1\na.png,0.1\n", "line 4: a.png is listed twice"),
        ("filename,spacing_mm,column_spacing_mm\na.png,0.1,\n", "line 2: column_spacing_mm of a.png is ''"),
        ("filename,column_spacing_mm,ga\na.png,0.1,30w\n", "needs the columns filename,spacing_mm"),
        ("filename,spacing_mm,ga\na.png,,\n", "has no spacing_mm in any row: fill the cells in"),
        ("filename,ga\na.png,\n", "has no spacing_mm in any row: fill the cells in"),
        ("filename,spacing_mm\na.png,0\n", "not a length"),
        ("filename,spacing_mm\na.png,-0.1\n", "not a length"),
        ("filename,spacing_mm\na.png,nan\n", "not a length"),
        ("filename,spacing_mm\na.png,1.234.5\n", "not a length"),
        ("filename,spacing_mm\n,0.1\n", "without a file name"),
        ("filename,mm\na.png,0.1\n", "it has filename, mm"),
        *(
            (
                f"filename,spacing_mm,{column}\na.png,0.3,0.2\n",
                f"column '{column.lower()}', which is not read: .*rename",
            )
            for column in ("column_spacing", "Column spacing mm", "spacing_x_mm", "pixel size y")
        ),
        ("", "holds no table"),
        ('filename,spacing_mm\n"a.png,0.1\nb.png,0.2\n', "holds no table|more cells|not a length"),
    ],
)
def test_tables_that_could_be_misread_are_refused(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        table(tmp_path / "t.csv", text)


def test_all_wrong_lines_are_named_at_once(tmp_path):
    with pytest.raises(UserError) as e:
        table(tmp_path / "t.csv", "filename,spacing_mm\na.png,x\nb.png,0.1\nc.png,0\nb.png,0.2\n")
    assert str(e.value).endswith(
        "line 2: spacing_mm of a.png is 'x', not a length in mm: correct or remove it; also wrong: lines 4, 5"
    )
    many = "".join(f"{i}.png,0\n" for i in range(30))
    with pytest.raises(UserError, match=r"also wrong: lines 3, .*, 22 and 9 more$"):
        table(tmp_path / "many.csv", f"filename,spacing_mm\n{many}")


@pytest.mark.parametrize("columns", ["spacing_mm", "spacing_mm,column_spacing_mm", "pixel size(mm)"])
def test_a_frame_whose_cells_are_empty_has_no_spacing_and_the_others_have_theirs(tmp_path, columns):
    empty, full = (",".join([cell] * len(columns.split(","))) for cell in ("", "0.1"))
    given = table(tmp_path / "t.csv", f"filename,{columns},examination\nx/a.png,{empty},e1\nb.png,{full},e2\n")
    assert given.of(frame("/d/b.png")).mm == (0.1, 0.1)
    without = given.of(frame("/d/x/a.png"))
    assert without.mm is None
    name = columns.split(",")[0]
    assert without.reason == f"the table has no {name} in its row x/a.png: fill it in"
    assert given.may_give(Source(Path("b.png")))
    assert not given.may_give(Source(Path("/d/x/a.png")))
    assert "the nearest name in it is 'x/a.png'" in given.of(frame("/d/A.png")).reason
    labels = given.labels_of(Source(Path("/d/x/a.png")))
    assert labels is not None
    assert labels.examination == "e1"
    read = PixelSize((0.2, 0.2), "ruler", confidence=0.9)
    with_ruler = replace(given, with_ruler=True)
    assert with_ruler.of(replace(frame("/d/x/a.png"), size=read)) == read


@pytest.mark.parametrize(
    "text", ["filename,examination,fetus\na.dcm,e1,A\n", "filename,spacing_mm,examination,fetus\na.dcm,,e1,A\n"]
)
def test_a_table_without_spacings_says_whose_a_frame_with_its_own_spacing_is(tmp_path, text):
    given = table(tmp_path / "t.csv", text)
    source = Source(Path("/d/a.dcm"))
    assert given.labels_of(source) == Labels("e1", fetus="A")
    assert not given.any_given
    assert not given.may_give(source)
    for own in (PixelSize((0.2, 0.2), "dicom"), PixelSize((0.2, 0.2), "ruler", confidence=0.9)):
        assert given.of(replace(frame("/d/a.dcm"), size=own)) == own
    assert given.of(frame("/d/a.dcm")).reason == "the table has no spacing_mm in its row a.dcm: fill it in"
    assert replace(given, with_ruler=True).may_give(source)
    with pytest.raises(UserError, match=r"one row a\.dcm for"):
        given.check([source, Source(Path("/e/a.dcm"))])


def test_missing_table_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv does not exist: it needs the columns"):
        Spacings.read(tmp_path / "none.csv")


@pytest.mark.parametrize("shape", [(540, 800), (563, 799), (541, 738)])
def test_table_of_hc18_holds_for_its_own_sizes(tmp_path, shape):
    text = "filename,pixel size(mm),head circumference (mm)\n001_HC.png,0.0896,56.81\n"
    spacings = table(tmp_path / "t.csv", text)
    assert spacings.of(frame("/x/001_HC.png", shape)).mm == (0.0896, 0.0896)
    reason = spacings.of(frame("/x/001_HC.png", (256, 256))).reason
    assert "800x540" in reason
    assert "256x256" in reason
    assert spacings.of(frame("/x/001_HC.png", (1080, 1600))).mm is None


def test_ruler_serves_the_frames_that_the_table_lacks_and_checks_the_others(tmp_path):
    given = replace(table(tmp_path / "t.csv", "filename,spacing_mm\na.png,0.2\nb.png,0.2\n"), with_ruler=True)
    read = PixelSize((0.2005, 0.2005), "ruler", confidence=0.9)
    assert given.read_ruler
    assert given.may_give(Source(Path("c.png")))
    agrees = given.of(replace(frame("a.png"), size=read))
    assert (agrees.mm, agrees.source) == ((0.2, 0.2), "csv")
    assert given.of(replace(frame("c.png"), size=read)) == read
    wrong = given.of(replace(frame("b.png"), size=replace(read, mm=(0.25, 0.25))))
    assert wrong.mm is None
    assert "the depth ruler says 0.2500 x 0.2500 mm, the csv 0.2000 x 0.2000 mm: leave out" in wrong.reason
    neither = given.of(replace(frame("c.png"), size=PixelSize(reason="no ruler was found")))
    assert neither.reason.startswith("no ruler was found; the table has no row for 'c.png'")
    assert given.of(frame("a.png")).mm == (0.2, 0.2)


def test_ruler_down_the_rows_says_nothing_of_the_columns_in_the_table(tmp_path):
    text = "filename,spacing_mm,column_spacing_mm\na.png,0.2,0.1\n"
    given = replace(table(tmp_path / "t.csv", text), with_ruler=True)
    rows_alone = PixelSize((0.2, 0.2), "ruler", confidence=0.9, flags=(RULER_ROWS_ONLY,))
    assert given.of(replace(frame("a.png"), size=rows_alone)).mm == (0.2, 0.1)
    assert given.of(replace(frame("a.png"), size=replace(rows_alone, flags=()))).mm is None


@pytest.mark.parametrize(
    ("axis", "right", "wrong", "words"),
    [
        ("down", (0.1, 0.3), (0.2, 0.1), "0.1000 mm down the rows, the csv 0.2000 mm down the rows"),
        ("along", (0.2, 0.1), (0.1, 0.3), "0.1000 mm along the columns, the csv 0.3000 mm along the columns"),
    ],
)
def test_each_axis_of_the_table_is_compared_with_what_was_read_of_it(tmp_path, axis, right, wrong, words):
    """Aloka's bottom edge is a ruler along the columns alone where the left one cannot be read."""
    rulers = {"down": PixelSize(), "along": PixelSize()} | {axis: PixelSize((0.1, 0.1), "ruler", confidence=0.9)}
    size = with_ruler(PixelSize(), **rulers)
    assert size.mm == (0.1, 0.1)
    lines = [f"{name},{pair[0]},{pair[1]}" for name, pair in (("a.png", right), ("b.png", wrong))]
    text = "\n".join(["filename,spacing_mm,column_spacing_mm", *lines])
    given = replace(table(tmp_path / "t.csv", text), with_ruler=True)
    assert given.of(replace(frame("a.png"), size=size)).mm == right
    refused = given.of(replace(frame("b.png"), size=size))
    assert refused.reason == f"the depth ruler says {words}: leave out the wrong one"


@pytest.mark.parametrize("row", ["MÜLLER_20W.PNG", "exam1/Müller_20w.png"])
def test_nearest_name_is_found_whatever_its_case_and_folder(tmp_path, row):
    given = table(tmp_path / "t.csv", f"filename,spacing_mm\n{row},0.2\n")
    assert f"the nearest name in it is {row!r}" in given.of(frame(NAME)).reason


def test_header_without_a_spacing_does_not_hide_that_the_table_has_no_row(tmp_path):
    given = table(tmp_path / "t.csv", "filename,spacing_mm\na.png,0.2\n")
    size = PixelSize(reason="the DICOM header has no ultrasound region")
    reason = given.of(replace(frame("b.dcm"), size=size)).reason
    assert reason == "the DICOM header has no ultrasound region; the table has no row for 'b.dcm'"


def test_picture_of_another_number_is_not_offered_as_the_nearest_name(tmp_path):
    given = table(tmp_path / "t.csv", "filename,spacing_mm\n488_HC.png,0.2\n605_HC.png,0.2\n")
    assert given.of(frame("604_HC.png")).reason == "the table has no row for '604_HC.png'"
