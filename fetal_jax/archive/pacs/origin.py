"""HTTP to one origin: credentials, certificates, rate, attempts. Nothing is sent anywhere else.

A redirect to another origin is refused before anything is sent there.
"""

from __future__ import annotations

import base64
import os
import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from fetal_jax.errors import UserError

T = TypeVar("T")
USER, PASSWORD, TOKEN = "FETAL_JAX_PACS_USER", "FETAL_JAX_PACS_PASSWORD", "FETAL_JAX_PACS_TOKEN"
_NAMES = f"{USER} and {PASSWORD}, or {TOKEN}"
ATTEMPTS = 10
"""Attempts of each request; the waits between them add up to about 90 s."""
FIRST_WAIT, LONGEST_WAIT = 0.2, 30.0
"""Seconds to wait: doubled after each attempt, with jitter, so that connections do not retry at the same time."""
LONGEST_ASKED = 600.0
"""Longest Retry-After of a server that is obeyed, in seconds."""
TIMEOUT = (10.0, 120.0)
"""Timeouts in seconds: to connect, and between two packets."""
TRANSIENT = (408, 429, 500, 502, 503, 504)
_LOCAL = ("localhost", "127.0.0.1", "::1")


class Unavailable(Exception):
    """The server answered no attempt of a request, or asked to retry later each time."""


class Rejected(Exception):
    """The server refuses a request, or its answer cannot be read: repeating it does not help."""


class Forbidden(Rejected):
    """The server refuses this account a request (HTTP 403); others may be allowed."""


class _Cut(requests.ConnectionError):
    """An answer was cut short."""


def authorization() -> str | None:
    """The Authorization header from the environment: basic, bearer, or none.

    Raises:
      UserError: the environment has half of a basic credential, or both kinds.
    """
    user, password, token = (os.environ.get(name, "") for name in (USER, PASSWORD, TOKEN))
    if token and (user or password):
        raise UserError(f"{TOKEN} and {USER} are both set: unset one of them")
    if bool(user) != bool(password):
        raise UserError(f"{USER} and {PASSWORD} belong together: set both")
    if token:
        return f"Bearer {token}"
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else None


def checked_url(text: str, with_credentials: bool) -> str:
    """Check the root URL of a DICOMweb service; returns it without a slash at the end.

    Raises:
      UserError: it is not a URL, has a password in it, or credentials would be sent unencrypted.
    """
    parts = urlsplit(text)
    try:
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        port_is_right = False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_right:
        raise UserError("--url is not the address of a DICOMweb service: give it as https://HOST/dicom-web")
    if parts.username or parts.password:
        raise UserError(f"--url holds a user or a password: give them as {USER} and {PASSWORD} in the environment")
    if parts.query or parts.fragment:
        raise UserError("--url holds a ? or a #: give the root of the DICOMweb service, and --query for what to search")
    if with_credentials and parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise UserError("credentials would be sent unencrypted: give --url as https://, or unset them")
    return text.rstrip("/")


