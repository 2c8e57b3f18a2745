"""The numbers of the cohort report: DuckDB queries over the Parquet of `archive`, or the JSON of `measure`."""

from __future__ import annotations

import glob
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fetal_jax.archive import pacs
from fetal_jax.archive.cohort.drift import Cell
from fetal_jax.errors import UserError
from fetal_jax.growth.ages import completed_weeks
from fetal_jax.inference import acceptance
from fetal_jax.outputs.rows import JSON, read_rows
from fetal_jax.outputs.tally import bare_reason
from fetal_jax.planes import PRIMARY, QUANTITIES

MEASURES = {column.removesuffix("_mm"): plane for plane, column in PRIMARY.items()}
"""Plane by measure: "hc", "ac", "fl"."""
EXAMINATIONS, EXAMINATIONS_JSON, DEAD_LETTERS = "examinations", "examinations.json", "dead_letters"
NO_EXAMINATION = "no frame names its examination: measure DICOM, or images with a column examination in --spacing-csv"
GROUPS = {"week": "completed_weeks(weeks)", "device": "device", "operator": "operator", "month": "month"}
"""Groups of the z-scores, as columns of the view `visits`."""

_Z_SCORES = ", ".join(
    f"case when known_ga_weeks is not null or ga_formula not like '%({QUANTITIES[m].label})' then {m}_z end as {m}_z"
    for m in MEASURES
)
"""A size that alone made the age is judged at its own age: its z-score is that of the formula, not of the fetus."""
_VISITS = f"""
create view visits as
select e.* replace ({_Z_SCORES}), made.* exclude (examination, fetus),
    coalesce(known_ga_weeks::double, ga_weeks::double) as weeks, known_ga_weeks is not null as dated,
    coalesce(e.patient, e.examination) as person
from examinations e
left join (
    select examination, fetus,
        case when count(distinct device) < 2 then any_value(device)::varchar else 'several' end as device,
        case when count(distinct operator) < 2 then any_value(operator)::varchar else 'several' end as operator,
        case when count(distinct month) < 2 then any_value(month)::varchar end as month
    from frames where examination is not null group by examination, fetus
) made on e.examination = made.examination and e.fetus::varchar is not distinct from made.fetus::varchar
"""
"""One row per examination and fetus, with the machine, the operator and the month of its frames."""


class ZScores(NamedTuple):
    """The z-scores of a measure in a group of examinations."""

    n: int
    mean: float | None
    sd: float | None
    """None of one."""
    people: int
    """Patients; an examination that names none is one of its own."""


