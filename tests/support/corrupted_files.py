"""A folder of files that are not what they should be, from one seed."""

from __future__ import annotations

import csv
import io
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.datadict import keyword_dict

from tests.support.dicom_files import GDCM_SYNTAXES, region, save, ultrasound
from tfds_builders.fetal_phantom.phantom import draw

Rng = np.random.Generator
GEOMETRY_TAGS = (
    *("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel"),
    *("PlanarConfiguration", "PixelRepresentation", "WindowWidth", "WindowCenter", "RescaleSlope"),
)
TEXTS = ("", "abc", "-1", "1e400", "nan", "9" * 40, "\\".join("123"), "\0\xff")
PHOTOMETRIC = ("RGB", "YBR_FULL", "YBR_FULL_422", "PALETTE COLOR", "MONOCHROME1", "YBR_RCT", "CMYK", "")


def seeds(frame: np.ndarray, folder: Path) -> dict[str, bytes]:
    """One whole file of each kind."""
    small = np.ascontiguousarray(frame[::3, ::3])
    found = {}
    for name in ("PNG", "JPEG", "TIFF", "BMP"):
        data = io.BytesIO()
        Image.fromarray(small).save(data, name)
        found[f".{name.lower()}"] = data.getvalue()
    for syntax in (None, *GDCM_SYNTAXES):
        path = save(ultrasound(small, [region()]), folder / "seed.dcm", syntax)
        found[f"_{syntax}.dcm"] = path.read_bytes()
        path.unlink()
    cine = save(ultrasound(np.stack([small] * 3), [region()]), folder / "seed.dcm", "jpeg_2000_lossless")
    found["_cine.dcm"] = cine.read_bytes()
    cine.unlink()
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", found[".png"])
        archive.writestr("b.dcm", found["_None.dcm"])
    found[".zip"] = data.getvalue()
    return found


def flipped(data: bytes, rng: Rng) -> bytes:
    spoilt = np.frombuffer(data, np.uint8).copy()
    region_end = len(spoilt) if rng.random() < 0.5 else min(len(spoilt), 2000)  # headers are a small part of a file
    at = rng.integers(0, region_end, rng.integers(1, 40))
    spoilt[at] ^= (1 << rng.integers(0, 8, len(at))).astype(np.uint8)
    return spoilt.tobytes()


def truncated(data: bytes, rng: Rng) -> bytes:
    return data[: rng.integers(0, len(data))]


def grown(data: bytes, rng: Rng) -> bytes:
    at = rng.integers(0, len(data))
    return data[:at] + rng.bytes(int(rng.integers(1, 3000))) + data[at:]


