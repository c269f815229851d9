"""Table: one table of a TOML file, read strictly. A getter that refuses names the file, the section and the key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from rtsim.errors import CaseFileError, unknown_name
from rtsim.typing import Vector3

_T = TypeVar("_T")


class Table:
    """A view of one TOML table; ``where`` names it in messages."""

    def __init__(self, raw: Mapping[str, Any], where: str) -> None:
        self.raw = raw
        self.where = where

    def __contains__(self, key: str) -> bool:
        return key in self.raw

    def allow(self, *keys: str) -> None:
        """Refuse any key that is not one of ``keys``."""
        for key in self.raw:
            if key not in keys:
                raise CaseFileError(f"{self.where}: {unknown_name('key', key, keys)}")

    def _get(self, key: str) -> Any:
        if key not in self.raw:
            raise CaseFileError(f"{self.where}: the key {key!r} is missing")
        return self.raw[key]

    def _wrong(self, key: str, wanted: str) -> CaseFileError:
        return CaseFileError(f"{self.where}: {key} is {self.raw[key]!r}; it must be {wanted}")

    def table(self, key: str) -> Table:
        """The table under ``key``."""
        value = self._get(key)
        if not isinstance(value, dict):
            raise self._wrong(key, f"a table [{key}]")
        return Table(value, f"{self.where} [{key}]")

    def tables(self, key: str) -> tuple[Table, ...]:
        """The list of tables under ``key``; none when it is absent."""
        value = self.raw.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
            raise self._wrong(key, f"a list of tables [[{key}]]")
        return tuple(Table(v, f"{self.where} [[{key}]] {i}") for i, v in enumerate(value, start=1))

    def text(self, key: str, default: str | None = None) -> str:
        """Text in quotes."""
        if default is not None and key not in self.raw:
            return default
        value = self._get(key)
        if not isinstance(value, str):
            raise self._wrong(key, "text in quotes")
        return value

    def optional_text(self, key: str) -> str | None:
        """Text, or None when the key is absent."""
        return self.text(key) if key in self.raw else None

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self._get(key)
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self._wrong(key, "a list of texts in quotes")
        return tuple(value)

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number."""
        if default is not None and key not in self.raw:
            return default
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self._wrong(key, "a finite number")
        return float(value)

    def optional_number(self, key: str) -> float | None:
        """A number, or None when the key is absent."""
        return self.number(key) if key in self.raw else None

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number."""
        if default is not None and key not in self.raw:
            return default
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, "a whole number")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self.raw.get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def numbers(self, key: str, count: int | None) -> tuple[float, ...]:
        """A list of numbers, ``count`` of them when given."""
        value = self._get(key)
        good = isinstance(value, list) and all(
            isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in value
        )
        if not good or (count is not None and len(value) != count):
            raise self._wrong(key, f"a list of {'' if count is None else f'{count} '}numbers")
        return tuple(float(v) for v in value)

    def vector(self, key: str, default: Vector3 | None = None) -> Vector3:
        """Three numbers (x, y, z)."""
        if default is not None and key not in self.raw:
            return default
        x, y, z = self.numbers(key, 3)
        return x, y, z

    def choice(self, key: str, known: Mapping[str, _T], default: _T | None = None) -> _T:
        """One of the known words."""
        if default is not None and key not in self.raw:
            return default
        value = self.text(key)
        if value not in known:
            raise CaseFileError(f"{self.where}: {unknown_name(key, value, known)}")
        return known[value]
