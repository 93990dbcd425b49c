"""docs/robustness.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent


def test_every_test_that_the_page_names_exists():
    page = (TESTS.parent / "docs" / "robustness.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+)`", page)
    written = {
        name for path in TESTS.glob("test_*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    assert len(named) > 80
    assert sorted(set(named) - written) == []
