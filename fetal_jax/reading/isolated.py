"""Reading files ahead of the network in a separate process: a crash or hang of a decoder costs one file.

Decoders are C and C++ code, and any file on a disk may reach them. The reading process has a memory limit, and a time
limit for each frame. If it dies or stalls it is replaced, the file is reported, and the next one is read.
"""

from __future__ import annotations

import atexit
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from fetal_jax.errors import UserError
from fetal_jax.preprocess import to_grey
from fetal_jax.reading import archives, dicom
from fetal_jax.reading.frame import Failure, Frame
from fetal_jax.reading.images import read_pages
from fetal_jax.reading.sources import DICOM_SUFFIXES, Source, head_of, is_dicom, is_image, sha256
from fetal_jax.reading.spacing import PixelSize

__all__ = ["Failure", "Frame", "read", "read_ahead"]

SECONDS = 7.0
"""Time limit for one frame. Time spent waiting for a core is not counted: on a busy machine that is most of it. A frame
takes milliseconds; a mutated file can take for ever."""
BYTES_PER_SECOND = 10e6
"""Speed of the slowest disk or share that is allowed for: bytes that may have to be read extend the time limit."""
_OPENED = "opened"
"""Sent by the reading process between opening a source, which may mean listing a large archive, and decoding it."""
START_SECONDS = 60.0
"""Time limit for the start of the reading process, which takes half a second, and ten on a busy machine."""
MEMORY = 1200 * 2**20
"""Bytes that the reading process may take beyond what it starts with."""
ROOT = Path(__file__).resolve().parents[2]
_START = """
import sys
sys.path.insert(0, {root!r})
import fetal_jax
sys.path[:] = [*sys.path[1:], *filter(None, {paths!r})]
from fetal_jax.reading.isolated import serve
serve()
"""
"""This package first, then the standard library, last the caller's own paths: a `glob.py` in the current folder or
beside the caller's script must not take the place of Python's."""
AHEAD = 4
"""Number of frames that are read ahead while the network runs."""


def read(
    source: Source, with_ruler: bool = False, opened: Callable[[], None] = lambda: None
) -> Iterator[Frame | Failure]:
    """Yield the frames of one file; a failure is the last item.

    Args:
      source: the file.
      with_ruler: look for one where the header has no spacing.
      opened: called when the file is open, and the bytes of an archive's member are in memory.

    Raises:
      TypeError: `source` is not a `Source`.
    """
    _check(source)
    index = 0  # of the next frame: a failure must not share the row of the last one that was read
    try:
        file = source.open()
        opened()
        as_dicom = _is_read_as_dicom(source, head_of(file))
        content = None if as_dicom else sha256(file)
        read_pictures = dicom.read_frames if as_dicom else read_pages
        for index, page in enumerate(read_pictures(file, str(source)), start=1):
            pixels, size = to_grey(page.pixels), page.size
            if with_ruler:
                size = _with_ruler(pixels, size)
            yield Frame(source, index - 1, pixels, size, page.count > 1, page.warnings, page.study, content)
    except dicom.NoImage as e:
        yield Failure(source, index, str(e), damaged=False)
    except UserError as e:
        yield Failure(source, index, str(e))
    except MemoryError:
        yield Failure(source, index, f"{source} needs too much memory: export it again, or smaller")
    except OSError as e:
        yield Failure(source, index, f"{source} cannot be read ({e.strerror}): copy it again")
    except Exception as e:  # a mutated file; whatever it is, the next file is read
        yield Failure(source, index, f"{source} is damaged ({type(e).__name__}: {str(e)[:80]}): copy it again")


def _check(source: object) -> None:
    if not isinstance(source, Source):  # otherwise it would be reported as a damaged file
        raise TypeError(f"give Source(Path(...)), not {source!r}")


def _is_read_as_dicom(source: Source, head: bytes) -> bool:
    """Whether an opened file is read as DICOM, not as a picture; its first bytes say what it is, not its name."""
    if not head:
        raise UserError(f"{source} is empty: copy it again")
    return is_dicom(head) or (source.filename.lower().endswith(DICOM_SUFFIXES) and not is_image(head))


def _with_ruler(pixels: Any, size: PixelSize) -> PixelSize:
    if size.mm is not None or size.final:
        return size
    from fetal_jax.reading import depth_ruler  # SciPy, which nothing else here needs

    return depth_ruler.read(pixels, size)


# ------------------------------------------------------------------------------------------------ the process


