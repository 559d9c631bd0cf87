"""The threads of all libraries together: by --threads, by the environment, by the cores at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faultwise.contracts import threads
from faultwise.contracts.errors import UserError

_SHOW = """
import json, os, sys
from faultwise.cli.main import main
from faultwise.contracts.threads import set_threads
set_threads({given})
assert not {{"numpy", "torch", "sklearn"}} & set(sys.modules)
import joblib, torch
from threadpoolctl import threadpool_info
import sklearn.ensemble
pools = [one["num_threads"] for one in threadpool_info()]
print(json.dumps([torch.get_num_threads(), joblib.cpu_count(), max(pools), os.environ["OMP_WAIT_POLICY"]]))
"""


def _shown(given: object = None, **environment: str) -> list[object]:
    """Return the threads of torch, joblib and all pools in a new process, and how they wait."""
    clean = {name: value for name, value in os.environ.items() if name not in (*threads.NUMBERS, threads.OWN)}
    clean.pop("OMP_WAIT_POLICY", None)
    command = [sys.executable, "-c", _SHOW.format(given=given)]
    ran = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, check=True)
    made: list[object] = json.loads(ran.stdout)
    return made


def test_one_number_for_all_libraries() -> None:
    assert _shown(1) == [1, 1, 1, "PASSIVE"]
    assert _shown(None, FAULTWISE_THREADS="1", OMP_WAIT_POLICY="ACTIVE") == [1, 1, 1, "ACTIVE"]


_WORK = """
import time
from faultwise.contracts.threads import set_threads
set_threads(2)
import torch
layer, x = torch.nn.Conv2d(16, 16, 3, padding=1).requires_grad_(False), torch.ones(1, 16, 48, 48)
layer(x)
begun = time.process_time()
for _ in range(60):
    x = layer(x).tanh()
print(time.process_time() - begun)
"""


def test_threads_that_wait_leave_the_processors_to_other_processes() -> None:
    """Two threads beside as many busy processes as there are cores: a fit of 40 images took five times as long."""
    clean = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", *threads.NUMBERS)}
    command = [sys.executable, "-c", _WORK]
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(threads.cores())]
    try:
        asleep, spinning = (
            float(subprocess.run(command, env={**clean, **more}, capture_output=True, check=True).stdout)
            for more in ({}, {"OMP_WAIT_POLICY": "ACTIVE"})
        )
    finally:
        for one in busy:
            one.kill()
            one.wait()
    assert asleep < spinning / 2, (asleep, spinning)


def test_libraries_that_are_loaded_get_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy  # noqa: F401
    import torch
    from threadpoolctl import threadpool_info, threadpool_limits

    before, pools = torch.get_num_threads(), threadpool_limits()
    monkeypatch.setattr(os, "environ", {})
    try:
        assert threads.set_threads(2) == 2
        assert torch.get_num_threads() == 2
        assert {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"} == {2}
        assert os.environ["LOKY_MAX_CPU_COUNT"] == "2"
    finally:
        pools.restore_original_limits()
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "nonsense\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({}, 8),
    ],
)
def test_the_quota_of_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    quota = threads._quota
    monkeypatch.setattr(threads, "_quota", lambda _: quota(tmp_path))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert threads.cores() == expected
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert threads.set_threads() == expected
    assert os.environ.get("OMP_NUM_THREADS") == (None if expected == 8 else str(expected))


def test_wrong_numbers(cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in (("fit", "x", "--out", tmp_path / "r"), ("diagnose", "r", "x"), ("evaluate", "r", "x"), ("demo",)):
        ran = cli(*command, "--threads", "0")
        assert (ran.code, "(--threads) is 0: choose 1 or more" in ran.err) == (2, True)
    monkeypatch.setattr(os, "environ", {threads.OWN: "many"})
    with pytest.raises(UserError, match="FAULTWISE_THREADS is `many`: expected a whole number"):
        threads.set_threads()
