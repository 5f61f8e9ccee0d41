"""The words for drawings of shapes: what there is to say of an image, in five wordings.

The objects of an image come from top left to bottom right (by x + y), so that each is left of or
above the next. Every wording names size, colour and shape of every object, and for each further
object how it lies to another: the one beside it in that order. As the order is fixed, a wording
says the same of every image: a learner that masters any one of them finds its words among the
captions of each image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WORDINGS = 5

# In a wording a, b, c are the objects in order. For the pair ab: {ab} is how a lies to b and {ba}
# how b lies to a ("left of"), {to_ab} the same in more words ("to the left of"), and {ab_it} with
# the other one as a pronoun ("to its left").
_ONE = (
    "{a}",
    "there is {a}",
    "the picture shows {a}",
    "a picture of {a}",
    "{a} on a grey background",
)
_TWO = (
    "{a} {ab} {b}",
    "there is {a} {to_ab} {b}",
    "{b} {ba} {a}",
    "{b} with {a} {ab_it}",
    "the picture shows {b} {to_ba} {a}",
)
_THREE = (
    "{a} {ab} {b} which is {bc} {c}",
    "there is {b} {ba} {a} and {bc} {c}",
    "{b} with {a} {ab_it} and {c} {cb_it}",
    "the picture shows {c} {cb} {b} which is {ba} {a}",
    "{b} lies {to_ba} {a} and {to_bc} {c}",
)
TEMPLATES = {1: _ONE, 2: _TWO, 3: _THREE}

_SHORT = {"left": "left of", "right": "right of", "above": "above", "below": "below"}
_LONG = {**_SHORT, "left": "to the left of", "right": "to the right of"}
_PRONOUN = {
    "left": "to its left",
    "right": "to its right",
    "above": "above it",
    "below": "below it",
}
_INVERSE = {"left": "right", "above": "below"}


def write_captions(objects: Sequence[Mapping[str, Any]], wordings: Sequence[int]) -> list[str]:
    """Say what is in an image, once in each of the wordings.

    Parameters
    ----------
    objects : list of dict
        One to three records as `shapes` gives them, in its order.
    wordings : list of int
        From 0 to 4.

    Returns
    -------
    list of str

    Examples
    --------
    >>> circle = {"size": "small", "colour": "red", "shape": "circle", "x": 20, "y": 30}
    >>> square = {"size": "large", "colour": "blue", "shape": "square", "x": 45, "y": 28}
    >>> write_captions([circle, square], [0])
    ['a small red circle left of a large blue square']
    """
    words = {
        name: f"a {one['size']} {one['colour']} {one['shape']}"
        for name, one in zip("abc", objects, strict=False)
    }
    for i in range(len(objects) - 1):
        _relate(words, objects[i], objects[i + 1], "abc"[i], "abc"[i + 1])
    templates = TEMPLATES[len(objects)]
    return [templates[wording].format_map(words) for wording in wordings]


def _relate(
    words: dict[str, str], one: Mapping[str, Any], other: Mapping[str, Any], a: str, b: str
) -> None:
    """Add the words for a pair of neighbours in the order."""
    beside = abs(other["x"] - one["x"]) > abs(other["y"] - one["y"])
    forth = "left" if beside else "above"
    for pair, relation in ((a + b, forth), (b + a, _INVERSE[forth])):
        words[pair] = _SHORT[relation]
        words["to_" + pair] = _LONG[relation]
        words[pair + "_it"] = _PRONOUN[relation]
