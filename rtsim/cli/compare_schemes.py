"""Which schemes are compared: words of the command line to dose, fractions and the protocol that holds them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from rtsim.errors import InputError, nearest
from rtsim.evaluate.comparison import Scheme
from rtsim.protocol import load_protocol, names

GROUPS: Final = {"conventional": ("8x1", "20/5", "30/10"), "stereotactic": ("24/2", "24x1")}
"""Words that stand for several schemes."""
DEFAULT_SCHEMES: Final = "conventional,stereotactic"

_PER_FRACTION: Final = re.compile(r"(\d+(?:\.\d+)?)x(\d+)")
_TOTAL: Final = re.compile(r"(\d+(?:\.\d+)?)/(\d+)")


def schemes_of(text: str) -> tuple[Scheme, ...]:
    """The schemes that ``text`` names, each once, in its order.

    Words, separated by commas: a group of ``GROUPS``; total dose and fractions ("30/10"); dose of a fraction and
    fractions ("24x1", "3x10"); or protocol and total dose ("spine_sbrt_5fx:30"), where several protocols hold a scheme.

    Raises:
        InputError: none are named, or one that no bundled protocol holds; the nearest and all others are named.
    """
    words = [w.strip().lower() for w in text.split(",") if w.strip()]
    if not words:
        raise InputError(f"--with names no scheme; {_offered()}")
    held = bundled_schemes()
    found = [_scheme(one, held) for word in words for one in GROUPS.get(word, (word,))]
    return tuple(dict.fromkeys(found))


def bundled_schemes() -> tuple[Scheme, ...]:
    """Every scheme that a bundled protocol holds, by technique and number of fractions."""
    return tuple(
        Scheme(dose_gy=level.dose_gy, fractions=level.fractions, technique=p.technique, protocol=p.name)
        for p in map(load_protocol, names())
        for level in p.dose_levels
    )


def _scheme(word: str, held: tuple[Scheme, ...]) -> Scheme:
    protocol, colon, dose = word.partition(":")
    if colon:
        return _by_protocol(word, protocol, dose, held)
    dose_gy, fractions = _dose_and_fractions(word)
    same = [s for s in held if s.fractions == fractions and abs(s.dose_gy - dose_gy) < 1e-6]
    if not same:
        near = min(held, key=lambda s: (abs(s.fractions - fractions), abs(s.dose_gy - dose_gy)))
        raise InputError(
            f"no bundled protocol holds {dose_gy:g} Gy in {fractions} (of --with {word!r}); nearest is {near.label} "
            f"({near.protocol}). {_offered(held)}"
        )
    if len(same) > 1:
        choices = " or ".join(f"{s.protocol}:{s.dose_gy:g}" for s in same)
        raise InputError(f"several protocols hold {word}; say which: {choices}")
    return same[0]


def _by_protocol(word: str, protocol: str, dose: str, held: tuple[Scheme, ...]) -> Scheme:
    levels = [s for s in held if s.protocol == protocol]
    if not levels:
        known = tuple(dict.fromkeys(s.protocol for s in held))
        near = nearest(protocol, known)
        hint = f"did you mean {near!r}? " if near else ""
        raise InputError(f"--with {word!r}: no bundled protocol {protocol!r}; {hint}known are: {', '.join(known)}")
    found = [s for s in levels if dose and dose == f"{s.dose_gy:g}"]
    if not found:
        listed = ", ".join(f"{s.protocol}:{s.dose_gy:g}" for s in levels)
        raise InputError(f"--with {word!r}: dose {dose!r} is no level of {protocol}; it holds {listed}")
    return found[0]


def _dose_and_fractions(word: str) -> tuple[float, int]:
    if (total := _TOTAL.fullmatch(word)) is not None:
        dose_gy, fractions = float(total[1]), int(total[2])
    elif (each := _PER_FRACTION.fullmatch(word)) is not None:
        fractions = int(each[2])
        dose_gy = float(each[1]) * fractions
    else:
        near = nearest(word, (*GROUPS, *(one for group in GROUPS.values() for one in group)))
        hint = f"did you mean {near!r}? " if near else ""
        raise InputError(
            f"--with {word!r} is no scheme; {hint}write total/fractions (30/10), dose of a fraction x fractions "
            f"(24x1), a protocol with its dose (spine_sbrt_5fx:30), or {' or '.join(GROUPS)}. {_offered()}"
        )
    if fractions < 1 or dose_gy <= 0:
        raise InputError(f"--with {word!r}: a scheme has at least 1 fraction and more than 0 Gy")
    return dose_gy, fractions


def _offered(held: Iterable[Scheme] | None = None) -> str:
    labels = dict.fromkeys(s.label for s in (bundled_schemes() if held is None else held))
    return f"Offered are {', '.join(labels)}"
