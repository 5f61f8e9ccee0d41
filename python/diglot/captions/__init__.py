"""Captions as text: annotation files, words, vocabulary."""

from diglot.captions.files import read_captions
from diglot.captions.vocabulary import BEGIN, END, PAD, UNKNOWN, Vocabulary, tokenise

__all__ = ["BEGIN", "END", "PAD", "UNKNOWN", "Vocabulary", "read_captions", "tokenise"]
