"""A few hundred of the damaged files of `bench/mutations.py`, in this process: read or refused, and soon."""

from __future__ import annotations

import importlib.util
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).parents[3] / "bench" / "mutations.py"
pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="no alarms on this system"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def mutations() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutations", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    sys.path.insert(0, str(PATH.parent))  # its files lie beside it
    spec.loader.exec_module(module)
    return module


def test_the_files_are_valid_before_the_damage(mutations: ModuleType, tmp_path: Path) -> None:
    for base in mutations.bases():
        (tmp_path / base.name).write_bytes(base.raw)
        mutations.read(base, tmp_path / base.name, mutations.random.Random(0))


def test_a_case_follows_from_seed_and_number(mutations: ModuleType) -> None:
    assert mutations.case(3, 14) == mutations.case(3, 14)
    assert mutations.case(3, 14)[1] != mutations.case(4, 14)[1]


def test_one_reader_can_have_all_cases(mutations: ModuleType) -> None:
    assert {mutations.case(0, number, "sqlite")[0].reader for number in range(3)} == {"sqlite"}


def test_damaged_files_are_read_or_refused(mutations: ModuleType, tmp_path: Path) -> None:
    done = [mutations.attempt(0, number, tmp_path) for number in range(304)]
    assert [case for case in done if case["outcome"] not in ("read", "refused")] == []
    assert {case["reader"] for case in done} == {base.reader for base in mutations.bases()}
    assert {case["outcome"] for case in done} == {"read", "refused"}
    assert list(tmp_path.iterdir()) == []
