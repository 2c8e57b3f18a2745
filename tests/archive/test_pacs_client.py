"""The DICOMweb client and the state file, without a server."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from fetal_jax.archive.pacs import STATE, origin
from fetal_jax.archive.pacs.dicomweb import Client, Instance, Unpaged
from fetal_jax.archive.pacs.origin import Http, Rejected, Unavailable, authorization, checked_url
from fetal_jax.archive.pacs.state import State
from fetal_jax.archive.pacs.sweep import Sweep, seed_of, spacings_of
from fetal_jax.cli import main
from fetal_jax.errors import UserError
from fetal_jax.reading.frame import Frame
from fetal_jax.reading.sources import Source
from fetal_jax.reading.spacing import PixelSize
from tests.support.dicom_files import ultrasound
from tests.support.orthanc import answer, proxy

INSTANCE = Instance("1.2", "1.2.3", "1.2.3.4")


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    monkeypatch.setattr(origin, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(origin, "LONGEST_WAIT", 0.001)
    for name in (origin.USER, origin.PASSWORD, origin.TOKEN):
        monkeypatch.delenv(name, raising=False)


def client(url: str, **more) -> Client:
    return Client(Http(url, note=lambda _: None, **more))


# -------------------------------------------------------------------------------------- credentials and addresses


def test_credentials_come_from_the_environment(monkeypatch):
    assert authorization() is None
    monkeypatch.setenv(origin.USER, "a")
    with pytest.raises(UserError, match="belong together"):
        authorization()
    monkeypatch.setenv(origin.PASSWORD, "b")
    assert authorization() == "Basic YTpi"
    monkeypatch.setenv(origin.TOKEN, "t")
    with pytest.raises(UserError, match="unset one"):
        authorization()
    monkeypatch.delenv(origin.USER)
    monkeypatch.delenv(origin.PASSWORD)
    assert authorization() == "Bearer t"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/x", "not the address"),
        ("host/dicom-web", "not the address"),
        ("https://host:70000/x", "not the address"),
        ("https://me:secret@host/dicom-web", "in the environment"),
        ("https://host/dicom-web?limit=3", "--query"),
        ("http://host/dicom-web", "unencrypted"),
    ],
)
def test_addresses_that_are_refused(url, said):
    with pytest.raises(UserError, match=said) as e:
        checked_url(url, with_credentials=True)
    assert "secret" not in str(e.value)


def test_addresses_that_are_accepted():
    assert checked_url("https://host/dicom-web/", True) == "https://host/dicom-web"
    assert checked_url("http://127.0.0.1:8042/dicom-web", True) == "http://127.0.0.1:8042/dicom-web"
    assert checked_url("http://host/dicom-web", False) == "http://host/dicom-web"


def test_netrc_is_not_read(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with proxy(None, replies()) as server:
        assert list(client(server.url).series({})) == []
        assert "Authorization" not in server.seen[0][2]


def always(body: bytes, content_type: str) -> Callable:
    return lambda handler, _: answer(handler, 200, body, Content_Type=content_type)


# ----------------------------------------------------------------------------------------------------- attempts


def replies(*statuses: int, **headers: str) -> Callable:
    """A fault that answers with these in turn, then with an empty list."""

    def fault(handler, n):
        if n < len(statuses):
            return answer(handler, statuses[n], **headers)
        return answer(handler, 200, b"[]", Content_Type="application/dicom+json")

    return fault


def test_transient_answers_are_repeated_and_others_are_not():
    with proxy(None, replies(503, 429, 500, 502, 504)) as server:
        asking = client(server.url)
        assert list(asking.series({})) == []
        assert (asking.http.repeated, len(server.seen)) == (5, 6)
    with proxy(None, replies(404)) as server:
        with pytest.raises(Rejected, match="404"):
            list(client(server.url).series({}))
        assert len(server.seen) == 1
    with proxy(None, replies(401)) as server:
        with pytest.raises(UserError, match=origin.PASSWORD):
            list(client(server.url).series({}))
        assert len(server.seen) == 1


def test_what_an_account_may_not_do_is_its_objects_failure_and_a_wrong_one_is_fatal(tmp_path):
    calls = {
        "search": lambda asking: list(asking.instances("1.2", "1.2.3")),
        "retrieve": lambda asking: asking.retrieve(INSTANCE, tmp_path / "a.dcm"),
    }
    for what, call in calls.items():
        with proxy(None, replies(403)) as server:
            with pytest.raises(Rejected, match=f"HTTP 403: this account may not {what} this: .*{origin.TOKEN}"):
                call(client(server.url))
            assert len(server.seen) == 1
        with proxy(None, replies(401)) as server, pytest.raises(UserError, match=origin.PASSWORD):
            call(client(server.url))


def swept(fault: Callable, said: list[str]) -> tuple[list[Instance], Sweep]:
    """What a sweep of a server would retrieve."""
    with proxy(None, fault) as server:
        sweep = Sweep(client(server.url), State(Path(":memory:"), {}), said.append)
        return list(sweep.wanted({})), sweep


def listing(held: dict[str, list[dict]], refused: str = "none", status: int = 403) -> Callable:
    """A server that holds these entries by the end of a path, and answers with a status where one has `refused`."""

    def fault(handler, _):
        path, _, keys = handler.path.partition("?")
        if refused in path:
            return answer(handler, status)
        found = next(entries for end, entries in held.items() if path.endswith(end)) if "offset=0" in keys else []
        return answer(handler, 200, json.dumps(found).encode(), Content_Type="application/dicom+json")

    return fault


def test_a_study_that_the_account_may_not_see_does_not_stop_what_is_listed_after_it():
    said: list[str] = []
    held = {"1.3/instances": instances("1.2.3"), "1.4/instances": instances("1.2.4"), "/series": page("1.3", "1.4")}
    found, sweep = swept(listing(held, "series/1.3/instances"), said)
    assert [i.uid for i in found] == ["1.2.4"]
    assert sweep.tally.failed == 1
    (line,) = said
    assert line.startswith("failed: series 1.3: ")
    assert "HTTP 403" in line
    with pytest.raises(UserError, match="HTTP 403: this account may not search"):
        swept(listing(held, "/series"), said)
    with pytest.raises(UserError, match="HTTP 401"):
        swept(listing(held, "series/1.3/instances", 401), said)


def test_dry_run_says_that_the_server_is_away(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(origin, "ATTEMPTS", 1)
    with proxy(None, replies(*[503] * 50)) as server:
        assert main.main(["pacs", f"--url={server.url}", "--dry-run", f"--out={tmp_path / 'out'}"]) == 75
    said = capsys.readouterr()
    assert f"{server.url} is away (" in said.err
    assert said.out == ""


@contextmanager
def ending(said: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that hears a greeting, says something and ends the connection; its address, and what it has heard."""
    heard: list[bytes] = []

    class Ending(socketserver.BaseRequestHandler):
        def handle(self):
            heard.append(self.request.recv(10_000))
            self.request.sendall(said)

    with socketserver.TCPServer(("127.0.0.1", 0), Ending) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}/dicom-web", heard
        finally:
            server.shutdown()
            thread.join()


