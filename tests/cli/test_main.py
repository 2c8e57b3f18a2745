"""Every way a command can end: an exit code, at most one line, nothing half-written."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fetal_jax
from fetal_jax.bundle import SHIPPED
from fetal_jax.cli import Parser, evaluate
from fetal_jax.cli import main as cli
from fetal_jax.cli.main import COMMANDS, main
from fetal_jax.files import OwnFiles
from fetal_jax.results.resume_log import NAME
from tests.support.command import fetal_jax as run
from tests.support.command import heeding_interrupts, refused
from tests.support.counting import HEADS

COMMAND = [sys.executable, "-m", "fetal_jax"]
HEAVY = ("jax", "flax", "tensorflow_datasets", "optax", "orbax", "grain", "onnx", "etils", "ml_collections", "pydicom")


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    for i in range(4):
        Image.fromarray(HEADS[i % 3].image).save(folder / f"h{i}.png")
    return folder


def measure(frames: Path, out: Path, *more: str) -> list[str]:
    return [*COMMAND, "measure", str(frames), "--plane=head", "--spacing-mm=0.3", f"--out={out}", *more]


def one_line(text: str) -> str:
    (line,) = text.strip().splitlines()
    return line


def complete(out: Path, rows: int) -> bool:
    return len(json.loads((out / "measurements.json").read_text())) == rows and not (out / NAME).exists()


# ------------------------------------------------------------------------------------------------ help and version


@pytest.mark.parametrize("argv", [["--version"], ["-V"]])
def test_the_version(argv, capsys):
    assert main(argv) == 0
    assert capsys.readouterr().out == f"fetal-jax {fetal_jax.__version__}\n"


def test_the_module_is_the_command():
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"fetal-jax {fetal_jax.__version__}\n"


def test_the_usage_of_evaluate_shows_what_it_takes_in_place_of_each_other(capsys):
    assert main(["evaluate", "--help"]) == 0
    assert "(--workdir WORKDIR | --bundle BUNDLE | --predictions" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_only_the_base_installation(command):
    code = (
        f"import sys\nfor name in {HEAVY}: sys.modules[name] = None\n"
        f"from fetal_jax.cli.main import main\nsys.exit(main([{command!r}, '--help']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: fetal-jax {command}")


def test_a_missing_package_is_named_with_its_installation(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert main(["prepare", "fetal_phantom/small", "--data-dir=/nowhere"]) == 2
    line = one_line(capsys.readouterr().err)
    assert "tensorflow_datasets" in line
    assert "pip install '.[train,export]'" in line


# ------------------------------------------------------------------------------------------------- how a call ends


class Module:
    """A command that does one thing."""

    def __init__(self, act):
        self.act = act

    def add_arguments(self, parser):
        pass

    def run(self, *_):
        return self.act()


def ended(monkeypatch, command, act) -> int:
    monkeypatch.setattr(cli.importlib, "import_module", lambda _: Module(act))
    return main([command])


def raising(error):
    def act():
        raise error

    return act


@pytest.mark.parametrize(
    ("command", "error", "code", "words"),
    [
        ("measure", KeyboardInterrupt(), 130, "interrupted; the same call resumes"),
        ("growth", KeyboardInterrupt(), 130, "fetal-jax growth: interrupted"),
        (
            "measure",
            OSError(28, "No space left on device", "a/b.csv"),
            2,
            "a/b.csv cannot be written (No space left on device): make room there, or give another place",
        ),
        (
            "growth",
            OSError(30, "Read-only file system", "c.csv"),
            2,
            "c.csv cannot be written (Read-only file system): mount its disk for writing, or give another place",
        ),
        (
            "pacs",
            OSError(13, "Permission denied", "ca.pem"),
            2,
            "ca.pem cannot be written or read (Permission denied): get permission",
        ),
        ("train", MemoryError(), 1, "out of memory; the same call resumes"),
        ("train", KeyboardInterrupt(), 130, "interrupted; the same call resumes at the newest checkpoint"),
        ("evaluate", ValueError("a\nb"), 1, "ValueError: a b (test_main.py:"),
    ],
)
def test_an_exception_is_one_line_and_a_code(monkeypatch, capsys, command, error, code, words):
    assert ended(monkeypatch, command, raising(error)) == code
    assert words in one_line(capsys.readouterr().err)


def test_a_key_without_its_equals_sign_is_refused_with_the_way_to_write_it(capsys):
    assert main(["train", "--config=demo", "--workdir=none", "--config.batch_size", "4"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("does not know --config.batch_size 4: write --config.batch_size=VALUE")


@pytest.mark.parametrize(
    ("given", "write"),
    [
        (["--optim.lr=3"], "--config.optim.lr=3"),
        (["--batch_size=4"], "--config.batch_size=4"),
        (["--optim.lr", "3"], "--config.optim.lr=VALUE"),
    ],
)
def test_a_key_without_config_is_refused_with_the_way_to_write_it(given, write, capsys):
    assert main(["train", "--config=demo", "--workdir=none", *given]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith(f"does not know {' '.join(given)}: write {write}")


@pytest.mark.parametrize(
    ("argv", "option"),
    [
        (["measure", "frames", "--out=a", "--out", "b"], "--out"),
        (["measure", "frames", "--spacing-csv=a", "--spacing-csv=a", "--out=b"], "--spacing-csv"),
        (["archive", "frames", "--also=svg", "--also=fhir", "--out=b"], "--also"),
        (["export", "--workdir=a", "--workdir=b", "--out=a", "--out=a"], "--out"),
        (["train", "--config=demo", "--config=hc18", "--workdir=a"], "--config"),
        (["growth", "--hc=290", "--ga=30w", "--hc=291"], "--hc"),
    ],
)
def test_an_option_given_twice_is_refused(argv, option, capsys):
    assert main(argv) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"error: argument {option}: given twice: give it once")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["measure", "frames", "--out="], "--out= is empty"),
        (["archive", "frames", "--out", ""], "the argument after --out is empty"),
        (["archive", "frames", "--bundle=", "--out=x", "--", "--flag="], "--bundle= is empty"),
        (["growth", "--hc=290", "--ga="], "--ga= is empty"),
    ],
)
def test_an_empty_value_is_refused(argv, words, capsys):
    """An empty --out was the current folder, an empty --ga no age."""
    assert main(argv) == 2
    assert words in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["export", "--workdir=a", "--workdir=b", "--workdir=a", "--out=c"], "--workdir: a is given twice"),
        (["evaluate", "--bundle=default", "--dataset=x", "--dataset=x", "--out=c"], "--dataset: x is given twice"),
        (["evaluate", "--bundle=default", "--margin=HC=4", "--margin=hc=5", "--out=c"], "--margin is given twice"),
    ],
)
def test_the_same_value_does_not_count_twice(argv, words, capsys):
    assert main(argv) == 2
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_an_option_that_takes_several_values_may_be_given_again():
    parser = Parser()
    evaluate.add_arguments(parser)
    folders = [f"--fold={SHIPPED / name}" for name in ("default", "heads")]
    args = parser.parse_args(["--bundle=default", "--out=a", "--dataset=x", "--dataset=y", *folders])
    assert (args.dataset, len(args.fold), args.out) == (["x", "y"], 2, "a")


@pytest.mark.parametrize("option", ["--dataset=folder/mine", "--data-dir=there"])
def test_evaluate_names_its_option_for_a_key_of_train(option, capsys):
    name, value = option.split("=")
    key = {"--dataset": "--config.data.name", "--data-dir": "--config.data.dir"}[name]
    assert main(["evaluate", "--bundle=default", f"{key}={value}", "--out=none"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"does not know {key}={value}: write {option}")


@pytest.mark.parametrize(("command", "code"), [("measure", 75), ("train", 75), ("growth", 143), ("evaluate", 143)])
def test_sigterm_asks_to_start_again_where_that_resumes(monkeypatch, capsys, command, code):
    before = signal.getsignal(signal.SIGTERM)
    assert ended(monkeypatch, command, lambda: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(9)) == code
    assert ("; the same call resumes" in one_line(capsys.readouterr().err)) == (code == 75)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("argv", [["measure", "--quiet"], ["--quiet", "measure"]])
def test_a_quiet_call_prints_errors_only(monkeypatch, capsys, argv):
    monkeypatch.setattr(cli.importlib, "import_module", lambda _: Module(lambda: print("done")))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert main(argv) == 0
    assert capsys.readouterr().out == ""
    assert main(["measure"]) == 0
    assert capsys.readouterr().out == "done\n"


def test_a_tilde_after_an_equals_sign_is_the_home(monkeypatch, capsys):
    monkeypatch.setenv("HOME", "/home/someone")
    assert cli._with_home("--out=~/x") == "--out=/home/someone/x"
    assert cli._with_home("--config.data.dir=~") == "--config.data.dir=/home/someone"
    assert [cli._with_home(a) for a in ("--out=~x", "--ga=30w2d", "~", "--out=a~/b")] == [
        *("--out=~x", "--ga=30w2d", "~", "--out=a~/b")
    ]
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as without a home
    assert main(["measure", "x.png", "--out=~/x"]) == 2
    assert "--out=~/x: no home folder is known: give the whole path" in one_line(capsys.readouterr().err)


# --------------------------------------------------------------------------------------------- as a shell runs them


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_call_without_its_streams_measures_all_the_same(frames, tmp_path, closed):
    line = f"{shlex.join(measure(frames, tmp_path / 'out'))} {closed}"
    done = subprocess.run(line, shell=True, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert complete(tmp_path / "out", 4)
    table = (tmp_path / "out" / "measurements.csv").read_text()
    assert "Not for clinical use" not in table  # what is printed went into no file


def test_a_full_standard_output_is_an_error(frames, tmp_path):
    line = f"{shlex.join(measure(frames, tmp_path / 'out'))} >/dev/full"
    done = subprocess.run(line, shell=True, check=False, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert "No space left on device" in one_line(done.stderr)


def test_a_user_without_a_name_and_a_home_can_measure(frames, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "LOGNAME", "USER", "XDG_CACHE_HOME")}
    done = subprocess.run(
        measure(frames, tmp_path / "out"), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_ends_with_one_line_and_the_same_call_resumes(frames, tmp_path, number, code):
    out, many = tmp_path / "out", tmp_path / "many"
    many.mkdir()
    for i in range(30):
        (many / f"{i:02d}.png").symlink_to(frames / f"h{i % 4}.png")
    with heeding_interrupts():
        started = subprocess.Popen(measure(many, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with started as process:
        while process.poll() is None and not ((out / NAME).exists() and (out / NAME).read_bytes().count(b"\n") > 1):
            time.sleep(0.01)
        process.send_signal(number)
        printed, told = process.communicate()
    assert process.returncode == code, told
    assert one_line(told).endswith("; the same call resumes")
    assert printed == ""
    done = (out / NAME).read_bytes().count(b"\n")
    assert not (out / "measurements.json").exists()
    pictures = len(list((out / "overlays").iterdir()))
    again = subprocess.run(measure(many, out), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert complete(out, 30)
    assert 1 < done <= pictures < 30


def test_a_full_disk_is_one_line_and_the_same_call_resumes(frames, tmp_path):
    out = tmp_path / "out"
    small_files = ["bash", "-c", 'ulimit -S -f 88; exec "$@"', "-"]  # kB; an overlay has 200
    done = subprocess.run([*small_files, *measure(frames, out)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    line = one_line(done.stderr)
    assert "File too large" in line
    assert "make room" in line
    assert not list((out / "overlays").iterdir())
    assert not (out / "measurements.json").exists()
    done = subprocess.run(measure(frames, out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert complete(out, 4)


def test_names_of_83_chinese_characters(frames, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    names = [("胎" * 82) + end + ".png" for end in "儿头"]  # 249 bytes and the suffix
    for name in names:
        (folder / name).write_bytes((frames / "h0.png").read_bytes())
    done = subprocess.run(
        measure(folder, tmp_path / "out", "--also=svg,fhir"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out" / "measurements.json").read_text())
    assert {Path(r["file"]).name for r in rows} == set(names)
    assert len({r["overlay"] for r in rows}) == 2
    assert all((tmp_path / "out" / r["overlay"]).is_file() for r in rows)


def test_output_without_a_terminal_has_no_bar_and_no_colour(frames, tmp_path):
    done = subprocess.run(measure(frames, tmp_path / "out"), capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) == 1


# ------------------------------------------------------------------------------------- refused before the work starts


def test_a_forgotten_spacing_is_said_before_the_work_and_the_retry_works(frames, tmp_path):
    out = tmp_path / "out"
    done = run("measure", frames, "--plane=head", f"--out={out}")
    refused(done, "no spacing in 4 files", "--spacing-mm")
    assert not out.exists()
    assert subprocess.run(measure(frames, out), capture_output=True, check=False).returncode == 0


def test_reports_without_their_packages_are_refused_before_the_work(frames, tmp_path):
    out = tmp_path / "out"
    code = (
        "import sys; sys.modules['pydicom'] = None\nfrom fetal_jax.cli.main import main\n"
        f"sys.exit(main(['measure', {str(frames)!r}, '--plane=head', '--spacing-mm=0.3', '--also=sr', '--out={out}']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    refused(done, "--also=sr needs pydicom: pip install '.[dicom]'")
    assert not out.exists()


def test_nothing_but_dicom_without_its_package_is_refused_before_the_work(tmp_path):
    for name in ("a.dcm", "b.dcm"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    out = tmp_path / "out"
    code = (
        "import sys; sys.modules['pydicom'] = None\nfrom fetal_jax.cli.main import main\n"
        f"sys.exit(main(['measure', {str(tmp_path)!r}, '--plane=head', '--out={out}']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    refused(done, "2 files of DICOM: reading it needs pip install '.[dicom]'")
    assert not out.exists()


def test_a_submission_that_names_the_spacing_table_is_refused(frames, tmp_path):
    table = tmp_path / "spacing.csv"
    text = "filename,spacing_mm\n" + "".join(f"h{i}.png,0.3\n" for i in range(4))
    table.write_text(text)
    argv = ["measure", frames, "--plane=head", f"--spacing-csv={table}", f"--out={tmp_path / 'out'}"]
    refused(run(*argv, f"--hc18-submission={table}"), "spacing.csv was not written by this program")
    assert table.read_text() == text
    submission = tmp_path / "submission.csv"
    for _ in range(2):  # its own file is replaced
        assert run(*argv, f"--hc18-submission={submission}").returncode == 0
    assert len(submission.read_text().splitlines()) == 5


def test_the_last_line_counts_statuses_and_reasons(frames, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(2):
        (folder / f"h{i}.png").write_bytes((frames / f"h{i}.png").read_bytes())
        Image.fromarray(np.zeros((90, 120), np.uint8)).save(folder / f"z{i}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG no more")
    done = subprocess.run(measure(folder, tmp_path / "out"), capture_output=True, text=True, check=False)
    assert done.returncode == 3
    last = done.stdout.splitlines()[-1]
    assert re.match(r"(\d measured, )?(\d review, )?\d refused, 1 error; main reasons: ", last), last
    assert "no head is found in this picture (2)" in last
    assert "broken.png" not in last


def test_a_cell_that_begins_like_a_formula_is_escaped(frames, tmp_path):
    name = '=HYPERLINK("x").png'
    os.link(frames / "h0.png", tmp_path / name)
    argv = ["measure", name, "--plane=head", "--spacing-mm=0.3", "--out=out"]
    done = subprocess.run([*COMMAND, *argv], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    row = (tmp_path / "out" / "measurements.csv").read_text().splitlines()[1]
    assert row.startswith("\"'=HYPERLINK(")
    assert json.loads((tmp_path / "out" / "measurements.json").read_text())[0]["file"] == name


def test_a_file_list_is_left_by_every_run(frames, tmp_path):
    assert subprocess.run(measure(frames, tmp_path / "out"), capture_output=True, check=False).returncode == 0
    head, *names = map(json.loads, (tmp_path / "out" / OwnFiles.LIST).read_text().splitlines())
    assert head["written_by"] == f"fetal_jax {fetal_jax.__version__}"
    assert {"measurements.csv", "measurements.json", "call.json", "overlays/h0.png"} <= set(names)
