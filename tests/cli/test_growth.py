"""`fetal-jax growth` as a user runs it: figures, refusals, charts."""

from __future__ import annotations

import re
import subprocess
import sys

import cv2
import pytest

from fetal_jax.cli.main import main
from fetal_jax.growth import GrowthError
from fetal_jax.growth.chart import draw
from tests.support.command import fetal_jax, refused

PATIENT = ("--hc=290", "--ac=260", "--fl=56")


def test_a_patient_of_known_age(tmp_path):
    picture = tmp_path / "charts" / "patient.png"
    bpd = ("--bpd=80", "--bpd-convention=outer-inner")
    done = fetal_jax("growth", *PATIENT, *bpd, "--ga=30w2d", f"--chart={picture}")
    assert done.returncode == 0, done.stderr
    lines = [re.sub(r"\s+", " ", line.strip()) for line in done.stdout.splitlines()]
    for expected in (
        "30w2d 30.29 weeks as given",
        "30w2d 30.32 weeks Hadlock 1984 (BPD, HC, AC, FL)",
        "1513 g Hadlock 1985 (AC, FL)",
        "1548 g Hadlock 1985 (BPD, AC, FL)",
        "1532 g Hadlock 1985 (HC, AC, FL)",
        "1538 g Hadlock 1985 (BPD, HC, AC, FL)",
        "HC 290.0 mm 83.9 % z +0.99 INTERGROWTH-21st 2014",  # (290 - 280.822) / 9.29 by hand
        "Research software. Not for clinical use.",
    ):
        assert expected in lines, done.stdout
    assert sum(line.startswith("EFW") for line in lines) == 4
    for author in ("Hadlock FP", "Papageorghiou AT", "Stirnemann J", "Kiserud T"):
        assert any(line.startswith(author) for line in lines)
    assert "Give --ga" not in done.stdout
    image = cv2.imread(str(picture))
    assert image.shape[0] > 600
    red = (image[..., 2] > 200) & (image[..., 1] < 60)
    assert cv2.connectedComponents(red.astype("uint8"))[0] - 1 == 5  # a point in each panel


def test_without_an_age_the_estimate_stands_and_says_so(tmp_path):
    picture = tmp_path / "patient.svg"
    done = fetal_jax("growth", *PATIENT, "--standard", "who", "who-male", f"--chart={picture}")
    assert done.returncode == 0, done.stderr
    assert "30.17 weeks  Hadlock 1984 (HC, AC, FL)" in done.stdout
    assert "the age by Hadlock 1984 (HC, AC, FL)" in done.stdout
    assert "Give --ga" in done.stdout
    assert "WHO 2017, male" in done.stdout
    drawn = picture.read_text()
    for text in ("EFW 1532 g at 30w1d: centile", "Kiserud T", "Not for clinical use"):
        assert text in drawn


def test_an_age_that_no_curve_covers_is_told_row_by_row():
    done = fetal_jax("growth", *PATIENT, "--ga=41w3d")
    assert done.returncode == 0, done.stderr
    assert "INTERGROWTH-21st 2014 covers 14 to 40 weeks of HC, not 41.43" in done.stdout
    assert "<0.1 %  z -6.03  Hadlock 1984" in done.stdout


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), ("HC", "give one")),
        (("--hc=290", "--bpd=80"), ("outer-inner or outer-outer",)),
        (("--hc=290", "--ga=30w9d"), ("30w9d", "30w2d")),
        (("--hc=290", "--ga="), ("30w2d",)),
        (("--hc=290", "--chart=chart.gif"), ("chart.gif", ".png or .svg")),
        (("--ofd=98",), ("--ga",)),
        (("--hc=290", "--standard=nichd"), ("nichd",)),
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


def test_a_wrong_call_leaves_by_the_door():
    refused(fetal_jax("growth", "--hc=29"), "HC 29 mm is outside 75 to 420")


def test_a_reader_that_stops_early_is_no_error():
    command = [sys.executable, "-m", "fetal_jax.cli.main", "growth", *PATIENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdout.close()
        assert run.stderr.read() == ""
    assert run.returncode == 141  # as a shell reports SIGPIPE


def test_a_chart_without_matplotlib_names_the_extra(tmp_path):
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from fetal_jax.cli.main import main\n"
        f"sys.exit(main(['growth', '--hc=290', '--chart={tmp_path / 'c.png'}']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    refused(done, "matplotlib", "'.[chart]'")


def test_a_point_outside_the_curves_is_still_drawn():
    axes = draw({"hc": 60.0, "efw": 300.0}, 12, "intergrowth").axes
    for panel in axes:
        assert panel.get_xlim()[0] < 12
        assert "no centile" in panel.get_title()


def test_the_curves_are_the_standards():
    (axes,) = draw({"bpd": 80.0}, 30, "intergrowth", "outer-inner").axes
    official = {14: (26.3, 27.4, 29.6, 31.8, 32.9), 40: (87.5, 89.9, 94.9, 99.9, 102.3)}
    for end, row in zip((0, -1), official.values(), strict=True):
        assert [line.get_ydata()[end] for line in axes.lines[:5]] == pytest.approx(row, abs=0.07)
    (point,) = axes.lines[5:]
    assert point.get_ydata()[0] == pytest.approx(82.74, abs=0.01)  # 80 mm to the outer skull
    assert "outer-outer" in axes.get_ylabel()
    with pytest.raises(GrowthError, match="curves for"):
        draw({"ofd": 98.0}, 30, "who")
