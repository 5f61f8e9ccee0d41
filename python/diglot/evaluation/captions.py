"""Captions: BLEU, ROUGE-L, CIDEr-D and METEOR, each with its interval."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from diglot.captions import tokenise
from diglot.errors import DiglotError, InputError
from diglot.evaluation.bleu import ORDERS, bleu_scores, bleu_statistics
from diglot.evaluation.bootstrap import Bootstrap, Scores
from diglot.evaluation.cider import CiderD
from diglot.evaluation.inputs import check_count
from diglot.evaluation.intervals import normal_quantile
from diglot.evaluation.meteor import meteor_available, meteor_score, meteor_statistics
from diglot.evaluation.rouge import rouge_l
from diglot.seeds import check_seed

_COLUMNS = ["metric", "estimate", "lower", "upper", "method", "n"]
_Tokens = list[str]


def evaluate_captions(
    candidates: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int | None = 0,
    meteor: bool | str = "auto",
    lowercase: bool = True,
) -> pd.DataFrame:
    """Evaluate captions against references; every metric comes with an interval.

    Parameters
    ----------
    candidates : sequence of n str
        One caption an image. An empty one is no error: it scores 0.
    references : sequence of n sequences of str
        Each image's references, at least one.
    level : float
        Confidence level of the intervals.
    resamples : int
        Number of bootstrap samples; 0 leaves the intervals missing.
    seed : int or None
        Seed of the bootstrap; None draws a fresh one.
    meteor : bool or "auto"
        METEOR is for English and needs Java and pycocoevalcap. "auto" computes it where they
        are, and leaves it out, with a warning, where its program fails.
    lowercase : bool
        Compare without regard to capital letters.

    Returns
    -------
    DataFrame
        One row for each metric, with the columns ``metric``; ``estimate``; ``lower`` and
        ``upper`` (ends of the interval); ``method`` (of the interval); ``n`` (images).

        The metrics are ``bleu_1`` to ``bleu_4``, ``rouge_l``, ``cider_d`` (from 0 to 10, the
        others to 1) and ``meteor``. Both sides are cut into words by
        `diglot.captions.tokenise`; on the same words all equal pycocoevalcap's. BLEU and
        METEOR are those of the whole collection, ROUGE-L and CIDEr-D means over images.

    Raises
    ------
    InputError
        Lengths differ, there is no image, an image lacks references, a reference has no words,
        or something is no text.
    MissingPackageError
        If ``meteor=True``, and what it needs is not there.

    Warns
    -----
    UserWarning
        If METEOR's program fails, with "auto".

    Notes
    -----
    The intervals are bootstrap intervals over images, bias corrected and accelerated (BCa): an
    image is drawn together with its references. CIDEr-D's document frequencies stay those of
    all the images, since they define the scale. One image gives no interval. Where all images
    score the same, as where all captions are perfect, there is nothing to resample, and the
    interval is that one point: it then says too little.

    References
    ----------
    B. Efron and R. J. Tibshirani (1993), An Introduction to the Bootstrap, chapter 14. For the
    metrics see `diglot.evaluation.bleu`, `rouge`, `cider` and `meteor`.

    Examples
    --------
    >>> table = evaluate_captions(
    ...     ["a red circle", "a square"],
    ...     [["a small red circle"], ["a blue square", "one square"]],
    ...     meteor=False,
    ... )
    >>> table[["metric", "estimate"]].round(3).iloc[[0, 4]].to_numpy().tolist()
    [['bleu_1', 0.819], ['rouge_l', 0.804]]
    """
    normal_quantile(level)
    resamples = check_count("resamples", resamples, 0)
    if meteor not in (True, False, "auto"):
        raise InputError(f'meteor is {meteor!r}; use True, False or "auto".')
    found, known = _tokens(candidates, references, lowercase)
    n = len(found)
    parts: list[tuple[list[str], np.ndarray, Scores]] = [
        ([f"bleu_{k + 1}" for k in range(ORDERS)], bleu_statistics(found, known), bleu_scores),
        (["rouge_l"], rouge_l(found, known)[:, None], lambda sums: sums / n),
        (["cider_d"], CiderD(known).score(range(n), found)[:, None], lambda sums: sums / n),
    ]
    counts = _meteor(found, known, meteor)
    if counts is not None:
        parts.append((["meteor"], counts, lambda sums: meteor_score(sums)[..., None]))

    draws = Bootstrap(n, resamples, check_seed(seed), purpose="bootstrap of captions")
    rows = []
    method = f"bootstrap BCa, {resamples} resamples of images"
    for names, statistics, scores in parts:
        estimates = scores(statistics.sum(axis=0))
        # Without one image means are still divided by n: a factor, which drops out of the interval.
        ends = draws.intervals(statistics, scores, level)
        rows += [
            (name, float(estimate), float(lower), float(upper), method, n)
            for name, estimate, (lower, upper) in zip(names, estimates, ends, strict=True)
        ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _tokens(
    candidates: Any, references: Any, lowercase: bool
) -> tuple[list[_Tokens], list[list[_Tokens]]]:
    given, known = _listed("candidates", candidates), _listed("references", references)
    if len(given) != len(known):
        raise InputError(
            f"There are {len(given)} candidates and references of {len(known)} images; give both "
            "for each image."
        )
    if not given:
        raise InputError("There is no caption to evaluate; give at least one image.")
    found = []
    for row, text in enumerate(given, start=1):
        if not isinstance(text, str):
            raise InputError(f'Candidate {row} must be text, not {text!r:.50}; "" is allowed.')
        found.append(tokenise(text, lowercase))
    return found, [_alternatives(texts, row, lowercase) for row, texts in enumerate(known, 1)]


def _alternatives(texts: Any, row: int, lowercase: bool) -> list[_Tokens]:
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise InputError(f"The references of row {row} must be a list of texts, not {texts!r:.50}.")
    texts = list(texts)
    if not texts:
        raise InputError(f"Row {row} has no references; give at least one, or drop the row.")
    alternatives = []
    for place, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise InputError(f"Reference {place} of row {row} must be text, not {text!r:.50}.")
        tokens = tokenise(text, lowercase)
        if not tokens:
            raise InputError(f"Reference {place} of row {row} has no words: {text!r:.50}; drop it.")
        alternatives.append(tokens)
    return alternatives


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{name} must have an entry for each image, not be {values!r:.50}.")
    return list(values)


def _meteor(
    found: list[_Tokens], known: list[list[_Tokens]], wanted: bool | str
) -> np.ndarray | None:
    if not wanted or (wanted == "auto" and not meteor_available()):
        return None
    try:
        return meteor_statistics(found, known)
    except DiglotError as error:
        if wanted != "auto":
            raise
        warnings.warn(f"METEOR is left out: {error}", UserWarning, stacklevel=3)
        return None