def test_a_handshake_that_ends_is_tried_again_and_is_no_fault_of_the_certificate():
    with ending(b"") as (url, heard):  # a server that starts again
        with pytest.raises(Unavailable, match=r"EOF.*10 times"):
            list(client(url).series({}))
        assert len(heard) == 10


def test_a_server_without_tls_is_named_at_once():
    with ending(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (url, heard):
        with pytest.raises(UserError, match="does not answer in TLS: give --url as http://"):
            list(client(url).series({}))
        assert len(heard) == 1


def test_attempts_end():
    with proxy(None, replies(*[503] * 50)) as server:
        with pytest.raises(Unavailable, match="HTTP 503, 10 times"):
            list(client(server.url).series({}))
        assert len(server.seen) == 10


@pytest.mark.parametrize("kind", ["seconds", "date", "nonsense", "long"])
def test_retry_after_is_obeyed(kind):
    waits = []
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    text = {"seconds": "7", "date": date, "nonsense": "soon", "long": "999999"}[kind]
    with proxy(None, replies(503, Retry_After=text)) as server:
        asking = client(server.url)
        asking.http._stop = Waiting(waits)
        list(asking.series({}))
    (wait,) = waits
    low, high = {"seconds": (7, 7), "date": (60, 90), "nonsense": (0, 0.001), "long": (600, 600)}[kind]
    assert low <= wait <= high


class Waiting:
    """An event that notes waits in place of waiting."""

    def __init__(self, waits):
        self.waits = waits

    def wait(self, seconds):
        self.waits.append(seconds)

    def is_set(self):
        return False


def test_the_rate_is_kept():
    with proxy(None, replies()) as server:
        asking = client(server.url, rate=20.0)
        begin = origin.time.monotonic()
        for _ in range(5):
            list(asking.series({}))
        assert origin.time.monotonic() - begin >= 4 / 20


# ------------------------------------------------------------------------------------------------------- answers


def page(*uids: str) -> list[dict]:
    return [{"0020000D": {"vr": "UI", "Value": ["1.2"]}, "0020000E": {"vr": "UI", "Value": [uid]}} for uid in uids]


def instances(*uids: str) -> list[dict]:
    return [{"00080018": {"vr": "UI", "Value": [uid]}} for uid in uids]


def searching(monkeypatch, search: Callable[[int, int], list[dict]]) -> Client:
    asking = client("http://127.0.0.1:1/x")
    monkeypatch.setattr(asking._web, "search_for_series", lambda **given: search(given["limit"], given["offset"]))
    return asking


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 400, 401])
@pytest.mark.parametrize("most", [1000, 150])
def test_all_pages_are_read(monkeypatch, count, most):
    held = page(*(f"1.{n}" for n in range(count)))
    asking = searching(monkeypatch, lambda limit, offset: held[offset : offset + min(limit, most)])
    assert len(list(asking.series({}))) == count


