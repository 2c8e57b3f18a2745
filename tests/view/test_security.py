"""Hostile requests: refused, logged without their content, and the server goes on."""

from __future__ import annotations

import json
import re
import socket
import threading
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from fetal_jax.view.session import REVIEW
from tests.view.folder import row, save_rows, serving, write_results

SECRET = "the-secret"
POST = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("hostile")
    rows = write_results(home, 3)
    script = home / "frames" / "<script>alert(1)<"
    rows.append(row(script, "head", "error", reason="</p><script>alert(2)</script>"))
    rows.append(row(home / "secret.txt", "head", "refused", overlay="../../secret.txt"))
    (home / "secret.txt").write_text(SECRET)
    save_rows(home / "results", rows)
    return home


@pytest.fixture(scope="module")
def server(home):
    with serving(home / "results") as server:
        yield server


def asked(server, method: str, path: str, headers: dict | None = None, body: bytes | str | None = None, host: str = ""):
    """Status, headers and body of the answer; the path goes out as it is. A POST is the page's, unless it says so."""
    parts = urlsplit(server.address)
    connection = HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host or parts.netloc)
        whose = {"x-page": server.page} if method == "POST" else {}
        for name, value in (whose | (headers or {})).items():
            connection.putheader(name, value)
        data = body.encode() if isinstance(body, str) else body
        if data is not None:
            connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def event(**changes: object) -> str:
    answer = {"plane": "head", "ellipse": [9, 9, 4, 3, 0], "shaft": None, "decision": "", "comment": ""}
    return json.dumps({"action": "move", "after": 0, "answer": answer | changes})


PATHS = [
    "/../measurements.json",
    "/..%2fmeasurements.json",
    "/%2e%2e/%2e%2e/secret.txt",
    "/page/../../secret.txt",
    "//etc/passwd",
    "/app.js/../../server.py",
    "/app.js%00.png",
    "/api/frames/../../secret.txt",
    "/api/frames/..%2f..%2fsecret.txt/image",
    "/api/frames/-1",
    "/api/frames/99999999999999999999",
    "/api/frames/0x1",
    "/api/frames/%D9%A1",
    "/api/frames/1e3/image",
    "/api/frames/999/image",
    "/api/changes?rows=-1",
    "/api/changes?rows=1;drop",
    "/api/export",
    "/corrections.sqlite",
    "/.fetal-jax.lock",
]


@pytest.mark.parametrize("path", PATHS)
def test_path_outside_the_interface_is_refused(server, path):
    status, headers, body = asked(server, "GET", path)
    assert status in (400, 404, 405)
    assert SECRET.encode() not in body
    assert headers.get("cache-control") == "no-store"


def test_file_that_is_no_frame_is_not_sent(server):
    status, _, body = asked(server, "GET", "/api/frames/4/image")
    assert status == 404
    assert SECRET.encode() not in body


@pytest.mark.parametrize("page", ["", "0" * 16])
def test_post_of_another_page_is_refused(server, page):
    for path in ("/api/frames/0/events", "/api/frames/0/preview", "/api/export"):
        status, _, body = asked(server, "POST", path, POST | {"x-page": page}, event())
        assert (status, json.loads(body)["error"]) == (412, "this page is of another reader or folder: reload it")
    assert asked(server, "GET", "/api/changes", {"x-page": "0" * 16})[0] == 412
    assert asked(server, "GET", "/api/changes", {"x-page": server.page})[0] == 200


HEADERS = [
    ({}, "evil.example", 421),
    ({}, "evil.example:80", 421),
    ({}, "127.0.0.1.evil.example", 421),
    ({}, "10.0.0.1", 421),
    ({}, "127.0.0.1@evil.example", 421),
    ({"Host": "evil.example"}, "", 400),
    ({"Origin": "http://evil.example"}, "", 403),
    ({"Origin": "null"}, "", 403),
    ({"Origin": "https://127.0.0.1"}, "", 403),
    ({"Sec-Fetch-Site": "cross-site"}, "", 403),
    ({"Sec-Fetch-Site": "same-site"}, "", 403),
]


@pytest.mark.parametrize(("headers", "host", "status"), HEADERS)
def test_foreign_host_or_origin_is_refused(server, headers, host, status):
    assert asked(server, "GET", "/api/about", headers, host=host)[0] == status
    assert asked(server, "POST", "/api/frames/0/events", POST | headers, event(), host=host)[0] == status