def huge_png(_: bytes, rng: Rng) -> bytes:
    width, height = rng.choice([30_000, 2**31 - 1, 100_000], 2)
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (head, b"IDAT" + zlib.compress(bytes(10_000)), b"IEND")
    chunks = (struct.pack(">I", len(p) - 4) + p + struct.pack(">I", zlib.crc32(p)) for p in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def bomb(_: bytes, rng: Rng) -> bytes:
    data = io.BytesIO()
    head = (b"\x89PNG\r\n\x1a\n", b"BM", b"", bytes(128) + b"DICM")[rng.integers(4)]
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("bomb.png", "w") as f:
        f.write(head)
        for _ in range(60):
            f.write(bytes(10_000_000))
    return data.getvalue()


def traversal(data: bytes, rng: Rng) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("../../../escaped.png", "/tmp/escaped.png", "a\\..\\escaped.png", "x/" * 60 + "deep.png"):
            archive.writestr(name, data)
    return out.getvalue()


def random_tags(data: bytes, rng: Rng) -> bytes:
    if data[128:132] != b"DICM":
        return flipped(data, rng)
    ds = dcmread(io.BytesIO(data))
    for name in rng.choice(GEOMETRY_TAGS, rng.integers(1, 4), replace=False):
        _set(ds, str(name), int(rng.choice([0, 1, 2, 3, 7, 8, 16, 64, 255, 30_000, 65_535])))
    if rng.random() < 0.3:
        _set(ds, "PhotometricInterpretation", str(rng.choice(PHOTOMETRIC)))
    if rng.random() < 0.3:
        item = ds.SequenceOfUltrasoundRegions[0]
        name = str(rng.choice(["PhysicalDeltaX", "PhysicalUnitsXDirection", "RegionDataType", "RegionLocationMaxX1"]))
        _set(item, name, rng.choice([0, -1, 3, 4, 70_000]).item())
    for name in rng.choice(list(keyword_dict), 5):
        _set(ds, str(name), str(rng.choice(TEXTS)))
    out = io.BytesIO()
    try:
        ds.save_as(out)
    except Exception:  # not every value can be written
        return flipped(data, rng)
    return out.getvalue()


def _set(ds, name: str, value: object) -> None:
    try:
        setattr(ds, name, value)
    except Exception:
        return


MUTATIONS: list[tuple[float, Callable[[bytes, Rng], bytes]]] = [
    (0.45, flipped),
    (0.15, truncated),
    (0.08, grown),
    (0.24, random_tags),
    (0.04, huge_png),
    (0.03, traversal),
    (0.01, bomb),
]


def write(folder: Path, count: int, frame: np.ndarray, seed: int = 0) -> None:
    """`count` mutated files, links and pipes among them, of mixed names."""
    import warnings

    rng = np.random.default_rng(seed)
    whole = seeds(frame, folder)
    shares, mutations = zip(*MUTATIONS, strict=True)
    for i in range(count):
        suffix = str(rng.choice(list(whole)))
        mutate = mutations[rng.choice(len(mutations), p=shares)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, of the values
            data = mutate(whole[suffix], rng)
        name = ".zip" if mutate in (bomb, traversal) else suffix
        if rng.random() < 0.1 and name != ".zip":  # the wrong extension
            name = str(rng.choice([".png", ".dcm", ".tif", ".zip", ".bmp", ".jpg"]))
        (folder / f"m{i:05d}{name}").write_bytes(data)
    (folder / "n_link.png").symlink_to("/dev/zero")
    (folder / "n_loop.png").symlink_to(folder / "n_loop.png")
    (folder / "n_folder").symlink_to(folder)
    (folder / "n_gone.dcm").symlink_to(folder / "nowhere")


GOOD = 10


def measure_corrupted(tmp_path: Path, count: int) -> dict[str, float]:
    """Measure `count` mutated files and ten good ones, and check what is promised."""
    folder, out = tmp_path / "study" / "deep", tmp_path / "out"
    folder.mkdir(parents=True)
    head = draw("head", 1)
    write(folder, count, head.image)
    for i in range(GOOD):  # spread among the bad ones
        Image.fromarray(head.image).save(folder / f"m{i * count // GOOD:05d}_good.png")
    before = set(tmp_path.rglob("*escaped*"))
    peak, gap, done = watched(
        [
            *(sys.executable, "-m", "fetal_jax.cli.main", "measure", folder, "--plane=head"),
            *(f"--spacing-mm={head.spacing_mm}", "--also=sr,fhir", f"--out={out}"),
        ],
        out / "measurements.csv",
    )
    assert done.returncode == 3, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    with (out / "measurements.csv").open(newline="") as f:
        rows = list(csv.DictReader(f))
    good = [r for r in rows if r["file"].endswith("_good.png")]
    assert len(good) == GOOD
    assert {r["hc_mm"] for r in good} == {good[0]["hc_mm"]}
    assert all(r["status"] == "measured" for r in good)
    assert all(r["reason"] for r in rows if r["status"] != "measured")
    assert all(out in path.parents for path in set(tmp_path.rglob("*escaped*")) - before)
    assert not Path("/tmp/escaped.png").exists()
    assert len(rows) >= count
    assert peak < 2e9
    return {"rows": len(rows), "errors": sum(r["status"] == "error" for r in rows), "gap_s": gap, "peak_gb": peak / 1e9}


def watched(command: list[object], table: Path) -> tuple[int, float, subprocess.CompletedProcess[str]]:
    """(most bytes that the process and its children held, longest time without a new row in s, the process)."""
    folder = table.parent.parent
    with (folder / "stdout.txt").open("w") as stdout, (folder / "stderr.txt").open("w") as stderr:
        process = subprocess.Popen(list(map(str, command)), stdout=stdout, stderr=stderr)
        peak, gap, size, since = 0, 0.0, -1, time.monotonic()
        while process.poll() is None:
            peak = max(peak, sum(map(resident, family(process.pid))))
            now = table.stat().st_size if table.exists() else -1
            if now != size:
                size, since = now, time.monotonic()
            gap = max(gap, time.monotonic() - since)
            time.sleep(0.05)
    texts = [(folder / name).read_text() for name in ("stdout.txt", "stderr.txt")]
    return peak, gap, subprocess.CompletedProcess(command, process.returncode, *texts)


def family(pid: int) -> set[int]:
    """A process and its children, whichever of its threads started them."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return {pid} | {int(c) for t in threads for c in (t / "children").read_text().split()}
    except OSError:
        return {pid}


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except (OSError, IndexError):
        return 0
