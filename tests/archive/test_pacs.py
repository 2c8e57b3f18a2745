"""`fetal-jax pacs` against Orthanc: each object once, whatever the server, the network or a kill does."""

from __future__ import annotations

import json
import os
import random
import signal
import ssl
import subprocess
import sys
import time
from collections import Counter
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from fetal_jax.archive.pacs import origin
from fetal_jax.cli import main
from tests.outputs.test_outputs import dciodvfy, walk
from tests.support.dicom_files import save
from tests.support.orthanc import Orthanc, answer, forward, orthanc, proxy, sound, studies
from tests.support.sr_validator import JAR, faults

SR = "1.2.840.10008.5.1.4.1.1.88.33"
LIMIT = 'ulimit -S -f 24; exec "$@"'  # kB; a frame has 76


def command(url: str, out: Path, *more: object) -> list[str]:
    return [sys.executable, "-m", "fetal_jax", "pacs", f"--url={url}", f"--out={out}", *map(str, more)]


def pacs(url: str, out: Path, *more: object, before: tuple[str, ...] = (), **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*before, *command(url, out, *more)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=os.environ | env,
    )


def rows_of(out: Path) -> list[dict]:
    return json.loads((out / "measurements.json").read_text())


def sources(report: pydicom.Dataset) -> set[str]:
    """SOP Instance UIDs of the images that a report or a segmentation names."""
    if report.Modality == "SEG":
        groups = report.PerFrameFunctionalGroupsSequence[0]
        return {str(i.ReferencedSOPInstanceUID) for i in groups.DerivationImageSequence[0].SourceImageSequence}
    images = [i for i in walk(report) if i.ValueType == "IMAGE"]
    return {str(i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for i in images}


def kind(report: pydicom.Dataset) -> str:
    return "seg" if report.Modality == "SEG" else report.ContentTemplateSequence[0].TemplateIdentifier


def check(server: Orthanc, out: Path, frames: list[pydicom.Dataset], kinds: set[str]) -> list[dict]:
    """Each frame has one row, each source with a value one object of each kind, in its study."""
    rows, study = rows_of(out), {str(ds.SOPInstanceUID): ds.StudyInstanceUID for ds in frames}
    expected = Counter(
        {(str(ds.SOPInstanceUID), k): 1 for ds in frames for k in range(int(ds.get("NumberOfFrames", 1)))}
    )
    assert Counter((r["file"], r["frame"]) for r in rows) == expected
    valued = {(r["file"], r["plane"]) for r in rows if r["status"] in ("measured", "review")}
    assert len(valued) > 0.7 * len(frames)
    made = [*server.objects("SR"), *server.objects("SEG")]
    named = Counter()
    for report in made:
        (source,) = sources(report)
        assert report.StudyInstanceUID == study[source]
        assert "not for clinical use" in report.SeriesDescription.lower()
        named[source, kind(report)] += 1
    per_source = Counter(source for source, _ in valued)
    assert named == Counter({(source, k): n for source, n in per_source.items() for k in kinds})
    assert server.count() == len(frames) + len(made)
    return rows


@pytest.fixture(scope="module")
def few() -> list[pydicom.Dataset]:
    return studies(3)


@pytest.fixture
def server(tmp_path, few):
    """A PACS with three studies of seven images."""
    with orthanc(tmp_path / "orthanc") as running:
        for ds in few:
            running.add(ds)
        yield running


@pytest.mark.slow
def test_a_sweep_killed_three_times_does_everything_once(tmp_path):
    frames = studies(30)
    with orthanc(tmp_path / "orthanc") as server:
        for ds in frames:
            server.add(ds)
        out = tmp_path / "out"
        for more in (15, 45, 40):
            target = server.count() + more
            process = subprocess.Popen(command(server.url, out, "--also=sr1500,seg"), stdout=subprocess.DEVNULL)
            while server.count() < target:
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert not (out / "measurements.json").exists()
        done = pacs(server.url, out, "--also=sr1500,seg")
        assert done.returncode == 0, done.stderr
        rows = check(server, out, frames, {"5000", "1500", "seg"})
        for report in (*server.objects("SR"), *server.objects("SEG")):
            path = save(report, tmp_path / "report.dcm")
            assert "Error" not in dciodvfy(path)
            if kind(report) == "1500":
                assert report.VerificationFlag == "UNVERIFIED"
        if JAR.exists():
            report = next(r for r in server.objects("SR") if kind(r) == "1500")
            assert faults(save(report, tmp_path / "report.dcm")) == []

    for ds in frames:
        (tmp_path / "files").mkdir(exist_ok=True)
        save(ds, tmp_path / "files" / f"{ds.SOPInstanceUID}.dcm")
    own = [sys.executable, "-m", "fetal_jax", "measure", tmp_path / "files", "--out", tmp_path / "measured"]
    subprocess.run(own, check=True, capture_output=True)
    keys = ("status", "plane", "hc_mm", "bpd_mm", "ofd_mm", "ac_mm", "fl_mm", "spacing_mm", "ellipse_px", "shaft_px")
    by_name = {(Path(r["file"]).stem, r["frame"]): r for r in rows_of(tmp_path / "measured")}
    for row in rows:
        same = by_name[row["file"], row["frame"]]
        assert {k: row[k] for k in keys} == {k: same[k] for k in keys}


@pytest.mark.slow
def test_a_second_call_measures_and_stores_only_what_is_new(tmp_path, server, few):
    out = tmp_path / "out"
    assert pacs(server.url, out, "--query=PatientID=P0").returncode == 0
    with proxy(server) as watched:
        assert pacs(watched.url, out).returncode == 2  # another server
    assert len(rows_of(out)) == 5
    new = studies(1)[0]
    new.PatientID = "P9"
    server.add(new)
    done = pacs(server.url, out)
    assert done.returncode == 0
    assert "measured earlier: 3" in done.stdout
    check(server, out, [*few, new], {"5000"})
    count = server.count()
    again = pacs(server.url, out)
    assert "no new frames; stored: nothing" in again.stdout
    assert pacs(server.url, tmp_path / "state lost").returncode == 0
    assert server.count() == count  # the same objects, by their names


@pytest.mark.slow
def test_dry_run_lists_and_touches_nothing(tmp_path, server, few):
    with proxy(server) as watched:
        done = pacs(watched.url, tmp_path / "out", "--dry-run", "--query=StudyDate=20240101-20240131")
        assert done.returncode == 0
        listed = [line.rpartition("/")[2] for line in done.stdout.splitlines() if line.startswith("measure ")]
        assert listed == [str(ds.SOPInstanceUID) for ds in few if ds.StudyDate == "20240115"]
        assert watched.calls("POST") == []
        assert not [path for path in watched.calls("GET") if path.rstrip("0123456789.").endswith("/instances/")]
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_server_that_fails_half_of_the_time(tmp_path, server, few):
    """Also after it has stored: the confirmation is lost, the object is not stored twice."""
    draws = random.Random(5)

    def fault(handler, n) -> bool:
        chance = draws.random()
        if chance < 0.25:
            return answer(handler, 503, Retry_After="0")
        if chance < 0.5:
            forward(handler)
            return answer(handler, 503)
        return False

    with proxy(server, fault) as failing:
        done = pacs(failing.url, tmp_path / "out", "--also=seg")
        assert done.returncode == 0, done.stderr
        repeated = int(done.stdout.partition("requests repeated: ")[2].partition(".")[0])
        assert repeated > 5
        check(server, tmp_path / "out", few, {"5000", "seg"})


@pytest.mark.slow
def test_a_lost_confirmation_is_asked_for_before_anything_is_sent(tmp_path, server, few):
    """The process ends after the server has stored, before that is noted."""
    out = tmp_path / "out"

    def cut(handler, n) -> bool:
        if handler.command != "POST":
            return False
        forward(handler)
        os.kill(process.pid, signal.SIGKILL)
        return answer(handler, 503)

    with proxy(server, cut) as killing:
        process = subprocess.Popen(command(killing.url, out))
        assert process.wait(120) == -signal.SIGKILL
        assert server.count() > len(few)
        before = len(server.objects("SR"))
        killing.fault, killing.seen = sound, []
        assert pacs(killing.url, out).returncode == 0
        reports = check(server, out, few, {"5000"})
        valued = sum(r["status"] in ("measured", "review") and r["frame"] == 0 for r in reports)
        assert len(killing.calls("POST")) == valued - before


@pytest.mark.slow
def test_wrong_password_right_password_and_no_secret_in_any_output(tmp_path, few):
    with orthanc(tmp_path / "orthanc", {"reader": "right-secret"}) as server:
        for ds in few[:2]:
            server.add(ds)
        out, user = tmp_path / "out", {"FETAL_JAX_PACS_USER": "reader"}
        nobody = pacs(server.url, out)
        assert nobody.returncode == 2
        assert "wants credentials" in nobody.stderr
        wrong = pacs(server.url, out, **user, FETAL_JAX_PACS_PASSWORD="wrong-secret")
        assert wrong.returncode == 2
        assert "FETAL_JAX_PACS_PASSWORD" in wrong.stderr
        right = pacs(server.url, out, **user, FETAL_JAX_PACS_PASSWORD="right-secret")
        assert right.returncode == 0, right.stderr
        check(server, out, few[:2], {"5000"})
        written = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
        for done in (nobody, wrong, right):
            written += (done.stdout + done.stderr).encode()
        assert b"-secret" not in written


@pytest.mark.slow
@pytest.mark.parametrize("code", [302, 307])
def test_a_redirect_to_another_origin_is_refused_and_gets_nothing(tmp_path, server, code):
    token = {"FETAL_JAX_PACS_TOKEN": "bearer-secret"}
    with proxy(server) as other:

        def fault(handler, n) -> bool:
            if n < 2:
                return False
            return answer(handler, code, Location=f"{other.root}{handler.path}")

        with proxy(server, fault) as sending:
            done = pacs(sending.url, tmp_path / "out", **token)
            assert done.returncode == 2
            assert other.root in done.stderr
            assert "nothing was sent" in done.stderr
            assert sending.seen[0][2]["Authorization"] == "Bearer bearer-secret"
        assert other.seen == []


@pytest.mark.slow
def test_addresses_in_answers_are_not_used(tmp_path, server, few):
    with proxy(server) as other:

        def fault(handler, n) -> bool:
            given = forward(handler)
            if "json" not in given.headers["Content-Type"]:
                return False
            body = given.content.replace(b"http://127.0.0.1", other.root.encode() + b"/x")
            return answer(handler, given.status_code, body, Content_Type=given.headers["Content-Type"])

        with proxy(server, fault) as lying:
            assert pacs(lying.url, tmp_path / "out").returncode == 0
        assert other.seen == []
    check(server, tmp_path / "out", few, {"5000"})


@pytest.mark.slow
def test_a_full_disk_is_named_and_the_same_call_resumes(tmp_path, server, few):
    out = tmp_path / "out"
    full = pacs(server.url, out, before=("bash", "-c", LIMIT, "-"))
    assert full.returncode == 2, full.stderr
    assert str(out) in full.stderr
    assert "make room" in full.stderr
    assert "Traceback" not in full.stderr
    assert pacs(server.url, out).returncode == 0
    check(server, out, few, {"5000"})


@pytest.mark.slow
def test_an_untrusted_certificate_is_refused_until_its_file_is_given(tmp_path, server, few):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    make += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(make, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with proxy(server, context=context) as secure:
        done = pacs(secure.url, tmp_path / "out", REQUESTS_CA_BUNDLE="", CURL_CA_BUNDLE="")
        assert done.returncode == 2
        assert "--ca-file" in done.stderr
        assert secure.seen == []
        assert pacs(secure.url, tmp_path / "out", f"--ca-file={cert}").returncode == 0
    check(server, tmp_path / "out", few, {"5000"})


def test_what_has_no_spacing_names_the_ruler_and_a_capture_of_ct_is_not_measured(tmp_path):
    plain, capture = studies(1)[:2]
    del plain.SequenceOfUltrasoundRegions
    capture.SOPClassUID = capture.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    capture.Modality, capture.SeriesInstanceUID = "CT", generate_uid()
    with orthanc(tmp_path / "orthanc") as server:
        for ds in (plain, capture):
            server.add(ds)
        assert pacs(server.url, tmp_path / "us").returncode == 0
        assert pacs(server.url, tmp_path / "ct", "--query=Modality=CT").returncode == 0
    (row,) = rows_of(tmp_path / "us")
    assert "no PixelSpacing: give --spacing=ruler and another --out" in row["reason"]
    (row,) = rows_of(tmp_path / "ct")
    assert row["status"] == "refused"
    assert "Modality CT is not ultrasound" in row["reason"]


@pytest.mark.slow
def test_one_bad_object_does_not_stop_the_others(tmp_path, server, few):
    """One is gone, one is another than was asked for, one is not stored: each is named, and tried again."""
    gone, swapped, unstored = (str(ds.SOPInstanceUID) for ds in few[:3])

    def fault(handler, n) -> bool:
        if handler.path.endswith(gone):
            return answer(handler, 404)
        if handler.path.endswith(swapped):
            handler.path = handler.path.replace(swapped, unstored)
        elif handler.command == "POST" and unstored.encode() in handler.body:
            uid = pydicom.dcmread(_body(handler.body)).SOPInstanceUID
            failed = {"00081150": {"vr": "UI", "Value": [SR]}, "00081155": {"vr": "UI", "Value": [uid]}}
            failed["00081197"] = {"vr": "US", "Value": [0xA700]}
            body = json.dumps({"00081198": {"vr": "SQ", "Value": [failed]}}).encode()
            return answer(handler, 409, body, Content_Type="application/dicom+json")
        return False

    out = tmp_path / "out"
    with proxy(server, fault) as bad:
        done = pacs(bad.url, out)
        assert done.returncode == 3, done.stderr
        assert f"{gone}: the server answers a retrieve with HTTP 404" in done.stderr
        assert f"{swapped}: the server sends another object" in done.stderr
        assert f"a report of {unstored}: the server does not store it: FailureReason 0xA700" in done.stderr
        assert len({r["file"] for r in rows_of(out)}) == len(few) - 2
        bad.fault = sound
        assert pacs(bad.url, out).returncode == 0
    check(server, out, few, {"5000"})


@pytest.mark.slow
def test_what_the_account_may_not_do_is_named_and_the_rest_goes_on(tmp_path, server, few):
    """It may not see one image, and store nothing: each is named, and tried again."""
    hidden = str(few[0].SOPInstanceUID)

    def fault(handler, n) -> bool:
        return (handler.command == "POST" or handler.path.endswith(hidden)) and answer(handler, 403)

    out = tmp_path / "out"
    with proxy(server, fault) as strict:
        done = pacs(strict.url, out)
        assert done.returncode == 3, done.stderr
        said = done.stdout + done.stderr
        assert f"{hidden}: the server answers a retrieve with HTTP 403: this account may not" in said
        assert "the server answers a store with HTTP 403: this account may not" in said
        assert len({r["file"] for r in rows_of(out)}) == len(few) - 1
        strict.fault = sound
        assert pacs(strict.url, out).returncode == 0
    check(server, out, few, {"5000"})


def _body(multipart: bytes) -> BytesIO:
    return BytesIO(multipart.partition(b"\r\n\r\n")[2])


def test_a_server_that_is_away_ends_with_75(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(origin, "FIRST_WAIT", 0.001)
    assert main.main(["pacs", "--url=http://127.0.0.1:1/dicom-web", f"--out={tmp_path / 'out'}"]) == 75
    assert "the same call later resumes" in capsys.readouterr().err
