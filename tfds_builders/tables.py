"""The folder of a data set, found by its table."""

from __future__ import annotations

from pathlib import Path

from fetal_jax.errors import UserError


def folder_with(table: str, manual_dir: Path, otherwise: str, inside: tuple[str, ...] = ()) -> Path:
    """Find the folder that holds a table: the given one, or one of the folders `inside` it.

    Raises:
      UserError: none of them has the table; names a near folder that does, or else says `otherwise`.
    """
    for folder in (manual_dir, *(manual_dir / name for name in inside)):
        if (folder / table).is_file():
            return folder
    near = next((p for p in (manual_dir.parent, *sorted(manual_dir.glob("*/"))) if (p / table).is_file()), None)
    remedy = f"give {near} with --manual-dir" if near else otherwise
    raise UserError(f"{manual_dir} holds no {table}: {remedy}")
