"""Debian's Orthanc, a DICOM server, on loopback; a proxy that fails as asked; ultrasound studies to store."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import requests
from pydicom.uid import generate_uid

from tests.support.dicom_files import region, ultrasound
from tests.support.folders import SMALL
from tfds_builders.fetal_phantom.phantom import draw

PROGRAM, PLUGIN = Path("/usr/sbin/Orthanc"), Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
REQUIRED = "FETAL_PACS_TESTS"
"""Environment variable that turns the skip into a failure."""


@dataclass
class Orthanc:
    """A running server."""

    root: str
    auth: tuple[str, str] | None = None

    @property
    def url(self) -> str:
        return f"{self.root}/dicom-web"

    def get(self, path: str) -> Any:
        answer = requests.get(f"{self.root}/{path}", auth=self.auth, timeout=60)
        answer.raise_for_status()
        return answer

    def add(self, ds: pydicom.Dataset) -> None:
        file = BytesIO()
        ds.save_as(file, enforce_file_format=True)
        requests.post(f"{self.root}/instances", file.getvalue(), auth=self.auth, timeout=60).raise_for_status()

    def count(self) -> int:
        """Number of all objects."""
        return int(self.get("statistics").json()["CountInstances"])

    def objects(self, modality: str) -> list[pydicom.Dataset]:
        """All objects of a modality."""
        query = {"Level": "Instance", "Query": {"Modality": modality}}
        found = requests.post(f"{self.root}/tools/find", json=query, auth=self.auth, timeout=60).json()
        return [pydicom.dcmread(BytesIO(self.get(f"instances/{name}/file").content)) for name in found]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def orthanc(folder: Path, users: dict[str, str] | None = None) -> Iterator[Orthanc]:
    """A server that keeps its objects under `folder`; with users, by password alone."""
    missing = [str(path) for path in (PROGRAM, PLUGIN) if not path.exists()]
    if missing:
        text = f"no {', '.join(missing)}: apt-get install orthanc orthanc-dicomweb"
        (pytest.fail if os.environ.get(REQUIRED) == "1" else pytest.skip)(text)
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = {
        "HttpPort": port,
        "DicomPort": free_port(),
        "RemoteAccessAllowed": False,
        "StorageDirectory": "db",
        "IndexDirectory": "db",
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "AuthenticationEnabled": bool(users),
        "RegisteredUsers": users or {},
    }
    (folder / "orthanc.json").write_text(json.dumps(config))
    server = Orthanc(f"http://127.0.0.1:{port}", next(iter(users.items())) if users else None)
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([PROGRAM, "orthanc.json"], cwd=folder, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                server.get("statistics")
                break
            except requests.ConnectionError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end
                time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(30)


# ------------------------------------------------------------------------------------------------------ the proxy


def sound(handler: Any, n: int) -> bool:
    """No fault."""
    return False


@dataclass
class Proxy:
    """A server in front of another: notes each request, and asks `fault` about it."""

    target: str
    fault: Callable[[Any, int], bool] = sound
    """Given the request's handler and its number from 0; True if it has answered."""
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers of each request."""
    root: str = ""

    @property
    def url(self) -> str:
        return f"{self.root}/dicom-web"

    def calls(self, method: str, part: str = "") -> list[str]:
        return [path for m, path, _ in self.seen if m == method and part in path]


def forward(handler: Any) -> requests.Response:
    """The target's answer to a request."""
    headers = {k: v for k, v in handler.headers.items() if k.lower() not in ("host", "connection")}
    return requests.request(
        handler.command, handler.server.proxy.target + handler.path, data=handler.body, headers=headers, timeout=60
    )


def answer(handler: Any, status: int, body: bytes = b"", **headers: str) -> bool:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
    return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        proxy = self.server.proxy
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.turn:
            number = len(proxy.seen)
            proxy.seen.append((self.command, self.path, dict(self.headers)))
        if not proxy.fault(self, number):
            given = forward(self)
            answer(self, given.status_code, given.content, Content_Type=given.headers.get("Content-Type", ""))

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def proxy(
    target: Orthanc | None, fault: Callable[[Any, int], bool] | None = None, context: Any = None
) -> Iterator[Proxy]:
    """A proxy on loopback, with TLS by an `ssl.SSLContext`. Without a target `fault` must answer."""
    made = Proxy(target.root if target else "", fault or sound)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.proxy, server.turn = made, threading.Lock()
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made.root = f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ----------------------------------------------------------------------------------------------------- the studies


def studies(count: int, cine_every: int = 10) -> list[pydicom.Dataset]:
    """Two frames a study, head, abdomen or femur; each `cine_every`th study has a cine of three, too."""
    made = []
    for n in range(count):
        study, series = generate_uid(), generate_uid()
        planes = [("head", "abdomen", "femur")[(n + k) % 3] for k in range(2)]
        drawn = [draw(plane, 700_000 + 10 * n + k, SMALL) for k, plane in enumerate(planes)]
        frames = [(p.image, p.spacing_mm) for p in drawn]
        if n % cine_every == 0:
            frames.append((np.stack([np.roll(drawn[0].image, shift, 1) for shift in (0, 2, 4)]), drawn[0].spacing_mm))
        for k, (pixels, mm) in enumerate(frames):
            ds = ultrasound(pixels, [region(mm, mm)])
            ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.InstanceNumber = study, series, k + 1
            ds.PatientID, ds.StudyDate, ds.StudyDescription = f"P{n}", f"2024{n % 12 + 1:02d}15", "Obstetric"
            made.append(ds)
    return made
