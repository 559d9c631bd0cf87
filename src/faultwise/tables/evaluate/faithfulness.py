"""Do the cited findings carry the verdict? Cited variables are deleted, or kept alone, and the row is predicted again.

After DeYoung et al. (ERASER: a benchmark to evaluate rationalized NLP models, ACL 2020), with variables in place of
words. *Deletion* (their comprehensiveness): all features of the cited variables are replaced by those of a normal row,
one whole row at a time so that they agree with each other; how far does the probability of the verdict's label fall?
*Sufficiency*: everything else is replaced; how much of the probability stays? Both are measured for as many uncited
variables, too, drawn at random. Normal rows come from other runs of the same source, so that they took part neither
in the fit nor in the attribution.

This measures whether findings are faithful to the model, not whether the model is right about causes. Mixed rows may
be such as the plant never produces. The language model and the user's rules take no part, as in the attribution.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypedDict

import numpy as np
import pandas as pd

from faultwise.contracts.about import About
from faultwise.contracts.errors import DataError, UserError, listing
from faultwise.contracts.findings import Interval
from faultwise.contracts.progress import tracked
from faultwise.evidence.findings import variable_findings
from faultwise.tables.evaluate.protocol import seen_again
from faultwise.tables.fit.diagnosis import contributions_of
from faultwise.tables.fit.features.windows import Features
from faultwise.tables.fit.fitted import Fitted
from faultwise.tables.reading.table import Table
from faultwise.verdicts.drawing import draw_evenly

__all__ = ["Estimate", "Faithfulness", "Summary", "Trial", "cited_variables", "faithfulness", "summarised"]

REPLACEMENTS = 12  # normal rows that replace, the same for the cited and the uncited variables of a verdict
_MOST_CITED = 10  # a report has no more findings
# The denominator of the ratio is at least this, so that the ratio stays bounded.
_LEAST_FALL = 0.001
_DRAWS_OF_RUNS = 2000

Citing = Callable[[Fitted, pd.DataFrame, str], list[str]]


@dataclass(frozen=True, slots=True)
class Trial:
    """One right verdict and the changes of its probability; uncited figures are means over the draws.

    `fall_*` is the probability lost when the variables are deleted, `stays_*` what is left when they alone are kept.
    """

    row: int
    run: str
    label: str
    probability: float
    cited: tuple[str, ...]
    fall_cited: float
    fall_uncited: float
    stays_cited: float
    stays_uncited: float


class Estimate(TypedDict):
    """A mean with its 95% interval over runs; None with fewer than two runs."""

    mean: float
    low: float | None
    high: float | None


class Summary(TypedDict):
    """Figures over all cases; see `summarised`."""

    verdicts: int
    runs: int
    probability: float
    deletion: dict[str, Estimate]
    sufficiency: dict[str, Estimate]
    by_label: dict[str, dict[str, float]]


class Faithfulness(Summary):
    """The whole test; see `faithfulness`."""

    source: str
    config: dict[str, int]
    right_verdicts: int
    cases: list[dict[str, object]]
    notes: list[str]


def cited_variables(fitted: Fitted, row: pd.DataFrame, label: str) -> list[str]:
    """Return the variables that a report's findings are about, in its order, for one encoded row (1, features)."""
    # Cells, interval and names change how a finding is worded, and not which variable it is about.
    own = contributions_of(fitted, row, label)
    nowhere = Interval("", 1, 1)
    found = variable_findings(row, fitted.encoder.origin, fitted.band, own, {}, nowhere, About(), _MOST_CITED)
    return [finding.variable for finding in found]