def test_a_server_without_pages_is_read_at_once(monkeypatch):
    held = page(*(f"1.{n}" for n in range(500)))
    assert len(list(searching(monkeypatch, lambda *_: held).series({}))) == 500


@pytest.mark.parametrize("flaw", ["limit before offset", "no offset"])
def test_a_server_that_would_hide_the_rest_is_refused(monkeypatch, flaw):
    held = page(*(f"1.{n}" for n in range(500)))
    start = {"limit before offset": lambda offset: offset, "no offset": lambda _: 0}[flaw]
    with pytest.raises(Unpaged, match="does not page"):
        list(searching(monkeypatch, lambda limit, offset: held[:limit][start(offset) :]).series({}))


@pytest.mark.parametrize("limited", [True, False])
@pytest.mark.parametrize("most", [100, 200])
def test_a_server_that_ignores_offset_and_gives_few_at_once_is_refused_until_the_query_is_narrowed(
    monkeypatch, most, limited
):
    held = page(*(f"1.{n}" for n in range(500)))

    def search(limit, search_filters=None, **_):
        entries = held[:7] if "StudyDate" in (search_filters or {}) else held
        return entries[: min(limit, most) if limited else most]

    asking = client("http://127.0.0.1:1/x")
    monkeypatch.setattr(asking._web, "search_for_series", search)
    sweep = Sweep(asking, State(Path(":memory:"), {}), print)
    with pytest.raises(UserError, match=f"ignores offset.* more than the {most} entries.* narrow --query"):
        list(sweep.wanted({"Modality": "US"}))
    assert len(list(asking.series({"Modality": "US", "StudyDate": "20240115"}))) == 7


def test_a_last_page_that_is_given_again_ends_the_search(monkeypatch):
    held = page(*(f"1.{n}" for n in range(250)))
    asking = searching(monkeypatch, lambda limit, offset: held[min(offset, 200) :][: min(limit, 100)])
    assert len(list(asking.series({}))) == 250


@pytest.mark.parametrize("without_keys", [True, False])
def test_a_series_of_which_there_may_be_more_images_fails_alone(without_keys):
    said: list[str] = []
    many, few = instances(*(f"1.8.{n}" for n in range(150))), instances("1.9.1", "1.9.2")
    held = {"1.3/instances": many, "1.4/instances": few, "dicom-web/instances": few + many}

    def fault(handler, _):
        path, _, keys = handler.path.partition("?")
        if path.endswith("dicom-web/instances") and not without_keys:
            return answer(handler, 400)
        if path.endswith("/series"):
            found = page("1.3", "1.4") if "offset=0" in keys else []
        else:
            limit = int(keys.partition("limit=")[2].partition("&")[0])
            found = next(entries for end, entries in held.items() if path.endswith(end))[: min(limit, 100)]
        return answer(handler, 200, json.dumps(found).encode(), Content_Type="application/dicom+json")

    found, sweep = swept(fault, said)
    assert [i.uid for i in found] == (["1.9.1", "1.9.2"] if without_keys else [])
    assert sweep.tally.failed == len(said) == (1 if without_keys else 2)
    assert said[0].startswith("failed: series 1.3: this server does not page")


@pytest.mark.parametrize("uid", ["../../etc", "1.2@evil", "", "1.2/../3", "1." + "2" * 80])
def test_a_name_that_is_no_uid_is_not_given_out(monkeypatch, uid):
    asking = searching(monkeypatch, lambda _, offset: page("1.2.3", uid, "1.2.4") if not offset else [])
    first, why, last = asking.series({})
    assert (first, last) == (("1.2", "1.2.3"), ("1.2", "1.2.4"))
    assert isinstance(why, Rejected)
    rule = " of at most 64 characters" if len(uid) > 64 else " (numbers, with points between them)"
    assert f"series {uid[:70]!r}, which is not a valid UID{rule}: correct it there" in str(why)


