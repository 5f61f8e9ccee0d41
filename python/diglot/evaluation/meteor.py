"""METEOR by its authors' own program, where Java and pycocoevalcap are installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from diglot.errors import DiglotError, MissingPackageError

_JAR = Path("meteor", "meteor-1.5.jar")
# The program's settings for English: parameters, and the weights of words that match as they are,
# by stem, as synonyms and as paraphrases (M. Denkowski and A. Lavie, 2014, table 3).
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_STAGES = np.array([1.0, 0.6, 0.8, 0.6])
_STATISTICS, _CHUNKS = 23, 20
# Its protocol parts lines by line ends and by three bars.
_PROTOCOL = re.compile(r"[|\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


def meteor_available() -> bool:
    """Say whether METEOR can be computed here: Java and pycocoevalcap's program are there.

    Examples
    --------
    >>> meteor_available() in (True, False)
    True
    """
    return shutil.which("java") is not None and _program() is not None


def meteor_statistics(
    candidates: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
    timeout: float | None = None,
) -> np.ndarray:
    """Let the program count what METEOR is made of, image by image.

    Parameters
    ----------
    candidates : sequence of n lists of str
        One caption an image, in English; it may be empty.
    references : sequence of n sequences of lists of str
        Each image's references, at least one.
    timeout : float or None
        The program is ended after so many seconds; None allows two minutes and a tenth of a
        second an image, many times what it usually takes.

    Returns
    -------
    array of float64, (n, 23)
        Counts that add up over images, in the program's order: lengths and numbers of function
        words of candidate and reference; for each kind of match its content words and function
        words in both; chunks, where 0 stands for a caption that is its reference word for word
        (as the program counts when it adds up); matched words in both.

    Raises
    ------
    MissingPackageError
        If Java or pycocoevalcap is not there.
    DiglotError
        If the program fails, or takes too long.
    """
    java, program = shutil.which("java"), _program()
    if java is None:
        raise MissingPackageError(
            "METEOR needs Java, which is missing; install a Java runtime (on Debian: "
            "apt install default-jre-headless)."
        )
    if program is None:
        raise MissingPackageError(
            "METEOR needs the Python package pycocoevalcap, which is missing; install it with "
            "`pip install 'pycocoevalcap>=1.2'`."
        )
    lines = [
        " ||| ".join(["SCORE", *map(_text, alternatives), _text(candidate)])
        for candidate, alternatives in zip(candidates, references, strict=True)
    ]
    limit = 120 + 0.1 * len(lines) if timeout is None else timeout
    command = [java, "-Dfile.encoding=UTF-8", "-Xmx2G", "-jar", str(program)]
    command += ["-", "-", "-stdio", "-l", "en", "-norm"]
    try:
        # `run` ends the program when the time is up, at an interrupt and at any error.
        done = subprocess.run(
            command,
            input="".join(f"{line}\n" for line in lines).encode(),
            capture_output=True,
            timeout=limit,
            cwd=program.parent,
        )
    except subprocess.TimeoutExpired:
        raise DiglotError(
            f"METEOR did not finish within {limit:.0f} s; try fewer images."
        ) from None
    except OSError as error:
        raise DiglotError(f"Java cannot be started ({error}); mend the installation.") from error
    answers = done.stdout.decode(errors="replace").splitlines()
    try:
        table = np.array([[float(number) for number in line.split()] for line in answers])
        table = table.reshape(len(lines), _STATISTICS)
    except ValueError:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-500:]
        raise DiglotError(
            f"METEOR's program failed (exit status {done.returncode}): {said or 'no message'}"
        ) from None
    content, function = np.split(_matches(table).sum(axis=1), 2, axis=1)
    same = (content + function == table[:, 0:2]).all(axis=1) & (table[:, _CHUNKS] == 1)
    table[same, _CHUNKS] = 0
    return table


def meteor_score(statistics: np.ndarray) -> np.ndarray:
    """Compute METEOR from sums of `meteor_statistics` over images.

    Parameters
    ----------
    statistics : array of float, (..., 23)
        Sums over the images of a collection, or over those of a bootstrap sample.

    Returns
    -------
    array of float64, (...,)
        From 0 to 1; equal to the program's own, and so to pycocoevalcap's.

    References
    ----------
    M. Denkowski and A. Lavie (2014), Meteor universal: language specific translation evaluation
    for any target language, ACL workshop on statistical machine translation.

    Examples
    --------
    One caption of two content words that equals its reference:

    >>> counts = np.zeros(23)
    >>> counts[[0, 1, 4, 5, 21, 22]] = 2
    >>> float(meteor_score(counts))
    1.0
    """
    s = np.asarray(statistics, dtype=float)
    lengths, function_words = s[..., 0:2], s[..., 2:4]
    weighted = np.einsum("...ij,i->...j", _matches(s), _STAGES)
    found = _DELTA * weighted[..., 0:2] + (1 - _DELTA) * weighted[..., 2:4]
    given = _DELTA * (lengths - function_words) + (1 - _DELTA) * function_words
    share = np.divide(found, given, out=np.zeros(found.shape), where=given > 0)
    precision, recall = share[..., 0], share[..., 1]
    mixed = (1 - _ALPHA) * recall + _ALPHA * precision
    mean = np.divide(precision * recall, mixed, out=np.zeros(mixed.shape), where=mixed > 0)
    chunks, matched = s[..., _CHUNKS], s[..., 21:23].mean(axis=-1)
    parts = np.divide(chunks, matched, out=np.zeros(chunks.shape), where=chunks > 0)
    return mean * (1 - _GAMMA * parts**_BETA)


def _matches(statistics: np.ndarray) -> np.ndarray:
    """Give the matches (..., 4 kinds, 4): content words in both, then function words in both."""
    return statistics[..., 4:20].reshape(*statistics.shape[:-1], len(_STAGES), 4)


def _program() -> Path | None:
    spec = find_spec("pycocoevalcap")  # does not import it
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((Path(f) / _JAR for f in folders if (Path(f) / _JAR).is_file()), None)


def _text(tokens: Sequence[str]) -> str:
    return " ".join(_PROTOCOL.sub(" ", token) for token in tokens)