class Tables:
    """A results folder, and the queries of the report."""

    def __init__(self, folder: Path) -> None:
        """Open a folder of `archive` (Parquet) or of `measure` (JSON).

        Raises:
          UserError: the folder does not exist or has neither, or duckdb or pyarrow is not installed.
        """
        if not folder.exists():
            raise UserError(f"{folder} does not exist: give the folder of fetal-jax archive or measure")
        try:
            import duckdb
            import pyarrow as pa

            from fetal_jax.archive.parquet import utf8
        except ImportError as e:
            raise UserError(f"the cohort report needs {e.name}: pip install '.[archive]'") from None
        offline: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        self._db = duckdb.connect(":memory:", config=offline)
        double, integer = duckdb.sqltype("DOUBLE"), duckdb.sqltype("INTEGER")
        self._db.create_function("completed_weeks", completed_weeks, [double], integer)  # for GROUPS
        try:
            self.of_measure = (folder / JSON).is_file()
            if self.of_measure:
                for name, read in (("frames", read_rows), ("examinations", _examinations)):
                    rows = [{key: utf8(value) for key, value in row.items()} for row in read(folder)]
                    if not rows:
                        raise UserError(f"{folder} holds no {name.rstrip('s')}: nothing to report")
                    self._db.register(name, pa.Table.from_pylist(rows))
            else:
                self._parquet("frames", folder / "frames")
                self._parquet("examinations", folder / EXAMINATIONS)
            self.unread = self._unread(folder)
            self._db.execute(_VISITS)
            self.know_contradictory = "contradictory" in self._columns("examinations")
            """False of results of an earlier version, which did not write it."""
            self.frames, *_ = self.one("select count(*) from frames")
        except (duckdb.Error, pa.ArrowException, ValueError, KeyError) as e:
            raise UserError(f"{folder} holds damaged results ({str(e)[:120]}): make them again") from None
        if not self.frames:
            raise UserError(f"{folder} holds no frame: nothing to report")

    def _parquet(self, name: str, folder: Path) -> None:
        if not any(folder.glob("*.parquet")):
            if name == EXAMINATIONS:
                raise UserError(f"{folder.parent} holds no examination: {NO_EXAMINATION}")
            raise UserError(f"{folder} holds no Parquet file: give the folder of fetal-jax archive or measure")
        self._db.read_parquet(f"{glob.escape(str(folder))}/*.parquet", union_by_name=True).create_view(name)

    def _unread(self, folder: Path) -> Counter[str]:
        """Count the reasons of files that could not be read."""
        if not any((folder / DEAD_LETTERS).glob("*.parquet")):
            return Counter()
        self._parquet("dead_letters", folder / DEAD_LETTERS)
        rows = self.all("select file, reason, count(*) from dead_letters where what = 'frame' group by all")
        return _kinds(rows)

    def _columns(self, table: str) -> set[str]:
        return {name for name, *_ in self.all(f"describe {table}")}

    def one(self, query: str, *values: Any) -> tuple[Any, ...]:
        """Run a query with one row; returns the row."""
        return self.all(query, *values)[0]

    def all(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a query; returns all rows."""
        return self._db.execute(query, values).fetchall()

    def records(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Run a query; returns all rows as dictionaries by column."""
        found = self._db.execute(query, values)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    # ------------------------------------------------------------------------------------------------- questions

    def size(self) -> dict[str, int]:
        """Count examinations, patients, machines, operators and months."""
        of_frames = ", ".join(  # an examination of two machines is no machine of its own
            f"(select count(distinct {column}) from frames where examination is not null)"
            for column in ("device", "operator", "month")
        )
        counts = self.one(f"select count(*), count(distinct person), {of_frames}, count(*) filter (dated) from visits")
        names = ("examinations", "patients", "devices", "operators", "months", "dated")
        return dict(zip(names, counts, strict=True))

    def shares(self, by: str | None = None) -> list[tuple[str, dict[str, int]]]:
        """Count frames by status, overall or by device or month; files that were not read name neither."""
        rows = self.all(
            f"select {by or 'null'}::varchar as part, status, count(*) from frames group by all order by part"
        )
        found: dict[str, dict[str, int]] = {}
        for part, status, count in rows:
            found.setdefault(part or ("all" if by is None else "not recorded"), {})[status] = count
        if self.unread:
            part = found.setdefault("all" if by is None else "not recorded", {})
            part["error"] = part.get("error", 0) + self.unread.total()
        return list(found.items())

    def visit_shares(self) -> dict[str, int]:
        """Count examinations by status."""
        return dict(self.all("select status, count(*) from visits group by status"))

    def contradictory(self) -> list[dict[str, Any]]:
        """The examinations whose frames, sizes or ages contradict each other; their note says which."""
        if not self.know_contradictory:
            return []
        return self.records("select * from visits where contradictory order by status, examination, fetus")

    def reasons(self, status: str) -> Counter[str]:
        """Count the reasons of frames with a status, without file names and numbers."""
        return _kinds(self.all("select file, reason, count(*) from frames where status = ? group by all", status))

    def z_scores(self, by: str, dated: bool) -> list[tuple[str, dict[str, ZScores]]]:
        """The z-scores of each measure by group. Sizes that stand by themselves count.

        Args:
          by: a key of `GROUPS`.
          dated: True for examinations whose age is known from another source than their sizes, False for the others.
        """
        values = ", ".join(
            f"count({z}), avg({z}), stddev_samp({z}), count(distinct person) filter ({z} is not null)"
            for z in (f"case when {plane}_status = 'measured' then {m}_z end" for m, plane in MEASURES.items())
        )
        rows = self.all(f"select {GROUPS[by]} as part, {values} from visits where dated = ? group by part", dated)
        ordered = sorted(rows, key=lambda r: (r[0] is None, r[0]))
        found = []
        for part, *numbers in ordered:
            of = {m: ZScores(*numbers[4 * i : 4 * i + 4]) for i, m in enumerate(MEASURES)}
            if any(z.n for z in of.values()):
                found.append((str(part if part is not None else "not recorded"), of))
        return found

    def z_cells(self) -> list[Cell]:
        """The z-scores of each measure, machine and month for `drift.find`, at ages that do not come from the sizes."""
        cells = []
        for m, plane in MEASURES.items():
            cells += self.cells(
                m,
                f"select person, device, month, {m}_z as value from visits where dated and {plane}_status = 'measured'",
            )
        return cells

    def cells(self, measure: str, query: str) -> list[Cell]:
        """Make cells from a query for person, device, month and value; a patient's values in a cell are averaged."""
        rows = self.all(
            f"with people as (select device, month, person, avg(value) as v from ({query}) where value is not null "
            "and device is not null and device <> 'several' and month is not null group by all) "
            "select device, month, count(*), sum(v), sum(v * v) from people group by all order by all"
        )
        return [Cell(measure, *row) for row in rows]

    def add_differences(self, rows: list[dict[str, Any]]) -> None:
        """Create the table `differences`: person, device, month, examination, fetus, measure, value in percent."""
        import pyarrow as pa

        self._db.register("differences", pa.Table.from_pylist(rows))

    def surprising(self, count: int, with_differences: bool) -> list[dict[str, Any]]:
        """The examinations with the most unusual sizes, highest `score` first, with the reason `why`.

        The score is the largest of the absolute z-scores of HC, AC and FL and, if there are scanner values, of their
        differences: the deviation from the median of a measure over 1.4826 times the median absolute deviation.
        """
        parts = [
            f"select examination, fetus, '{m}' as measure, abs({m}_z) as score, 'z' as why, {m}_z as value from visits "
            f"where {m}_z is not null"
            for m in MEASURES
        ]
        if with_differences:
            parts.append(
                "select examination, fetus, measure, abs(value - middle) / sd, 'scanner', value from differences "
                "join (select measure, median(value) as middle, 1.4826 * mad(value) as sd from differences "
                "group by measure) using (measure) where sd > 0 and examination <> ''"
            )
        query = (
            f"with parts as ({' union all '.join(parts)}), "
            "worst as (select examination, fetus, max(score) as score, arg_max(measure, score) as measure, "
            "arg_max(why, score) as why, arg_max(value, score) as value from parts group by examination, fetus) "
            "select v.*, w.score, w.measure, w.why, w.value from worst w join visits v "
            "on w.examination = v.examination and w.fetus::varchar is not distinct from v.fetus::varchar "
            "order by w.score desc, v.examination, v.fetus limit ?"
        )
        return self.records(query, count)

    def best_frame(self, visit: dict[str, Any]) -> dict[str, Any] | None:
        """The best frame of an examination's most unusual size."""
        plane = MEASURES[visit["measure"]]
        names = [n for n in (f"{plane}_best_file", f"{plane}_best_frame", f"{plane}_best") if n in visit]
        where = "file = ? and frame = ?" if len(names) == 2 else "overlay = ?"
        if visit[names[0]] is None:
            return None
        found = self.records(f"select * from frames where {where} limit 1", *(visit[n] for n in names))
        return found[0] if found else None

    def made_by(self) -> dict[str, list[str]]:
        """The bundles and versions in the rows."""
        have = self._columns("frames")
        return {
            name: [
                str(v) for (v,) in self.all(f"select distinct {name} from frames where {name} is not null order by 1")
            ]
            for name in ("bundle", "version", "versions")
            if name in have
        }


def _examinations(folder: Path) -> list[dict[str, Any]]:
    """The examinations of `measure`, with the columns of `archive` that the report needs."""
    try:
        records = json.loads((folder / EXAMINATIONS_JSON).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (folder / pacs.STATE).is_file():
            instead = "give the folder of fetal-jax archive or measure"
            raise UserError(
                f"{folder} was written by fetal-jax pacs, which writes no examinations: {instead}"
            ) from None
        raise UserError(f"{folder} holds no {EXAMINATIONS_JSON}: {NO_EXAMINATION}") from None
    rows = []
    for record in records:
        row = {k: record[k] for k in ("examination", "patient", "fetus", "status", "standard")}
        if "contradictory" in record:
            row["contradictory"] = record["contradictory"]
        row |= {
            "known_ga_weeks": (record["known_age"] or {}).get("weeks"),
            "ga_weeks": (record["age"] or {}).get("weeks"),
            "ga_formula": (record["age"] or {}).get("formula"),
            "notes": "; ".join(record["notes"]),
        }
        for measure, plane in MEASURES.items():
            structure = record["structures"][plane]
            row[f"{measure}_mm"] = record["sizes_mm"].get(measure)
            row[f"{measure}_z"] = (record["centiles"].get(measure) or {}).get("z")
            row[f"{plane}_status"], row[f"{plane}_best"] = structure["status"], (structure["best"] or {}).get("overlay")
        rows.append(row)
    return rows


def _kinds(rows: Iterable[tuple[str, str | None, int]]) -> Counter[str]:
    """Count reasons without the file's path, text in parentheses, numbers, and the remedy after the colon."""
    found: Counter[str] = Counter()
    for file, reason, count in rows:
        text = bare_reason({"file": file, "reason": reason}) or "no reason"
        for name in (file, *map(str, Path(file).parents), Path(file).name):
            text = text.replace(name, "") if "/" in name or "." in name[1:] else text  # a file may be called head
        text = acceptance.kind_of(re.sub(r"\S*/\S*", "", text).lstrip(" :"))
        found[" ".join(re.sub(r"\d[\d.,]*", "N", text).split())] += count
    return found