def faithfulness(
    fitted: Fitted,
    table: Table,
    verdicts: int = 200,
    cited: int = 5,
    draws: int = 20,
    seed: int = 0,
    progress: bool = False,
    cite: Citing = cited_variables,
) -> Faithfulness:
    """Test the findings of at most `verdicts` right verdicts on a labelled table, drawn evenly over faults and runs.

    The first `cited` variables that `cite` names are compared with `draws` draws of as many others. Returns what
    `summarised` returns, and `source`, `config`, `right_verdicts`, `cases` (a dict per verdict, see `Trial`), `notes`.
    Windows do not cross an onset. Raises UserError for a run that gives no probability of a fault and for counts out
    of range, DataError for a table without right verdicts or without normal rows.
    """
    _check(fitted, verdicts, cited, draws)
    pieces, at = fitted.encoder.laid_out(table, table.y)
    made = fitted.encoder.transform(table.X, pieces, at=at)
    truth, runs = table.y[made.rows].astype(str), table.runs[made.rows]
    healthy, right, labels = _healthy_and_right(fitted, table, made, truth)
    chosen = right[draw_evenly(truth[right], runs[right], verdicts, seed)]
    rng = np.random.default_rng(seed)
    cases = []
    for at in tracked(chosen, desc="verdicts", disable=not progress):
        row, label = made.frame.iloc[[at]], str(labels[at])
        others = healthy[runs[healthy] != runs[at]]
        pool = others if len(others) else healthy
        base = made.frame.iloc[rng.choice(pool, min(REPLACEMENTS, len(pool)), replace=False)]
        names = cite(fitted, row, label)[:cited]
        before, falls, stays = _predicted_again(fitted, row, base, label, names, draws, rng)
        cases.append(
            Trial(
                int(table.row_numbers[made.rows[at]]), str(runs[at]), label, before, tuple(names),
                float(falls[0]), float(falls[1:].mean()), float(stays[0]), float(stays[1:].mean()),
            )
        )  # fmt: skip
    return {
        "source": table.source,
        "config": {"verdicts": verdicts, "cited": cited, "draws": draws, "replacements": REPLACEMENTS, "seed": seed},
        "right_verdicts": len(right),
        **summarised(cases, seed),
        "cases": [asdict(case) for case in cases],
        "notes": [*table.notes, *made.notes, *_notes(fitted, table, set(truth), cases)],
    }