def test_names_that_are_no_uids_are_told_and_the_rest_goes_on():
    said: list[str] = []
    bad_study = [series | {"0020000D": {"vr": "UI", "Value": ["1.2.X"]}} for series in page("1.5")]
    held = {
        "1.3/instances": instances("1.2.3", "1.2.840.X", "", "1.2.5"),
        "1.4/instances": instances("1.2.4"),
        "/series": [*page("1.3", "1.2/../7"), *bad_study, *page("1.4")],
    }
    found, sweep = swept(listing(held), said)
    assert [i.uid for i in found] == ["1.2.3", "1.2.5", "1.2.4"]
    assert sweep.tally.failed == len(said) == 4
    told = "\n".join(said)
    assert "an entry of the search for series: the server lists study '1.2', series '1.2/../7', which" in told
    assert "an entry of the search for series: the server lists study '1.2.X', series '1.5', which" in told
    assert "an entry of series 1.3: the server lists instance '1.2.840.X', which is not a valid UID" in told
    assert "an entry of series 1.3: the server lists instance '', which" in told


def test_a_series_number_in_two_studies_is_two_series(monkeypatch):
    other = [series | {"0020000D": {"vr": "UI", "Value": ["1.9"]}} for series in page("1.2.3")]
    asking = searching(monkeypatch, lambda _, offset: page("1.2.3", "1.2.3") + other if not offset else [])
    assert list(asking.series({})) == [("1.2", "1.2.3"), ("1.9", "1.2.3")]


@pytest.mark.parametrize("body", [b"<html>", b"null", b"3", b'["a"]', b'{"error": "busy"}', b'[{"0020000D": "1.2"}]'])
def test_an_answer_that_is_no_list_of_entries_is_named(body):
    with (
        proxy(None, always(body, "application/json")) as server,
        pytest.raises(Rejected, match="not DICOM JSON: is --url the root"),
    ):
        list(client(server.url).series({}))


@pytest.mark.parametrize("value", ["1.2", 3, None, {"a": 1}, []])
def test_a_value_that_is_no_list_is_no_uid(value):
    said: list[str] = []
    found, _ = swept(listing({"/instances": [{"00080018": {"Value": value}}], "/series": page("1.3")}), said)
    assert found == []
    (line,) = said
    assert "an entry of series 1.3: the server lists instance '', which is not a valid UID" in line


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"[]", {"Content_Type": "application/dicom+json"}),
        (b"<cut", {"Content_Type": "application/dicom+xml"}),
        (b"stored", {"Content_Type": "text/plain"}),
        (b"stored", {}),
    ],
)
@pytest.mark.parametrize("held", [True, False])
def test_after_an_answer_that_names_no_object_the_server_is_asked_what_it_has(body, headers, held):
    image = ultrasound(np.zeros((8, 8), np.uint8))
    uid, file = str(image.SOPInstanceUID), BytesIO()
    image.save_as(file, enforce_file_format=True)

    def fault(handler, _):
        if handler.command == "POST":
            return answer(handler, 200, body, **headers)
        found = json.dumps(instances(uid) if held else [])
        return answer(handler, 200, found.encode(), Content_Type="application/json")

    with proxy(None, fault) as server:
        assert client(server.url).store("1.2", {uid: file.getvalue()}) == ({} if held else {uid: "not confirmed"})


BODY = bytes(range(256)) * 9000  # over two chunks
MULTIPART = b"--xyz\r\nContent-Type: application/dicom\r\n\r\n" + BODY + b"\r\n--xyz--\r\n"
RELATED = 'multipart/related; type="application/dicom"; boundary="xyz"'


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(MULTIPART, RELATED), (b"\r\n" + MULTIPART, RELATED.replace('"xyz"', "xyz")), (BODY, "application/dicom")],
)
def test_the_part_of_an_answer_is_written(tmp_path, body, content_type):
    with proxy(None, always(body, content_type)) as server:
        client(server.url).retrieve(INSTANCE, tmp_path / "a.dcm")
        assert server.calls("GET") == ["/dicom-web/studies/1.2/series/1.2.3/instances/1.2.3.4"]
    assert (tmp_path / "a.dcm").read_bytes() == BODY


