"""The numbers that ship with rtsim.materials: one reader for its commented CSV files."""

from __future__ import annotations

import csv
from importlib.resources import files


def read_rows(file_name: str) -> list[dict[str, str]]:
    """Rows of ``rtsim/materials/data/<file_name>`` by column name; lines that begin with ``#`` name the source."""
    text = files("rtsim.materials").joinpath("data", file_name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