def _healthy_and_right(
    fitted: Fitted, table: Table, made: Features, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions of normal rows and of right verdicts on faults, and all labels (rows,). Raises DataError."""
    ensemble, normal = fitted.ensemble, fitted.ensemble.detector.normal
    healthy = np.flatnonzero(truth == normal)
    if not len(healthy):
        raise DataError(
            f"`{table.source}` has no window of {fitted.encoder.words()} labelled `{normal}`: normal rows "
            "replace what is deleted, so add a normal run."
        )
    labels = ensemble.detector.decide(ensemble.classical(made.frame), ensemble.classes)
    right = np.flatnonzero((labels == truth) & (truth != normal))
    if not len(right):
        raise DataError(
            f"No verdict on `{table.source}` is right (labels there: {listing(sorted(set(truth)))}): see "
            "`faultwise evaluate`, or pass the column with the labels of the fit with --target."
        )
    return healthy, right, labels


def summarised(cases: list[Trial], seed: int = 0) -> Summary:
    """Return the figures over all cases: `verdicts`, `runs`, `probability`, `deletion`, `sufficiency`, `by_label`.

    `deletion` has the mean fall of the probability for `cited` and `uncited` variables and their `ratio`, `sufficiency`
    the share of the probability that stays. Each is a dict of `mean`, `low` and `high`: 95% by a bootstrap that draws
    whole runs anew; None with fewer than two runs.
    """
    frame = pd.DataFrame([asdict(case) for case in cases])
    ones, runs = np.ones(len(frame)), frame["run"].to_numpy()
    value = {name: frame[name].to_numpy(dtype=float) for name in frame if frame[name].dtype.kind == "f"}

    def over(a: np.ndarray, b: np.ndarray, least: float = 0.0) -> Estimate:
        return _ratio(a, b, runs, seed, least)

    by_label = frame.groupby("label")[list(value)].mean()
    counts = frame["label"].value_counts().to_dict()
    return {
        "verdicts": len(frame),
        "runs": int(frame["run"].nunique()),
        "probability": float(value["probability"].mean()),
        "deletion": {
            "cited": over(value["fall_cited"], ones),
            "uncited": over(value["fall_uncited"], ones),
            "ratio": over(value["fall_cited"], value["fall_uncited"], _LEAST_FALL),
        },
        "sufficiency": {
            "cited": over(value["stays_cited"], value["probability"]),
            "uncited": over(value["stays_uncited"], value["probability"]),
        },
        "by_label": {
            str(label): {"verdicts": int(counts[label]), **{str(k): float(v) for k, v in line.items()}}
            for label, line in sorted(by_label.to_dict("index").items(), key=lambda pair: _in_order(str(pair[0])))
        },
    }


def _predicted_again(
    fitted: Fitted,
    row: pd.DataFrame,
    base: pd.DataFrame,
    label: str,
    cited: list[str],
    draws: int,
    rng: np.random.Generator,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the label's probability, then its fall and what stays, each of shape (1 + draws,): cited ones first.

    Everything is predicted in one call, because a call of a forest costs more time than a row.
    """
    owner = np.array([variable for variable, _ in fitted.encoder.origin], dtype=object)
    rest = [name for name in dict.fromkeys(owner) if name not in cited]
    groups = [cited, *(rng.choice(rest, len(cited), replace=False).tolist() for _ in range(draws))]
    mine = np.array([[name in group for name in owner] for group in groups])[:, None, :]
    x, normal = row.to_numpy(), base.to_numpy()
    deleted, kept = np.where(mine, normal, x), np.where(mine, x, normal)
    made = np.concatenate([x, deleted.reshape(-1, len(owner)), kept.reshape(-1, len(owner))])
    column = int(np.searchsorted(fitted.ensemble.classes, label))
    p = fitted.ensemble.classical(pd.DataFrame(made, columns=row.columns))[:, column]
    without, alone = p[1:].reshape(2, len(groups), len(base)).mean(axis=2)
    return float(p[0]), p[0] - without, alone


def _ratio(a: np.ndarray, b: np.ndarray, runs: np.ndarray, seed: int, least: float) -> Estimate:
    """Return sum(a) / sum(b) with its interval over runs; the mean of b is held at `least` or more."""
    codes = pd.factorize(runs)[0]
    top, under, size = np.bincount(codes, a), np.bincount(codes, b), np.bincount(codes)

    def of(drawn: np.ndarray) -> np.ndarray:
        floor = least * size[drawn].sum(axis=-1)
        return np.asarray(top[drawn].sum(axis=-1) / np.maximum(under[drawn].sum(axis=-1), floor))

    mean = float(of(np.arange(len(size))))
    if len(size) < 2:
        return {"mean": mean, "low": None, "high": None}
    drawn = np.random.default_rng(seed).integers(0, len(size), (_DRAWS_OF_RUNS, len(size)))
    low, high = np.quantile(of(drawn), [0.025, 0.975])
    return {"mean": mean, "low": float(low), "high": float(high)}


def _in_order(label: str) -> tuple[int, str]:
    return (int(label) if label.isdecimal() else sys.maxsize, label)


def _check(fitted: Fitted, verdicts: int, cited: int, draws: int) -> None:
    for name, count in (("verdicts", verdicts), ("cited", cited), ("draws", draws)):
        if count < 1:
            raise UserError(f"--{name} is {count}: choose 1 or more.")
    if cited > _MOST_CITED:
        raise UserError(f"--cited is {cited}, and a report has {_MOST_CITED} findings: choose {_MOST_CITED} or fewer.")
    if fitted.monitored:
        raise UserError("A monitor of normal rows gives no probabilities: fit with fault labels.")
    if fitted.ensemble.language_only:
        raise UserError("This run has only the language model, too slow for attribution: fit other experts too.")
    if fitted.ensemble.detector.normal is None:
        raise UserError("No label of this run means normal, so no fault is detected: fit again with --normal LABEL.")
    variables = len({variable for variable, _ in fitted.encoder.origin})
    if variables < 2 * cited:
        raise UserError(
            f"--cited is {cited}, and this run uses {variables} variables: as many uncited ones are needed to compare "
            f"with, so choose {variables // 2} or fewer."
        )


def _notes(fitted: Fitted, table: Table, labels: set[str], cases: list[Trial]) -> list[str]:
    """Return notes on faults without a right verdict, and on rows that were in the fit."""
    made = seen_again(fitted, table)
    faults = labels - {str(fitted.ensemble.detector.normal)}
    without = sorted(faults - {case.label for case in cases}, key=_in_order)
    if without:
        made.append(f"No verdict of {listing(without)} was right, or drawn: their findings are not tested.")
    return made
