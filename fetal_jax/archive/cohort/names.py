"""Identifiers as the cohort report shows them."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from pathlib import Path

from fetal_jax.inference.identity import KEY_FILE, Key
from fetal_jax.reading.sources import CALL

_HASH = re.compile(r"[0-9a-f]{16}")


class Names:
    """Names for the page: hashes are kept, every other identifier is hashed."""

    def __init__(self, folder: Path) -> None:
        key = Key.of_environment()
        if key is None:
            path = folder / KEY_FILE
            key = path.read_bytes().strip() if path.is_file() else secrets.token_bytes(32)
        self._key, self._plain = key, _are_plain(folder)

    def hashed(self, name: str | None) -> str:
        """Sixteen hexadecimal digits; "not recorded" and "several" are kept."""
        if name is None or name in ("not recorded", "several") or (_HASH.fullmatch(name) and not self._plain):
            return name or "not recorded"
        return hmac.new(self._key, b"shown\0" + name.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[
            :16
        ]

    def device(self, name: str) -> str:
        """Manufacturer and model, with six digits for the serial number."""
        model, sign, serial = name.rpartition("#")
        if not sign or (re.fullmatch(r"[0-9a-f]{6}", serial) and not self._plain):
            return name
        return f"{model}#{self.hashed(serial)[:6]}"

    def show(self, by: str, name: str) -> str:
        """The name of a group for the page; `by` is the grouping."""
        return self.hashed(name) if by == "operator" else self.device(name) if by == "device" else name


def _are_plain(folder: Path) -> bool:
    """Whether the results were made with `--identifiers`: a serial number such as 123456 looks like a hash."""
    try:
        _, (plain, *_), *_ = json.loads((folder / CALL).read_text(encoding="ascii"))["examinations"]
    except (OSError, ValueError, LookupError, TypeError):  # a folder from another program
        return False
    return bool(plain)