BODIES = [
    (POST, "", 400),
    (POST, "{", 400),
    (POST, "[" * 50_000, 400),
    (POST, b"\xff\xfe", 400),
    (POST, "null", 400),
    (POST, '{"action": "move", "after": 0, "answer": {"plane": NaN}}', 400),
    (POST, event(ellipse=[1e300, 0, 4, 3, 0]), 400),
    (POST, event(ellipse={"__proto__": 1}), 400),
    (POST, event(plane="<script>"), 400),
    (POST, event(comment="x" * 3000), 400),
    (POST, '{"action": "drop", "after": 0}', 400),
    (POST, '{"action": "undo", "after": true}', 400),
    (POST, " " * 70_000, 413),
    ({"content-type": "text/plain"}, event(), 415),
    ({"content-type": "application/x-www-form-urlencoded"}, "a=b", 415),
    ({}, event(), 415),
]


@pytest.mark.parametrize(("headers", "body", "status"), BODIES)
def test_body_that_cannot_be_is_refused(server, headers, body, status):
    assert asked(server, "POST", "/api/frames/0/events", headers, body)[0] == status


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_are_refused(server, method):
    assert asked(server, method, "/api/frames/0")[0] == 405


def test_every_answer_is_kept_nowhere_and_runs_no_foreign_script(server):
    for path in ("/", "/app.js", "/api/about", "/api/frames/0/image", "/nothing"):
        _, headers, _ = asked(server, "GET", path)
        assert headers["cache-control"] == "no-store", path
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    page = asked(server, "GET", "/")[2].decode()
    assert not re.search(r"<script>|\son\w+=|\sstyle=|https?://", page)


def test_two_hundred_at_once_and_slow_ones_do_not_stop_it(server):
    parts = urlsplit(server.address)
    slow = [socket.create_connection((parts.hostname, parts.port)) for _ in range(20)]
    for i, s in enumerate(slow):
        s.sendall(
            b"GET /api/about HT"
            if i % 2
            else b"POST /api/export HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
        )
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(asked(server, "GET", "/api/changes")[0])) for _ in range(200)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 200
    for s in slow:
        s.close()


def test_token_is_asked_for_outside_of_loopback(home):
    with serving(home / "results", "--host=0.0.0.0") as server:
        token = server.address.partition("#token=")[2]
        assert len(token) >= 32
        server.address = f"http://127.0.0.1:{urlsplit(server.address).port}/"
        assert asked(server, "GET", "/")[0] == 200  # the page itself holds nothing
        wrong = ("", "Bearer ", "Bearer wrong", f"Basic {token}", f"Bearer {token}x", "Bearer \xe9")
        for given in wrong:
            assert asked(server, "GET", "/api/about", {"Authorization": given})[0] == 401
        assert asked(server, "GET", f"/api/about?token={token}")[0] == 401
        right = {"Authorization": f"Bearer {token}"}
        assert asked(server, "GET", "/api/about", right)[0] == 200
        assert asked(server, "GET", "/api/about", right, host="evil.example")[0] == 421


def test_log_names_the_refusals_and_nothing_of_them(tmp_path):
    write_results(tmp_path, 1)
    with serving(tmp_path / "results") as server:
        asked(server, "GET", "/api/about?name=Doe", {"Origin": "http://Doe.example"})
        asked(server, "POST", "/api/frames/0/events", POST, event(comment="Doe", plane="Doe"))
        code, errors = server.stop()
    assert code == 130
    assert "refused (403): foreign Origin" in errors
    assert "refused (400)" in errors
    assert "Doe" not in errors
    assert "Traceback" not in errors


def test_wrong_calls_are_refused(tmp_path):
    from tests.support.command import fetal_jax, refused

    (tmp_path / "empty").mkdir()
    refused(fetal_jax("view", tmp_path / "nothing", "--no-browser"), "does not exist")
    for name in ("archived/call.json", "archived/frames/0.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    refused(fetal_jax("view", tmp_path / "archived", "--no-browser"), "without pictures: take the frames themselves")
    assert not (tmp_path / "archived" / "review").exists()
    refused(fetal_jax("view", tmp_path / "empty", "--no-browser"), "holds no PNG")
    write_results(tmp_path, 1)
    refused(fetal_jax("view", tmp_path / "results", "--port=70000"), "--port=70000")
    assert fetal_jax("view", tmp_path / "results", "--reader=a\nb").returncode == 2
    assert not (tmp_path / "results" / REVIEW).exists()
    (tmp_path / "results" / "measurements.json").write_text('[{"file": 1}]')
    refused(fetal_jax("view", tmp_path / "results", "--no-browser"), "damaged")