def serve() -> None:
    """Main loop of the reading process, until its input ends: a source comes in, `_OPENED`, its frames, None go out.

    Before the first source comes whether to read depth rulers, with each source the caller's working folder.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's to act on
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where a decoder might print
    try:
        with_ruler = pickle.load(sys.stdin.buffer)
    except EOFError:  # started early, and not needed
        return
    if with_ruler:
        from fetal_jax.reading import depth_ruler  # noqa: F401  # imports SciPy before a file's time starts

    def answer(item: object) -> None:
        pickle.dump(item, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()

    _limit_memory()
    answer(None)  # ready
    with suppress(EOFError):
        while True:
            folder, source = pickle.load(sys.stdin.buffer)
            with suppress(OSError):  # if it cannot be entered, the file's row says what cannot be read
                os.chdir(folder)
            for item in read(source, with_ruler, lambda: answer(_OPENED)):
                answer(item)
            answer(None)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    with suppress(OSError, ValueError):
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


class _Child:
    """The reading process and its pipes. A process of `multiprocessing` would run the caller's script again."""

    def __init__(self) -> None:
        self._late = self._ready = False
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START.format(root=str(ROOT), paths=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # GDCM and libtiff write warnings there
        )

    def frames(self, source: Source, with_ruler: bool) -> Iterator[Frame | Failure]:
        """Frames of a source as they are read; `with_ruler` is that of the first call.

        Raises:
          TimeoutError: no answer within the time limit, which the message states.
          EOFError, OSError: the process died.
        """
        assert self._process.stdin
        if not self._ready:
            pickle.dump(with_ruler, self._process.stdin)
            self._process.stdin.flush()
            self._answer(START_SECONDS)
            self._ready = True
        pickle.dump((_working_folder(), source), self._process.stdin)
        self._process.stdin.flush()
        within, decoding = _seconds(source, opened=False), _seconds(source, opened=True)
        while (item := self._answer(within)) is not None:
            within = decoding
            if item != _OPENED:
                yield item

    def _answer(self, within: float) -> Any:
        assert self._process.stdout
        answered = threading.Event()
        threading.Thread(target=self._watch, args=(within, answered), daemon=True).start()
        try:
            return pickle.load(self._process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            raise TimeoutError(f"takes over {within:.0f} s to read") if self._late else EOFError from None
        finally:
            answered.set()

    def _watch(self, left: float, answered: threading.Event) -> None:
        """Kill the process after `left` seconds and those in which it had to wait for a core."""
        waited = _waited(self._process.pid)
        while not answered.wait(left):
            left = (now := _waited(self._process.pid)) - waited
            waited = now
            if left < 0.1:
                self._late = True
                self._process.kill()
                return

    def kill(self) -> None:
        self._process.kill()
        for line in (self._process.stdin, self._process.stdout):
            if line:
                with suppress(OSError):  # unsent bytes for a process that is gone
                    line.close()
        self._process.wait()


_early: list[_Child] = []


def start_early() -> None:
    """Start the process that the next `read_ahead` will read with, so that both start at the same time: 0.2 s less."""
    _early.append(child := _Child())
    atexit.register(child.kill)


def _working_folder() -> str:
    """The caller's folder, to which a source's path may be relative: it may have changed since the process started."""
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return ""


def _seconds(source: Source, opened: bool) -> float:
    """Time limit for an answer. An archive is read before its member is `opened`, a file while it is decoded."""
    try:
        if archives.is_archive(source.path.name):
            count = 0 if opened else archives.work(source.path)
        else:
            count = source.path.stat().st_size
    except OSError:  # the file is gone, which its row will report
        count = 0
    return SECONDS + count / BYTES_PER_SECOND


def _waited(pid: int) -> float:
    """Seconds that a process was ready to run but had no core; 0 where the system does not report it (not Linux)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def read_ahead(sources: Iterable[Source], with_ruler: bool = False) -> Generator[Frame | Failure | None, None, None]:
    """Yield the frames of each source in order, read ahead in a separate process; None after the last one of a source.

    Raises:
      TypeError: a source is not a `Source`.
    """
    read: queue.Queue[Any] = queue.Queue(AHEAD)
    stop, end = threading.Event(), object()

    def give(item: object) -> None:
        while not stop.is_set():
            with suppress(queue.Full):
                read.put(item, timeout=0.2)
                return

    def pump() -> None:
        child: _Child | None = None
        try:
            for source in sources:
                index = -1
                _check(source)
                child = child or (_early.pop() if _early else _Child())
                try:
                    for item in child.frames(source, with_ruler):
                        index = item.index
                        give(item)
                        if stop.is_set():
                            return
                except (TimeoutError, EOFError, OSError) as e:
                    child.kill()
                    child = None
                    late = isinstance(e, TimeoutError)
                    why = f"{e}: copy it to a faster disk, or export it" if late else "crashes its decoder: export it"
                    give(Failure(source, index + 1, f"{source} {why} again"))
                give(None)
                if stop.is_set():
                    return
            give(end)
        except BaseException as e:
            give(e)
        finally:
            if child:
                child.kill()

    thread = threading.Thread(target=pump, name="reading")
    thread.start()
    try:
        while (item := read.get()) is not end:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