def check_certificates(file: Path) -> None:
    """Check a file of certificates to trust.

    Raises:
      UserError: it cannot be read, or holds no certificate in PEM.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError as e:  # also what OpenSSL says of the content
        why = e.strerror or e
        raise UserError(f"--ca-file={file} cannot be read as certificates ({why}): give a PEM file") from None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


class _OneOrigin(HTTPAdapter):
    """Sends requests only to one origin, at most `rate` per second."""

    def __init__(self, url: str, rate: float, connections: int) -> None:
        super().__init__(pool_maxsize=connections)
        self._origin, self._gap = _origin(url), 1 / rate
        self._lock, self._next = threading.Lock(), 0.0

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        scheme, host, port = origin = _origin(request.url)
        if origin != self._origin:
            raise UserError(
                f"the server sends us to {scheme}://{host}:{port}, another origin: nothing was sent there; "
                "if that is the DICOMweb service, give its address as --url"
            )
        with self._lock:
            now = time.monotonic()
            wait, self._next = self._next - now, max(now, self._next) + self._gap
        if wait > 0:
            time.sleep(wait)
        request.headers.pop("Host", None)  # dicomweb-client's lacks the port
        return super().send(request, *args, **kwargs)


class _Header(requests.auth.AuthBase):
    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = self._value
        return request


class Http:
    """Requests to one server. All methods may be called by several threads."""

    def __init__(
        self,
        url: str,
        credentials: str | None = None,
        ca_file: Path | None = None,
        connections: int = 4,
        rate: float = 50.0,
        note: Callable[[str], None] = print,
    ) -> None:
        """Prepare a session; nothing is sent.

        Args:
          url: the root of the service (`checked_url`).
          credentials: an Authorization header (`authorization`).
          ca_file: PEM file of certificates to trust in place of the usual ones.
          connections: number of open connections.
          rate: most requests per second.
          note: receives a message for each wait of a second or more.
        """
        self.url, self._note = url, note
        self.session = requests.Session()
        self.session.trust_env = False  # ignore .netrc: credentials come only from the caller
        self.session.verify = str(ca_file) if ca_file else True
        self.session.auth = _Header(credentials) if credentials else None
        self.session.headers["Accept"] = "application/dicom+json"
        adapter = _OneOrigin(url, rate, connections)
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, adapter)
        self._stop, self._lock = threading.Event(), threading.Lock()
        self.repeated = 0
        """Attempts beyond the first."""

    def stop(self) -> None:
        """End all waits: requests in progress raise `Unavailable`."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def attempt(self, what: str, call: Callable[[], T]) -> T:
        """Make a request, and repeat it if that may help.

        Args:
          what: its kind, for messages.
          call: makes it with `session`, and raises for an error status.

        Raises:
          Rejected: the server refuses it; `Forbidden` if it refuses the account.
          Unavailable: no attempt was answered.
          UserError: the credentials are wrong, a certificate is not trusted, or a redirect leads to another origin.
        """
        for attempt in range(ATTEMPTS):
            if self._stop.is_set():
                raise Unavailable("stopped")
            asked = None
            try:
                return call()
            except requests.HTTPError as e:
                response: Any = e.response
                status = response.status_code
                why = f"the server answers a {what} with HTTP {status}"
                if status == 401:
                    raise UserError(_refused_credentials(self.session.auth is not None)) from None
                if status == 403:
                    raise Forbidden(f"{why}: {_not_allowed(what)}") from None
                if status not in TRANSIENT:
                    raise Rejected(why) from None
                asked = _retry_after(response)
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as e:
                self._refuse_tls(e)
                why = f"no answer to a {what} ({_short(e)})"
            except requests.RequestException as e:  # an answer that is not HTTP, or a redirect loop
                raise Rejected(f"the answer to a {what} cannot be read ({_short(e)})") from None
            if attempt + 1 < ATTEMPTS:
                self._wait(why, attempt, asked)
        raise Unavailable(f"{why}, {ATTEMPTS} times")

    def _refuse_tls(self, e: Exception) -> None:
        """Refuse the errors of TLS that are of the call; a server that starts again ends a handshake, too."""
        if "CERTIFICATE_VERIFY_FAILED" in str(e):
            remedy = "give --ca-file" if self.session.verify is True else "give the --ca-file of who signed it"
            raise UserError(f"the server's certificate is not trusted ({_short(e)}): {remedy}") from None
        if "WRONG_VERSION_NUMBER" in str(e):
            raise UserError("the server does not answer in TLS: give --url as http://, or its port for https") from None

    def _wait(self, why: str, attempt: int, asked: float | None) -> None:
        seconds = min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * random.uniform(0.5, 1.0) if asked is None else asked
        with self._lock:
            self.repeated += 1
        if seconds >= 1:
            self._note(f"{why}: again in {seconds:.0f} s")
        self._stop.wait(seconds)


def part(answer: Any) -> Iterator[bytes]:
    """Yield the content of the single part of a multipart answer, or of a plain answer.

    Raises:
      Rejected: it is not DICOM.
      _Cut: it ends before its last boundary.
    """
    header = Message()
    header["Content-Type"] = answer.headers.get("Content-Type", "")
    chunks = answer.iter_content(2**20)
    if header.get_content_type() == "application/dicom":
        yield from chunks
        return
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/related" or not isinstance(boundary, str):
        raise Rejected(f"the server sends {header.get_content_type()} in place of DICOM")
    end, data, in_head = f"\r\n--{boundary}".encode(), b"", True
    for chunk in chunks:
        data += chunk
        if in_head:
            _, blank, rest = data.partition(b"\r\n\r\n")
            if not blank:
                continue
            data, in_head = rest, False
        if (at := data.find(end)) >= 0:
            yield data[:at]
            return
        yield data[: -len(end)]
        data = data[-len(end) :]
    raise _Cut("cut off")


def _retry_after(answer: Any) -> float | None:
    """Seconds that the server asks to wait, from its Retry-After in seconds or as a date."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return min(float(text), LONGEST_ASKED)
    try:
        seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), LONGEST_ASKED)


def _not_allowed(what: str) -> str:
    return f"this account may not {what} this: give it the right to, or set another by {_NAMES}"


def _refused_credentials(given: bool) -> str:
    if given:
        return f"the server refuses the credentials (HTTP 401): check {_NAMES}"
    return f"the server wants credentials (HTTP 401): set {_NAMES}"


def _short(e: Exception) -> str:
    """The reason inside an exception of requests that wraps one of urllib3."""
    inner: Any = e.args[0] if e.args else e
    inner = getattr(inner, "reason", inner)
    text = " ".join(str(inner).split())
    return re.sub(r"^<[^>]*>: |^.*?object at 0x\w+>[,:] ", "", text)[:120]
