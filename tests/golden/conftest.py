"""The ``golden`` fixture, and what --update-golden says at the end of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.stored import Golden

_log: list[str] = []


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The table that is named like the test, without ``test_``."""
    path = Path(__file__).with_name(request.node.name.removeprefix("test_") + ".json")
    return Golden(path, update=bool(request.config.getoption("--update-golden")), log=_log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what an update changed."""
    if _log:
        terminalreporter.section("golden numbers rewritten")
        for line in _log:
            terminalreporter.write_line(line)
