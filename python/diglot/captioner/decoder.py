"""``Decoder``: what a decoder is made of, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from diglot.errors import ModelFileError
from diglot.operators import Shape

CELLS = ("lstm", "gru")
MOST_LAYERS = 100
_GATES = {"lstm": 4, "gru": 3}


@dataclass(frozen=True)
class Decoder:
    """What a decoder is made of.

    Attributes
    ----------
    words : int
        Size of the vocabulary, special words included.
    cell : {"lstm", "gru"}
        Hochreiter and Schmidhuber (1997); Cho et al. (2014).
    hidden, layers : int
        Width of the states; recurrent layers.
    embedding : int
        Width of a word.
    heads : int
        Of the attention over the encoder's grid; 0 for none.
    tied : bool
        Whether a word has the same numbers going in and coming out.
    dropout : float
        Share of numbers dropped before each layer and before the words are scored.
    """

    words: int
    cell: str = "lstm"
    hidden: int = 256
    layers: int = 1
    embedding: int = 256
    heads: int = 4
    tied: bool = False
    dropout: float = 0.0

    @property
    def states(self) -> list[str]:
        """The names of the states: of each layer, and an LSTM's memories."""
        kinds = ("state", "memory") if self.cell == "lstm" else ("state",)
        return [f"{kind}{layer}" for layer in range(1, self.layers + 1) for kind in kinds]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Any) -> Decoder:
        """Read what `to_dict` returned, from a file that may be damaged."""
        try:
            made = cls(**fields)
            counts = [made.words, made.hidden, made.layers, made.embedding]
            sound = all(type(n) is int and 0 < n < 2**24 for n in counts) and made.cell in CELLS
            sound = sound and type(made.heads) is int and 0 <= made.heads <= made.hidden
            sound = sound and made.layers <= MOST_LAYERS
            sound = sound and made.hidden % (made.heads or 1) == 0
            sound = sound and isinstance(made.tied, bool) and 0 <= made.dropout < 1
        except TypeError as error:
            raise ModelFileError(f"the decoder's description is damaged: {error}") from error
        if not sound:
            raise ModelFileError(f"the decoder's description is damaged: {fields}")
        return made


def recurrent_parts(decoder: Decoder, layer: int, width: int) -> dict[str, Shape]:
    """Return the shapes of a recurrent layer's weights and biases, as the operator lines them up.

    Examples
    --------
    >>> recurrent_parts(Decoder(words=9, hidden=2), 1, 3)["rnn1_i2h_weight"]
    (8, 3)
    """
    gates = _GATES[decoder.cell] * decoder.hidden
    shapes = ((gates, width), (gates, decoder.hidden), (gates,), (gates,))
    parts = ("i2h_weight", "h2h_weight", "i2h_bias", "h2h_bias")
    return {f"rnn{layer}_{part}": shape for part, shape in zip(parts, shapes, strict=True)}
