"""The examination of a frame: from DICOM, the caller's table, or `--one-examination`. Never guessed.

Tables, JSON, pages and logs name patients and studies by keyed hashes (HMAC-SHA256), and days by a shifted number that
only the key can turn into a date. The key is `FETAL_JAX_KEY` of the environment, so that several folders use the same
name for a patient; else a random one in the results folder's `identifiers.key`. Anyone with the key can test whether a
known identifier is in the results: never share the key file together with results.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from fetal_jax.errors import UserError
from fetal_jax.files import write_whole
from fetal_jax.reading.study import Labels, Study

ACQUISITION = ("instance", "device", "operator", "month")
"""Columns about the acquisition of a DICOM frame: its object, the machine (with part of the hash of its serial number),
the operator, and the month, which the caller's table may give for an image."""
COLUMNS = ("examination", "patient", "fetus", "day", "date", "stated_ga_weeks", *ACQUISITION)
"""Columns of a row that identify its examination; all but those of its acquisition are empty if that is not known and
the caller's table says nothing of the frame."""
KEY_FILE, KEY_VARIABLE = "identifiers.key", "FETAL_JAX_KEY"
ONE = "examination"
"""Name of the examination that `--one-examination` makes."""


@dataclass(frozen=True)
class Naming:
    """The naming of examinations in a call."""

    one: Labels | None = None
    """The examination of all frames (`--one-examination`)."""
    plain: bool = False
    """Whether identifiers are written as they are (`--identifiers`)."""
    months: bool = False
    """Whether to write the month of an examination: a report by month needs it, a folder of frames does not."""

    def fingerprint(self) -> list[Any]:
        """Values that must be unchanged when a call is resumed; a key in the environment is included as a hash."""
        given = Key.of_environment()
        months = ["months"] if self.months else []
        digest = given and hashlib.sha256(b"key\0" + given).hexdigest()[:8]
        return [self.plain, self.one and vars(self.one), digest, *months]


class Key:
    """The key of one results folder; read, or created, when it is first needed."""

    def __init__(self, claim: Callable[[str], Path]) -> None:
        """Take `claim`, which gives the path of a file that may be written (`OwnFiles.claim`)."""
        self._claim = claim

    @staticmethod
    def of_environment() -> bytes | None:
        """The key of `FETAL_JAX_KEY`, or None.

        Raises:
          UserError: it is short enough to be guessed.
        """
        text = os.environ.get(KEY_VARIABLE, "")
        if text and len(text) < 16:
            raise UserError(f"{KEY_VARIABLE} is shorter than 16 characters: give a longer one, or unset it")
        return text.encode("utf-8", "surrogateescape") or None

    @cached_property
    def _bytes(self) -> bytes:
        if (given := self.of_environment()) is not None:
            return given
        path = self._claim(KEY_FILE)
        if not path.exists():
            write_whole(path, secrets.token_hex(32) + "\n")
            path.chmod(0o600)
        return path.read_bytes().strip()

    def digest(self, kind: str, *parts: str) -> bytes:
        """Keyed hash of some texts; different for each `kind`."""
        text = "\0".join((kind, *parts)).encode("utf-8", "surrogateescape")
        return hmac.new(self._bytes, text, hashlib.sha256).digest()


@dataclass(frozen=True)
class Identities:
    """Fills the columns `COLUMNS` of frames."""

    key: Key
    naming: Naming

    def columns(self, labels: Labels | None, study: Study | None) -> dict[str, Any]:
        """The cells of one frame.

        Args:
          labels: from the caller's table, which decides the examination where it names one. Patient and date are those
            of the header if it has them, so that frames of two patients in one examination are detected.
          study: from the header of a DICOM file.
        """
        labels = labels or Labels()
        if self.naming.one and not labels.examination:
            labels = replace(self.naming.one, **{key: said for key, said in vars(labels).items() if said})
        examination = labels.examination
        if not examination and study and study.uid:
            examination = self.name("study", study.uid)
        day = (study.date if study else "") or labels.date
        made = self._acquisition(study) | {"month": day[:7] or None if self.naming.months else None}
        if not examination and labels == Labels():
            return dict.fromkeys(COLUMNS) | made
        patient = (study.patient if study else "") or labels.patient
        return {
            "examination": examination or None,
            "patient": self.name("patient", patient) if patient else None,
            "fetus": labels.fetus or None,
            "day": self._day(patient, day),
            "date": day or None if self.naming.plain else None,
            "stated_ga_weeks": labels.ga_weeks,
            **made,
        }

    def _acquisition(self, study: Study | None) -> dict[str, str | None]:
        if study is None:
            return dict.fromkeys(ACQUISITION)
        serial = self.name("serial", study.serial) if study.serial else ""
        short = serial if self.naming.plain else serial[:6]
        return {
            "instance": self.name("instance", study.instance) if study.instance else None,
            "device": " ".join(filter(None, (study.device, short and f"#{short}"))) or None,
            "operator": self.name("operator", study.operator) if study.operator else None,
        }

    def name(self, kind: str, identifier: str) -> str:
        """Convert an identifier to its name in rows; `kind`: "study", "patient", "instance", "operator" or "serial"."""
        return identifier if self.naming.plain else self.key.digest(kind, identifier).hex()[:16]

    def _day(self, patient: str, text: str) -> int | None:
        try:
            day = date.fromisoformat(text).toordinal()
        except ValueError:  # no date, or one such as 20240231
            return None
        return day if self.naming.plain else day + int.from_bytes(self.key.digest("day", patient)[:4]) % 1_000_000
