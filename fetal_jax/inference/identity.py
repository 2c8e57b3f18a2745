"""The examination of a frame: from DICOM, from the caller's table, or from the caller's word. Never guessed.

Tables, JSON, pages and logs name patients and studies by keyed hashes (HMAC-SHA256), and days by a distance that only
the key can turn into a date. The key is `FETAL_JAX_KEY` of the environment, so that several folders name a patient
alike; else a random one in the results folder's `identifiers.key`. Who has the key can test whether a known identifier
is in the results: keep the file apart from results that are given away.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from fetal_jax.errors import UserError
from fetal_jax.files import write_whole
from fetal_jax.reading.study import Labels, Study

ACQUISITION = ("instance", "device", "operator", "month")
"""Columns that say how a DICOM frame was made: its object, the machine (with a part of the hash of its serial number),
who scanned, and in which month."""
COLUMNS = ("examination", "patient", "fetus", "day", "date", "stated_ga_weeks", *ACQUISITION)
"""The columns of a row that say which examination it belongs to; all are empty where that is not known."""
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
    """Whether the month of an examination is written too: a report by month needs it, a folder of frames does not."""

    def fingerprint(self) -> list[Any]:
        """Values that must be the same when a call is resumed; of a key in the environment, a hash."""
        given = Key.of_environment()
        months = ["months"] if self.months else []
        digest = given and hashlib.sha256(b"key\0" + given).hexdigest()[:8]
        return [self.plain, self.one and vars(self.one), digest, *months]


class Key:
    """The key of one results folder; read, or made, when it is first needed."""

    def __init__(self, claim: Callable[[str], Path]) -> None:
        """Take `claim`, which gives the path of a file that may be written (`OwnFiles.claim`)."""
        self._claim = claim

    @staticmethod
    def of_environment() -> bytes | None:
        """The key of `FETAL_JAX_KEY`, or None.

        Raises:
          UserError: it is so short that it can be tried out.
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
        """The keyed hash of some text, different for each kind of it."""
        text = "\0".join((kind, *parts)).encode("utf-8", "surrogateescape")
        return hmac.new(self._bytes, text, hashlib.sha256).digest()


@dataclass(frozen=True)
class Identities:
    """Gives frames the columns `COLUMNS`."""

    key: Key
    naming: Naming

    def columns(self, labels: Labels | None, study: Study | None) -> dict[str, Any]:
        """The cells of one frame.

        Args:
          labels: the caller's word, which decides about the examination. Patient and date are the header's where it
            has them; frames of two patients in one examination are found by that.
          study: of a DICOM file.
        """
        labels = labels or self.naming.one
        made = self._acquisition(study)
        if labels is None and not (study and study.uid):
            return dict.fromkeys(COLUMNS) | made
        patient = (study.patient if study else "") or (labels.patient if labels else "")
        day = (study.date if study else "") or (labels.date if labels else "")
        return {
            "examination": labels.examination if labels else self.name("study", study.uid if study else ""),
            "patient": self.name("patient", patient) if patient else None,
            "fetus": labels.fetus or None if labels else None,
            "day": self._day(patient, day),
            "date": day or None if self.naming.plain else None,
            "stated_ga_weeks": labels.ga_weeks if labels else None,
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
            "month": study.date[:7] or None if self.naming.months else None,
        }

    def name(self, kind: str, identifier: str) -> str:
        """Name an identifier of some kind as rows do: "study", "patient", "instance", "operator" or "serial"."""
        return identifier if self.naming.plain else self.key.digest(kind, identifier).hex()[:16]

    def _day(self, patient: str, text: str) -> int | None:
        try:
            day = date.fromisoformat(text).toordinal()
        except ValueError:  # there is none, or the header has 20240231
            return None
        return day if self.naming.plain else day + int.from_bytes(self.key.digest("day", patient)[:4]) % 1_000_000
