"""`fetal-jax pacs --url=DICOMWEB [--query=KEY=VALUE ...]`"""

from __future__ import annotations

import argparse
import math
import re
import shutil
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from fetal_jax.archive.pacs import STATE
from fetal_jax.cli import add_also
from fetal_jax.cli.measure import add_network, tell
from fetal_jax.errors import NOT_CLINICAL, UserError, amount, not_written
from fetal_jax.files import OwnFiles, lock
from fetal_jax.inference import Predictor
from fetal_jax.inference.identity import Identities, Key, Naming
from fetal_jax.outputs import formats
from fetal_jax.reading.sources import RESULTS
from fetal_jax.results.folder import call_of

if TYPE_CHECKING:
    from fetal_jax.archive.pacs.sweep import Sweep

ALSO = tuple(kind for kind in formats.DICOM_KINDS if kind != "sr")
_DATES = re.compile(r"\d{8}|\d{8}-|-\d{8}|\d{8}-\d{8}")
KEYS = "as StudyDate=20240101-20240131, StudyDescription=*obstet*, or any other attribute"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", required=True, metavar="DICOMWEB", help="its root, such as https://HOST/dicom-web")
    help_query = f"what to measure, {KEYS}; may be repeated. Modality=US unless given"
    parser.add_argument("--query", action="append", default=[], metavar="KEY=VALUE", help=help_query)
    add_network(parser)
    parser.add_argument("--spacing", choices=["ruler"], help="ruler: read the depth ruler where a header has none")
    add_also(parser, ALSO, "store")
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="PEM file of certificates to trust")
    parser.add_argument(
        "--connections",
        type=_connections,
        default=4,
        metavar="N",
        help="number of connections at the same time; default: 4",
    )
    parser.add_argument(
        "--rate", type=_rate, default=50.0, metavar="N", help="largest number of requests per second; default: 50"
    )
    parser.add_argument("--dry-run", action="store_true", help="list what would be measured; nothing is retrieved")
    help_out = "folder of the results, and of the record of what was done; default: pacs"
    parser.add_argument("--out", type=Path, default=Path("pacs"), metavar="DIR", help=help_out)


def _connections(text: str) -> int:
    if not (text.isdigit() and 1 <= int(text) <= 64):
        raise argparse.ArgumentTypeError("give a number from 1 to 64")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0.01 <= rate <= 10_000:
        raise argparse.ArgumentTypeError("give requests per second, such as 20")
    return rate


def run(args: argparse.Namespace, overrides: list[str]) -> int:
    """Sweep; returns 3 if an object failed or a file could not be read, 75 if the server cannot be reached, else 0."""
    kinds = ("sr", *args.also)
    formats.check(kinds)
    try:
        from fetal_jax.archive.pacs import dicomweb, origin
        from fetal_jax.archive.pacs import sweep as pacs
        from fetal_jax.archive.pacs.state import State
    except ModuleNotFoundError as e:
        raise UserError(f"sweeping a PACS needs {e.name}: pip install '.[pacs]'") from None
    credentials = origin.authorization()
    url = origin.checked_url(args.url, credentials is not None)
    if args.ca_file:
        origin.check_certificates(args.ca_file)
    query = _query(args.query)
    predictor = Predictor.from_bundle(args.bundle)
    predictor.check_plane(args.plane, "--plane")
    spacings, naming = pacs.spacings_of(args.spacing), Naming(plain=args.identifiers)
    call = call_of(predictor, spacings, args.plane, kinds, (), "", naming) | {"url": url}
    del call["paths"]

    http = origin.Http(url, credentials, args.ca_file, args.connections, args.rate, tqdm.write)
    with ExitStack() as held:
        fresh = args.dry_run and not (args.out / STATE).exists()  # a dry run writes nothing
        if not fresh:
            held.enter_context(lock(args.out, "wait for it to end, or give another --out"))
        own = None if fresh else OwnFiles(args.out)
        path = Path(":memory:") if own is None else own.claim(STATE)
        if own is not None and not path.exists():
            path.touch(mode=0o600)  # it names studies and images
        state = held.enter_context(closing(State(path, call)))
        sweep = pacs.Sweep(dicomweb.Client(http), state, tell)
        if args.dry_run or own is None:
            try:
                return _list(sweep, query, kinds)
            except origin.Unavailable as e:
                tell(f"{url} is away ({e}): call again later")
                return 75
        for name in (RESULTS, pacs.JSON):
            own.claim(name)  # a foreign file is refused before the work
        spool = own.claim(pacs.SPOOL)
        shutil.rmtree(spool, ignore_errors=True)  # left by a kill
        spool.mkdir()
        held.callback(shutil.rmtree, spool, ignore_errors=True)
        identities = Identities(Key(own.claim), naming)
        where = (spacings, args.plane, kinds, pacs.seed_of(call), identities, spool, args.connections)
        measuring = pacs.Measuring(sweep, predictor, *where)
        away = ""
        try:
            with closing(measuring.run(query)) as rows, tqdm(unit="frame") as bar:
                for row in rows:
                    if row["status"] == "error":
                        tell(f"error: {row['reason']}")
                    bar.update()
        except origin.Unavailable as e:
            away = str(e)
        except OSError as e:
            raise not_written(e, args.out, " and call again") from None
        pacs.write_results(state, own)
    print(f"{sweep.tally}; requests repeated: {http.repeated}. See {args.out / RESULTS}. {NOT_CLINICAL}")
    if away:
        tell(f"{url} is away ({away}): the same call later resumes")
        return 75
    return 3 if sweep.tally.failed or sweep.tally.statuses["error"] else 0


def _list(sweep: Sweep, query: dict[str, str], kinds: tuple[str, ...]) -> int:
    """Print what a sweep would do."""
    count = 0
    for instance in sweep.wanted(query):
        print(f"measure {instance}")
        count += 1
    again = len(sweep.state.unconfirmed())
    others = f"; left out: {dict(sweep.tally.left_out)}" if sweep.tally.left_out else ""
    print(
        f"{amount(count, 'instance')} to measure, each value stored as {', '.join(kinds)}; "
        f"{sweep.tally.before} measured earlier, {again} of them with reports not yet stored{others}. {NOT_CLINICAL}"
    )
    return 3 if sweep.tally.failed else 0


def _query(texts: list[str]) -> dict[str, str]:
    """Parse search keys.

    Raises:
      UserError: a text is not KEY=VALUE, a key is repeated, DICOM does not know a key (servers ignore it, so that the
        whole archive would match), or a date is not in DICOM's form (nothing would match).
    """
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    query = {"Modality": "US"}
    given: set[str] = set()
    for text in texts:
        key, _, value = text.partition("=")
        if not value:
            raise UserError(f"--query={text} is not KEY=VALUE: give it {KEYS}")
        tag = tag_for_keyword(key)
        if tag is None:
            raise UserError(f"--query={text}: DICOM has no attribute {key}: give it {KEYS}")
        if dictionary_VR(tag) == "DA" and not _DATES.fullmatch(value):
            raise UserError(f"--query={text}: a date is 20240131, a range 20240101-20240131, 20240101- or -20240131")
        if key in given:
            raise UserError(f"--query gives {key} twice")
        given.add(key)
        query[key] = value
    return query