def test_an_answer_that_is_cut_off_is_asked_for_again(tmp_path):
    def fault(handler, n):
        return answer(handler, 200, MULTIPART if n else MULTIPART[:-20], Content_Type=RELATED)

    with proxy(None, fault) as server:
        asking = client(server.url)
        asking.retrieve(INSTANCE, tmp_path / "a.dcm")
        assert asking.http.repeated == 1
    assert (tmp_path / "a.dcm").read_bytes() == BODY


def test_an_answer_that_is_no_dicom_is_refused(tmp_path):
    with (
        proxy(None, always(b"{}", "application/json")) as server,
        pytest.raises(Rejected, match="application/json in place of DICOM"),
    ):
        client(server.url).retrieve(INSTANCE, tmp_path / "a.dcm")


# --------------------------------------------------------------------------------------------- state and command

CALL = {"url": "u", "bundle": [1], "version": "1", "plane": "auto", "spacing": ["none"], "runtime": "onnx"}


@pytest.mark.parametrize("spacing", [None, "ruler"])
def test_remedies_name_flags_that_pacs_has(spacing):
    frame = Frame(Source(Path("a.dcm")), 0, np.zeros((2, 2), np.uint8), PixelSize(reason="no ruler was found"))
    reason = spacings_of(spacing).of(frame).reason
    remedy = (
        "export the file for fetal-jax measure --spacing-csv" if spacing else "give --spacing=ruler and another --out"
    )
    assert reason == f"no ruler was found: {remedy}"


def test_state_keeps_what_was_done(tmp_path):
    state = State(tmp_path / STATE, CALL)
    objects = {"9.1": ("sr", b"one"), "9.2": ("seg", b"two")}
    state.add(INSTANCE, [{"frame": 0, "hc_mm": 1.5}, {"frame": 1, "hc_mm": None}], objects)
    assert state.confirm(["9.2"]) == ["seg"]
    state.close()
    state = State(tmp_path / STATE, CALL)
    assert state.is_measured(INSTANCE.uid)
    assert not state.is_measured("1.2.3.5")
    assert state.unconfirmed() == [("1.2", INSTANCE.uid)]
    assert state.bodies(INSTANCE.uid) == {"9.1": b"one"}
    assert [row["hc_mm"] for row in state.rows()] == [1.5, None]
    with pytest.raises(UserError):
        state.add(INSTANCE, [], {})  # twice
    state.close()


class TwoSeries:
    """A server that lists an object in two series."""

    def series(self, _):
        return iter([("1.2", "1.2.3"), ("1.2", "1.2.4")])

    def instances(self, study, series):
        return iter([Instance(study, series, "1.2.3.4"), Instance(study, series, f"{series}.9")])


def test_an_object_in_two_series_is_given_out_once():
    sweep = Sweep(TwoSeries(), State(Path(":memory:"), {}), print)
    assert [i.uid for i in sweep.wanted({})] == ["1.2.3.4", "1.2.3.9", "1.2.4.9"]
    assert sweep.tally.left_out == {"listed twice": 1}


def test_state_of_another_call_or_no_state_is_refused(tmp_path):
    State(tmp_path / STATE, CALL).close()
    with pytest.raises(UserError, match=r"the sweep of a call that had another plane \(--plane\): give another --out"):
        State(tmp_path / STATE, CALL | {"plane": "head"})
    (tmp_path / "other").write_bytes(b"not a database" * 100)
    with pytest.raises(UserError, match="another --out"):
        State(tmp_path / "other", CALL)


def test_names_of_objects_change_with_what_decides_the_value_alone():
    assert seed_of(CALL) == seed_of(CALL | {"url": "v", "also": ["seg"]})
    for key in ("bundle", "version", "plane", "spacing", "runtime"):
        assert seed_of(CALL) != seed_of(CALL | {key: "other"})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--query=StudyDat=20240101", "no attribute StudyDat"),
        ("--query=StudyDate", "not KEY=VALUE"),
        ("--query=StudyDate=2024-01-31", "a date is 20240131, a range 20240101-20240131"),
        ("--query=StudyDate=20240101:20240131", "a date is 20240131"),
        ("--ca-file=nowhere.pem", "--ca-file=nowhere.pem cannot be read as certificates (No such file"),
        (f"--ca-file={__file__}", "cannot be read as certificates ("),
        ("--also=fhir", "the kinds are sr1500, seg"),
        ("--rate=0", "requests per second"),
        ("--connections=0", "from 1 to 64"),
    ],
)
def test_wrong_calls(tmp_path, monkeypatch, capsys, more, said):
    monkeypatch.chdir(tmp_path)
    assert main.main(["pacs", "--url=http://127.0.0.1:1/x", more]) == 2
    assert said in capsys.readouterr().err
    assert list(Path().iterdir()) == []
