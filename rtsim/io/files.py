"""Folders and files that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rtsim.errors import InputError, OutputExistsError


def refuse_existing(folder: Path, *, overwrite: bool) -> None:
    """Raise OutputExistsError when ``folder`` holds anything and ``overwrite`` is False, or is a file."""
    if folder.is_file():
        raise OutputExistsError(f"{folder} is a file; give a folder for the output")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise OutputExistsError(
            f"output folder {folder} holds a result already; choose another, or allow overwriting it (--overwrite, "
            "overwrite=True)"
        )


@contextmanager
def whole_folder(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside ``folder`` that takes its place when the block ends well.

    When the block raises (Ctrl-C too) the temporary folder is removed and what was there before is untouched.

    Raises:
        OutputExistsError: ``folder`` holds a result already and ``overwrite`` is False.
        InputError: it cannot be made.
    """
    refuse_existing(folder, overwrite=overwrite)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    except OSError as error:
        raise InputError(f"output folder {folder} cannot be made: {error.strerror}; choose another place") from error
    try:
        yield partial
        partial.chmod(0o755)  # mkdtemp makes it private; a result is as readable as any folder of the user's
        if folder.exists():
            retired = partial.with_name(partial.name + ".old")
            folder.rename(retired)
            partial.rename(folder)
            shutil.rmtree(retired)
        else:
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write bytes to a temporary name in the same folder, then rename."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
