"""`fetal-jax growth` as a user runs it: values, refusals, charts."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from matplotlib.figure import Figure
from PIL import Image

from fetal_jax import __version__
from fetal_jax.cli.main import main
from fetal_jax.growth import STANDARDS, GrowthError
from fetal_jax.growth.chart import draw, write
from tests.support.command import called, refused

PATIENT = ("--hc=290", "--ac=260", "--fl=56")


def test_patient_of_known_age(tmp_path):
    picture = tmp_path / "charts" / "patient.png"
    bpd = ("--bpd=80", "--bpd-convention=outer-inner")
    done = called("growth", *PATIENT, *bpd, "--ga=30w2d", f"--chart={picture}")
    assert done.returncode == 0, done.stderr
    lines = [re.sub(r"\s+", " ", line.strip()) for line in done.stdout.splitlines()]
    for expected in (
        "30w2d 30.29 weeks as given: 30w2d",
        "30w2d 30.32 weeks Hadlock 1984 (BPD, HC, AC, FL)",
        "1513 g hadlock1 Hadlock 1985 (AC, FL)",
        "1548 g hadlock2 Hadlock 1985 (BPD, AC, FL)",
        "1532 g hadlock3 Hadlock 1985 (HC, AC, FL)",
        "1538 g hadlock4 Hadlock 1985 (BPD, HC, AC, FL)",
        "HC 290.0 mm 83.9 % z +0.99 INTERGROWTH-21st 2014",  # (290 - 280.822) / 9.29 by hand
        "BPD 82.7 mm 84.2 % z +1.00 INTERGROWTH-21st 2014; outer-outer, from 80.0 mm outer-inner",
        "BPD 80.0 mm 88.3 % z +1.19 Hadlock 1984; outer-inner",  # (8.0 - 7.643) / 0.30 by hand
        "Research software. Not for clinical use.",
    ):
        assert expected in lines, done.stdout
    assert sum(line.startswith("EFW") for line in lines) == 5
    for author in ("Hadlock FP", "Papageorghiou AT", "Stirnemann J", "Kiserud T", "Nicolaides KH"):
        assert any(line.startswith(author) for line in lines)
    assert "Give --ga" not in done.stdout
    image = cv2.imread(str(picture))
    assert image.shape[0] > 600
    red = (image[..., 2] > 200) & (image[..., 1] < 60)
    assert cv2.connectedComponents(red.astype("uint8"))[0] - 1 == 5  # a point in each panel


def test_without_an_age_the_estimate_is_used_and_named(tmp_path):
    picture = tmp_path / "patient.svg"
    done = called("growth", *PATIENT, "--standard", "who", "who-male", f"--chart={picture}")
    assert done.returncode == 0, done.stderr
    assert "30.17 weeks  Hadlock 1984 (HC, AC, FL)" in done.stdout
    assert "the age by Hadlock 1984 (HC, AC, FL)" in done.stdout
    assert "Give --ga" in done.stdout
    assert "WHO 2017, male" in done.stdout
    drawn = picture.read_text()
    for text in ("EFW 1532 g at 30w1d: centile", "Kiserud T", "Not for clinical use"):
        assert text in drawn


APART = "FL 63.0 mm is of 32w4d, HC 100.0 mm of 14w5d: two fetuses, a wrong size or abnormal growth; measure again"


def test_contradictory_sizes_give_no_age_weight_or_chart(tmp_path, capsys):
    picture = tmp_path / "chart.svg"
    assert main(["growth", "--hc=100", "--ac=280", "--fl=63", f"--chart={picture}"]) == 2
    printed = capsys.readouterr()
    assert f"none by the sizes: {APART}" in printed.out
    assert "Hadlock 1984" not in printed.out
    assert "Weight" not in printed.out
    assert f"{APART}, or give --ga" in printed.err
    assert not picture.exists()


def test_contradictory_sizes_of_known_age_have_centiles_and_a_note_but_no_weight(tmp_path, capsys):
    picture = tmp_path / "chart.svg"
    sizes = ("--hc=100", "--ac=280", "--fl=63", "--ga=32w0d")
    assert main(["growth", *sizes, "--weight-formula=hadlock3", f"--chart={picture}"]) in (None, 0)
    printed = capsys.readouterr().out
    age, _, rest = printed.partition("Weight")
    assert "32w0d   32.00 weeks  as given" in age
    assert APART in age
    assert f"none: {APART}" in rest
    assert re.search(r"FL +63.0 mm .* %", rest)
    assert "EFW" not in printed
    assert APART in " ".join(re.sub(r"<[^>]*>", " ", picture.read_text()).split())


def test_a_bpd_contradicts_the_other_sizes_in_the_convention_of_the_formula(capsys):
    assert main(["growth", "--bpd=40", "--bpd-convention=outer-outer", "--fl=63"]) == 2
    assert "FL 63.0 mm is of 32w4d, BPD 38.5 mm outer-inner of 17w5d: " in capsys.readouterr().err


def test_sizes_of_about_the_same_age_have_no_note(capsys):
    """HC 230 mm is of 25w0d, FL 56 mm of 29w3d: 18 % apart."""
    assert main(["growth", "--hc=230", "--fl=56"]) in (None, 0)
    assert "two fetuses" not in capsys.readouterr().out


def test_age_outside_a_standard_is_refused_in_its_rows_and_values_outside_are_bounds():
    done = called("growth", *PATIENT, "--ga=41w3d")
    assert done.returncode == 0, done.stderr
    assert "INTERGROWTH-21st 2014 covers 14 to 40 weeks of HC, not 41w3d" in done.stdout
    assert " <0.1 %  z -6.03  Hadlock 1984" in done.stdout
    done = called("growth", "--hc=250", "--ga=36+0", "--standard=who")
    assert "HC    250.0 mm     <1 %           WHO 2017" in done.stdout


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("30W2D", "30w2d   30.29 weeks  as given: 30W2D"),
        ("30+2", "30w2d   30.29 weeks  as given: 30+2"),
        ("30 2/7", "30w2d   30.29 weeks  as given: 30 2/7"),
        ("212d", "30w2d   30.29 weeks  as given: 212d"),
        ("30.2w", "30w1d   30.20 weeks  as given: 30.2w"),
    ],
)
def test_age_is_echoed_in_weeks_and_days(text, line, capsys):
    assert main(["growth", "--hc=290", f"--ga={text}"]) in (None, 0)
    assert line in capsys.readouterr().out


def test_weight_by_another_formula_is_compared_only_when_asked(capsys, tmp_path):
    bpd = ("--bpd=80", "--bpd-convention=outer-inner")
    main(["growth", *PATIENT, *bpd, "--ga=30w2d", "--standard", "intergrowth", "fmf"])
    own = capsys.readouterr().out
    assert "hadlock4" in own.partition("Centiles")[0]
    assert "hadlock4" not in own.partition("Centiles")[2]
    picture = tmp_path / "asked.svg"
    asked = ("--standard", "intergrowth", "--weight-formula=hadlock4", f"--chart={picture}")
    main(["growth", *PATIENT, *bpd, "--ga=30w2d", *asked])
    assert "weight by hadlock4, curves by intergrowth" in capsys.readouterr().out
    assert "EFW 1538 g by hadlock4 on curves of intergrowth" in picture.read_text()
    main(["growth", "--ac=260", "--fl=56", "--ga=30w2d", "--standard=who"])
    assert "EFW  no centile by who: its weights are by hadlock3 (HC, AC, FL)" in capsys.readouterr().out
    assert main(["growth", "--ac=260", "--fl=56", "--ga=30w2d", "--weight-formula=hadlock3"]) == 2
    assert "HC is missing" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".PNG", ".Svg", ".pdf", ".PDF"])
def test_chart_format_is_that_of_the_suffix_in_any_case(suffix, tmp_path):
    picture = tmp_path / f"chart{suffix}"
    assert main(["growth", "--hc=290", "--ga=30w2d", f"--chart={picture}"]) in (None, 0)
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix.lower()]
    assert picture.read_bytes().startswith(start)
    assert main(["growth", "--hc=290", "--ga=30w2d", f"--chart={picture}"]) in (None, 0)  # over its own chart


def test_chart_does_not_take_the_place_of_a_frame(tmp_path, capsys):
    frame = tmp_path / "frame.png"
    Image.new("L", (40, 30)).save(frame)
    before = frame.read_bytes()
    assert main(["growth", "--hc=290", "--ga=30w2d", f"--chart={frame}"]) == 2
    assert f"{frame} exists and was not written by this program" in capsys.readouterr().err
    assert frame.read_bytes() == before


def test_chart_bears_code_date_and_version(tmp_path):
    picture = tmp_path / "chart.svg"
    argv = ["growth", "--hc=290", "--ga=30w2d", f"--chart={picture}"]
    assert main([*argv, "--code=K-017", "--date=2026-11-20"]) in (None, 0)
    drawn = picture.read_text()
    for text in (
        "K-017",
        "examined 2026-11-20",
        f"Drawn on {datetime.date.today()} by fetal_jax {__version__}",
    ):
        assert text in drawn


def test_chart_at_an_age_from_the_same_sizes_says_so(tmp_path):
    picture = tmp_path / "chart.svg"

    def says() -> str:
        return " ".join(re.sub(r"<[^>]*>", " ", picture.read_text()).split())

    said = "from the same sizes: these centiles only compare them with each other."
    assert main(["growth", "--hc=290", "--ac=260", f"--chart={picture}"]) in (None, 0)
    assert re.search(f"The age is by Hadlock 1984[^.]*HC[^.]*, {said}", says())
    assert main(["growth", "--hc=290", "--ga=30w2d", f"--chart={picture}"]) in (None, 0)
    assert "the same sizes" not in says()


def test_sources_are_printed_also_where_the_chart_fails(tmp_path):
    picture = tmp_path / "chart.png"
    done = called("growth", "--hc=290", "--ga=41w0d", "--standard", "intergrowth", "hadlock", f"--chart={picture}")
    assert done.returncode == 2
    assert "covers 14 to 40 weeks of HC, not 41" in done.stderr
    assert "Radiology 1984" in done.stdout.partition("Sources")[2]
    assert "Not for clinical use" in done.stdout
    assert not picture.exists()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), ("HC", "give one")),
        (("--hc=290", "--bpd=80"), ("--bpd needs --bpd-convention: outer-inner or outer-outer",)),
        (("--hc=290", "--ga=30w9d"), ("30w9d", "30w2d")),
        (("--hc=290", "--ga="), ("--ga= is empty",)),
        (("--hc=290", "--chart=chart.gif"), ("chart.gif", ".png, .svg or .pdf")),
        (("--hc=290", "--ga=30.2"), ("30.2w", "30w2d")),
        (("--hc=290", "--date=20.11.2026"), ("--date", "20.11.2026 is not a date: write it as 2026-11-28")),
        (("--hc=290,5",), ("--hc", "290,5 is not a number: write it with a point, as 0.12")),
        (("--ofd=98",), ("--ga",)),
        (("--hc=290", "--standard=nichd"), ("nichd is not a standard", "hadlock, ", "separate them by commas")),
        (("--hc=290", "--standard=who fmf"), ("who fmf is not a standard", "separate them by commas")),
    ],
)
def test_wrong_calls(argv, words, capsys):
    try:
        code = main(["growth", *argv])
    except SystemExit as e:  # what argparse itself refuses
        code = e.code
    assert code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert all(word in last for word in words), last


def test_wrong_call_exits_with_2_and_one_line():
    refused(called("growth", "--hc=29"), "HC 29 mm is outside 66 to 420")


def test_closed_stdout_is_no_error():
    command = [sys.executable, "-m", "fetal_jax.cli.main", "growth", *PATIENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.close()
        assert run.stderr.read() == ""
    assert run.returncode == 141  # as a shell reports SIGPIPE


def test_a_chart_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    def fail(self, target, **kwargs):
        (target.open("wb") if isinstance(target, Path) else target).write(b"half")
        raise OSError("no space left")

    picture = tmp_path / "chart.png"
    picture.write_bytes(b"old chart of fetal_jax")
    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="no space"):
        write(picture, Figure())
    assert picture.read_bytes() == b"old chart of fetal_jax"


def test_chart_without_matplotlib_names_the_extra(tmp_path):
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from fetal_jax.cli.main import main\n"
        f"sys.exit(main(['growth', '--hc=290', '--chart={tmp_path / 'c.png'}']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    refused(done, "matplotlib", "'.[chart]'")


def test_measure_outside_its_range_of_ages_is_named_and_not_drawn():
    figure = draw({"hc": 172.5, "efw": 300.0}, 20, "intergrowth")
    (panel,) = figure.axes
    assert panel.get_title() == "HC 172.5 mm at 20w0d: centile 50.1"
    assert "EFW is not drawn: INTERGROWTH-21st 2017 covers 22 to 40 weeks" in figure.get_supxlabel().replace("\n", " ")
    with pytest.raises(GrowthError, match=r"no chart: HC is not drawn: .* covers 14 to 40 weeks of HC, not 12"):
        draw({"hc": 100.0}, 12, "intergrowth")


@pytest.mark.parametrize("standard", sorted(STANDARDS))
def test_labels_of_curves_are_inside_their_panel(standard):
    sizes = {"hc": 290.0, "ac": 260.0, "fl": 56.0, "bpd": 80.0, "efw": 1500.0}
    figure = draw(sizes, 30, standard, "outer-inner")
    figure.draw_without_rendering()
    for panel in figure.axes:
        for label in panel.texts:
            assert label.get_window_extent().x1 < panel.get_window_extent().x1 - 2, (label, panel.get_title())


def test_value_outside_the_curves_is_drawn_with_its_bound():
    (panel,) = draw({"hc": 250.0}, 36, "who").axes
    assert panel.get_title().endswith("centile <1")
    assert panel.lines[-1].get_ydata()[0] == 250


def test_curves_are_those_of_the_standard():
    (axes,) = draw({"bpd": 80.0}, 30, "intergrowth", "outer-inner").axes
    official = {14: (26.3, 27.4, 29.6, 31.8, 32.9), 40: (87.5, 89.9, 94.9, 99.9, 102.3)}
    for end, row in zip((0, -1), official.values(), strict=True):
        assert [line.get_ydata()[end] for line in axes.lines[:5]] == pytest.approx(row, abs=0.07)
    (point,) = axes.lines[5:]
    assert point.get_ydata()[0] == pytest.approx(82.74, abs=0.01)  # 80 mm to the outer skull
    assert "outer-outer" in axes.get_ylabel()
    assert axes.get_title().replace("\n", " ").startswith("BPD 82.7 mm outer-outer, from 80.0 mm outer-inner, at 30w0d")
    with pytest.raises(GrowthError, match="curves for"):
        draw({"ofd": 98.0}, 30, "who")


@pytest.mark.parametrize("standards", [["who,fmf"], ["who, fmf"], ["who", "fmf"]])
def test_standards_are_separated_by_commas_or_by_blanks(standards, capsys):
    assert main(["growth", *PATIENT, "--ga=30w2d", "--standard", *standards]) == 0
    said = capsys.readouterr().out
    assert "WHO 2017" in said
    assert "FMF 2018" in said
    assert "INTERGROWTH-21st 2014" not in said
