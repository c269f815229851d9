"""How long the independent runs of a check are: by an uncertainty, or by a number of histories."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rtsim.cli.check import independent_runs
from rtsim.cli.choices import CHECK_RUNS
from rtsim.cli.request import CheckRequest, Request
from rtsim.optimize import Planned


def engines_made(monkeypatch: pytest.MonkeyPatch, wanted: CheckRequest) -> list[dict[str, Any]]:
    """What each run of the check would tell its engine; nothing is simulated."""
    made: list[dict[str, Any]] = []
    monkeypatch.setattr("rtsim.cli.check.engine_named", lambda _: lambda **told: made.append(told))
    monkeypatch.setattr("rtsim.cli.check.forward", lambda *_, **__: SimpleNamespace(statistics=None))
    request, planned = SimpleNamespace(spacing_mm=2.0, seed=3), SimpleNamespace(phantom=None, plan=None)
    independent_runs(cast(Request, request), wanted, cast(Planned, planned), lambda done, what: None)
    return made


def test_the_mean_of_all_runs_has_the_uncertainty(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engines_made(monkeypatch, CheckRequest(engine="monte_carlo", uncertainty_percent=1.5))
    assert len(made) == len({told["seed"] for told in made}) == CHECK_RUNS
    assert all(told["uncertainty_percent"] == pytest.approx(1.5 * math.sqrt(CHECK_RUNS)) for told in made)
    assert all("histories" not in told for told in made)


def test_histories_are_those_of_all_runs_together(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = CheckRequest(engine="monte_carlo", uncertainty_percent=1.5, histories=CHECK_RUNS * 1000 + 1)
    made = engines_made(monkeypatch, wanted)
    assert [told["histories"] for told in made] == [1001] * CHECK_RUNS
    assert all("uncertainty_percent" not in told for told in made), "the engine takes one of them"
