"""`fetal-jax view RESULTS|FRAMES...`"""

from __future__ import annotations

import argparse
import json
import logging
import os
import secrets
import socket
import threading
import webbrowser
from contextlib import ExitStack
from pathlib import Path

from fetal_jax.errors import NOT_CLINICAL, UserError

MAX_NAME = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="RESULTS|FRAMES",
        help="the --out folder of measure, or frames to measure",
    )
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port of the page; default: a free one")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; default: this machine only; others need the token",
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("--reader", type=_name, metavar="NAME", help="your name, recorded with each correction")
    role = parser.add_mutually_exclusive_group()
    role.add_argument("--blinded", action="store_true", help="hide the machine's values and those of other readers")
    role.add_argument(
        "--adjudicate", action="store_true", help="see all readers' answers, and choose one or draw your own"
    )


def _name(text: str) -> str:
    if not text.strip() or len(text) > MAX_NAME or not text.isprintable() or set(text) & set("\\="):
        raise argparse.ArgumentTypeError(f"a name has 1 to {MAX_NAME} printable characters, without \\ and =")
    return text.strip()


def run(args: argparse.Namespace, overrides: list[str]) -> None:
    """Serve the page until Ctrl-C."""
    try:
        import uvicorn

        from fetal_jax.view import readers, server
        from fetal_jax.view.security import LOG, LOOPBACK
        from fetal_jax.view.session import Session
    except ModuleNotFoundError as e:
        if (e.name or "").startswith("fetal_jax"):
            raise
        raise UserError(f"{e}: pip install '.[view]'") from None
    if not 0 <= args.port < 65536:
        raise UserError(f"--port={args.port}: give 0 to 65535")
    with ExitStack() as held:
        folder = _results_of(args.paths, held)
        role = "blinded" if args.blinded else "adjudicator" if args.adjudicate else "reader"
        session = Session.open(folder, args.reader or "", held, role)
        session.frames.warm()
        token = "" if args.host in LOOPBACK else secrets.token_urlsafe(24)
        listening = held.enter_context(_bound(args.host, args.port))
        host, port = listening.getsockname()[:2]
        named = f"[{host}]" if ":" in host else host
        # after the #: a browser does not send it, and no log contains it
        address = f"http://{named}:{port}/" + (f"#token={token}" if token else "")
        print(address, flush=True)
        for line in readers.so_far(session.store, session.reader, role):
            print(line, flush=True)
        if not session.store.writable:
            print("read-only: another server holds these results, or their folder cannot be written", flush=True)
        print(f"Ctrl-C ends it. {NOT_CLINICAL}", flush=True)
        LOG.addHandler(logging.StreamHandler())
        config = uvicorn.Config(
            server.app(session, token),
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
        if not args.no_browser:
            threading.Timer(0.5, webbrowser.open, (address,)).start()
        uvicorn.Server(config).run(sockets=[listening])


def _bound(host: str, port: int) -> socket.socket:
    """Open a listening socket, so that the address is known before the first line is printed."""
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=256
        )
    except OSError as e:
        raise UserError(f"{host}:{port} cannot be opened ({e.strerror or e}): give another --port or --host") from None


def _results_of(paths: list[Path], held: ExitStack) -> Path:
    """The results folder to show. Frames are first measured into a folder beside them, while the page is open."""
    from fetal_jax.view.measuring import Measuring

    missing = [path for path in paths if not path.exists()]
    if missing:
        raise UserError(f"{missing[0]} does not exist")
    for path in paths:
        if other := _other_command(path):
            frames = "retrieve the images" if other == "pacs" else "take the frames themselves"
            raise UserError(
                f"{path} holds results of fetal-jax {other}, without pictures: {frames}, and give their folder"
            )
    if any(map(_holds_results, paths)):
        if len(paths) > 1:
            raise UserError("give one results folder, or frames")
        return paths[0]
    first = Path(os.path.abspath(paths[0]))
    out = first.parent / f"{first.stem}-measured"
    asked = [os.path.abspath(path) for path in paths]
    if _holds_results(out) and _asked(out) not in (None, asked):
        raise UserError(f"{out} holds results of other frames: move it, or use fetal-jax measure --out=DIR")
    Measuring(paths, out).start(held)
    return out


def _other_command(folder: Path) -> str:
    """The command that wrote a folder whose frames the page cannot show; empty for any other folder."""
    from fetal_jax.archive.pacs import STATE
    from fetal_jax.reading.sources import is_archived

    return "archive" if is_archived(folder) else "pacs" if (folder / STATE).is_file() else ""


def _holds_results(folder: Path) -> bool:
    from fetal_jax.reading.sources import CALL
    from fetal_jax.results.resume_log import NAME as LOG
    from fetal_jax.view.results import JSON

    return any((folder / name).is_file() for name in (JSON, LOG, CALL))


def _asked(folder: Path) -> list[str] | None:
    """Paths of the call that made a results folder; None if they are not recorded."""
    from fetal_jax.reading.sources import CALL

    try:
        return list(json.loads((folder / CALL).read_text())["paths"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
