"""An evaluation of a run on tables as figures for programs, and as a table and sentences for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from faultwise.contracts.diagnosis import Evaluation
from faultwise.tables.evaluate.horizon import horizon_sentences
from faultwise.tables.fit.fitted import Fitted
from faultwise.verdicts.metrics import leaderboard

__all__ = ["evaluation_of"]


def evaluation_of(fitted: Fitted, result: Mapping[str, Any]) -> Evaluation:
    """Return what `protocol.evaluate_table` found, ready to be printed."""
    sentences = []
    calibration, verdict = fitted.calibration, result["verdict"]
    if calibration is not None and "coverage" in verdict:
        sentences.append(
            f"Fault sets hold the true label in {verdict['coverage']:.1%} of rows "
            f"(promised: {calibration.promised:.1%}), "
            f"with {verdict['set_size']:.2f} labels on average; unknown {verdict['unknown']:.1%}, undecided "
            f"{verdict['abstained']:.1%}."
        )
    recalls = ", ".join(f"{label} {recall:.2f}" for label, recall in result["recall_by_class"]["verdict"].items())
    sentences.append(f"Recall by label (fused verdict): {recalls}")
    if "horizon" in result:
        sentences += horizon_sentences(result["horizon"])
    table = ("On unseen labelled rows", tuple(leaderboard(dict(result))))
    return Evaluation(result, (table,), tuple(sentences), tuple(result["notes"]))
