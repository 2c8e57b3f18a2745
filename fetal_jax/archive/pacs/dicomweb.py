"""A DICOMweb server: search (QIDO-RS), retrieve (WADO-RS), store (STOW-RS).

URLs are built from UIDs; RetrieveURL of an answer is not used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient

from fetal_jax.archive.pacs.origin import TIMEOUT, Http, Rejected, part
from fetal_jax.errors import UserError

PAGE = 200
"""Number of entries that a request asks for."""
DUPLICATE = 0x0111
"""FailureReason of a server that has the object already."""
STUDY, SERIES, INSTANCE, SOP_CLASS = "0020000D", "0020000E", "00080018", "00080016"
_LEVELS = {STUDY: "study", SERIES: "series", INSTANCE: "instance"}
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")


class Unpaged(Rejected):
    """The server ignores `offset`, and may have more entries than it returned."""


@dataclass(frozen=True)
class Instance:
    """The UIDs of an object on the server."""

    study: str
    series: str
    uid: str
    sop_class: str = ""
    """Empty if the server does not state it."""

    def __str__(self) -> str:
        return f"studies/{self.study}/series/{self.series}/instances/{self.uid}"


class Client:
    """One server. All methods may be called by several threads.

    Each method raises as `Http.attempt` does.
    """

    def __init__(self, http: Http) -> None:
        """Make a client; nothing is sent."""
        self.http = http
        self._web = DICOMwebClient(http.url, session=http.session, timeout=TIMEOUT, chunk_size=2**31)
        self._web.set_http_retry_params(retry=False)  # `Http.attempt` handles Retry-After and lost connections, too

    def series(self, query: Mapping[str, str]) -> Iterator[tuple[str, str] | Rejected]:
        """Yield Study and Series Instance UID of each matching series, without repetition; or the fault of an entry."""
        for entry in self._pages(self._web.search_for_series, search_filters=dict(query)):
            yield _fault(entry, STUDY, SERIES) or (_value(entry, STUDY), _value(entry, SERIES))

    def instances(self, study: str, series: str) -> Iterator[Instance | Rejected]:
        """Yield the instances of a series; or the fault of an entry."""
        for entry in self._pages(self._web.search_for_instances, study, series):
            yield _fault(entry, INSTANCE) or Instance(study, series, _value(entry, INSTANCE), _value(entry, SOP_CLASS))

    def has(self, study: str, uid: str) -> bool:
        """Whether the server holds an instance."""
        filters = {"SOPInstanceUID": uid}
        found = self.http.attempt("search", lambda: self._web.search_for_instances(study, search_filters=filters))
        return any(_value(entry, INSTANCE) == uid for entry in found)

    def retrieve(self, instance: Instance, path: Path) -> None:
        """Write an instance to a file, as the server stores it."""
        accept = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}

        def get() -> None:
            where = f"{self.http.url}/{instance}"
            with self.http.session.get(where, headers=accept, stream=True, timeout=TIMEOUT) as answer:
                answer.raise_for_status()
                with path.open("wb") as file:
                    for data in part(answer):
                        file.write(data)

        self.http.attempt("retrieve", get)

    def store(self, study: str, objects: Mapping[str, bytes]) -> dict[str, str]:
        """Store DICOM files of one study.

        Args:
          study: Study Instance UID of all of them.
          objects: the files by SOP Instance UID.

        Returns:
          The reason, for each object that is not on the server afterwards.
        """
        datasets = [pydicom.dcmread(BytesIO(body)) for body in objects.values()]

        def post() -> Any:
            try:
                return self._web.store_instances(datasets, study)
            except requests.HTTPError as e:
                answer: Any = e.response
                if answer.status_code != 409:  # 409: none was stored; the answer has the reasons
                    raise
                return pydicom.Dataset.from_json(answer.json()) if answer.content else pydicom.Dataset()
            except (OSError, UserError):  # those of requests, and a redirect to another origin
                raise
            except Exception:  # the client raises anything on an answer of another form: `has` tells what is stored
                return pydicom.Dataset()

        answer = self.http.attempt("store", post)
        stored = {str(item.ReferencedSOPInstanceUID) for item in answer.get("ReferencedSOPSequence") or ()}
        reasons = {
            str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason") or 0)
            for item in answer.get("FailedSOPSequence") or ()
        }
        stored |= {uid for uid, reason in reasons.items() if reason == DUPLICATE}
        missing = [uid for uid in objects if uid not in stored and not self.has(study, uid)]
        return {uid: f"FailureReason 0x{reasons[uid]:04X}" if uid in reasons else "not confirmed" for uid in missing}

    def _pages(self, search: Callable[..., Any], *where: str, **filters: Any) -> Iterator[dict[str, Any]]:
        """Yield all entries of a search.

        Raises:
          Unpaged: the server gives no next page, and there may be more entries.
        """
        seen: set[tuple[str, ...]] = set()
        offset = longest = last = 0
        while True:
            page = self._page(search, *where, limit=PAGE, offset=offset, **filters)
            new = {tuple(_value(entry, level) for level in _LEVELS): entry for entry in page}
            new = {names: entry for names, entry in new.items() if names not in seen}
            yield from new.values()
            seen |= set(new)
            offset += len(page)
            if not new:
                break
            longest, last = max(longest, len(page)), len(page)
        # a page once more: after a shorter one it was the last, and over PAGE the server gives everything at once
        cut = bool(page) and last == longest <= PAGE and self._may_cut(search, longest)
        # some servers count the limit before the offset
        if cut or (len(seen) == PAGE and len(self._page(search, *where, limit=PAGE + 1, offset=0, **filters)) > PAGE):
            raise Unpaged(
                "this server does not page its answers (it ignores offset, or counts limit before it) and may have "
                f"more than the {len(seen)} entries it gives: narrow --query, such as by StudyDate, or let it give more"
            )

    def _may_cut(self, search: Callable[..., Any], count: int) -> bool:
        """Whether the server may limit answers to `count` entries: a search for everything gives no more, either."""
        try:
            return len(self._page(search, limit=count + 1, offset=0)) <= count
        except Rejected:  # a server may refuse a search without keys
            return True

    def _page(self, search: Callable[..., Any], *where: str, **filters: Any) -> list[dict[str, Any]]:
        def get() -> list[dict[str, Any]]:
            try:
                found = search(*where, **filters)
            except requests.JSONDecodeError:
                found = None
            if not _are_entries(found):
                raise Rejected("the answer to a search is not DICOM JSON: is --url the root of a DICOMweb service?")
            return list(found)

        return self.http.attempt("search", get)


def _are_entries(found: Any) -> bool:
    """Whether an answer is a list of DICOM JSON objects: elements, each an object, by tag."""
    return isinstance(found, list) and all(
        isinstance(entry, dict) and all(isinstance(element, dict) for element in entry.values()) for entry in found
    )


def _value(entry: Mapping[str, Any], tag: str) -> str:
    values = entry.get(tag, {}).get("Value")
    return str(values[0]) if isinstance(values, list) and values else ""


def _fault(entry: Mapping[str, Any], *levels: str) -> Rejected | None:
    """The fault of an entry that cannot be requested: UIDs become parts of URLs and of file names."""
    uids = {_LEVELS[level]: _value(entry, level) for level in levels}
    wrong = [uid for uid in uids.values() if not _UID.fullmatch(uid) or len(uid) > 64]
    if not wrong:
        return None
    names = ", ".join(f"{level} {uid[:70]!r}" for level, uid in uids.items())
    long = " of at most 64 characters" if max(map(len, wrong)) > 64 else " (numbers, with points between them)"
    return Rejected(f"the server lists {names}, which is not a valid UID{long}: correct it there")
