"""Fixtures that more than one test file needs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of original data sets; tests that need it skip, saying so, where it is absent."""
    stated = os.environ.get("FAULTWISE_DATA")
    root = Path(stated) if stated else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"no original data: set FAULTWISE_DATA to their folder (looked in {root})")
    return root
