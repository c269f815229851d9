"""Every example runs off screen, stays short, and ends in pictures."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("[0-9]*.py"))
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_is_short_and_says_what_is_new(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") < 80
    assert "New here:" in text


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_ends_in_a_picture(path: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(tmp_path)
    pictures = sorted(tmp_path.glob("*.png"))
    assert f"{path.stem}.png" in [p.name for p in pictures]
    for picture in pictures:
        data = picture.read_bytes()
        assert data.startswith(PNG)
        assert len(data) > 15_000, f"{picture.name} is nearly empty"
