"""The examinations of a results folder: tables, pages, an index, FHIR."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fetal_jax.files import OwnFiles, write_whole
from fetal_jax.outputs.examinations import fhir as fhir_bundle
from fetal_jax.outputs.examinations import page, tables
from fetal_jax.outputs.examinations.examination import Summary, group
from fetal_jax.outputs.examinations.visits import Pregnancy, follow
from fetal_jax.outputs.rows import Row
from fetal_jax.reading.sources import EXAMINATIONS

INDEX = "report.html"
EXAMINATIONS_JSON = "examinations.json"
FILES = ("examinations.csv", EXAMINATIONS_JSON, INDEX)
_NAME_BYTES = 100


def write(rows: Iterable[Row], standard: str, own: OwnFiles, fhir: bool = False) -> list[Pregnancy]:
    """Write `examinations.csv`, `.json`, a page for each examination and `report.html`; returns the pregnancies.

    Args:
      rows: of frames whose examination is known, with overlays in the folder.
      standard: as for `examination.summarise`.
      own: the results folder.
      fhir: whether to write a FHIR Bundle beside each page.

    Raises:
      UserError: a name is taken by a file that this program did not write.
    """
    pregnancies = follow(group(rows), standard)
    taken: set[str] = set()
    records = []
    for pregnancy in pregnancies:
        names = [_name(summary, own, taken) for summary in pregnancy.visits]
        for index, (summary, name) in enumerate(zip(pregnancy.visits, names, strict=True)):
            record = tables.record(pregnancy, index, f"{EXAMINATIONS}/{name}.html")
            siblings = [f"{other}.html" for other in names]
            text = page.render(pregnancy, index, record, own.folder, siblings)
            write_whole(own.claim(record["page"]), text)
            if fhir:
                write_whole(own.claim(f"{EXAMINATIONS}/{name}.json"), fhir_bundle.text(summary))
            records.append(record)
    write_whole(own.claim(EXAMINATIONS_JSON), tables.as_json(records))
    write_whole(own.claim("examinations.csv"), tables.as_csv(records))
    write_whole(own.claim(INDEX), page.index(records))
    return pregnancies


def _name(summary: Summary, own: OwnFiles, taken: set[str]) -> str:
    """Choose the file name of an examination's page, without suffix; a second one of the same name gets a number."""
    wanted = "_".join(filter(None, (summary.examination.name, summary.examination.fetus)))
    safe = re.sub(r"[^\w.+-]", "_", wanted).strip(".").encode()[:_NAME_BYTES].decode(errors="ignore") or "examination"
    n, name = 1, safe
    while name.lower() in taken or not all(own.is_free(f"{EXAMINATIONS}/{name}{s}") for s in (".html", ".json")):
        n += 1
        name = f"{safe}_{n}"
    taken.add(name.lower())
    return name
