"""Options and seeds of the test suite."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("rtsim", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("rtsim")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden and print the largest change")
