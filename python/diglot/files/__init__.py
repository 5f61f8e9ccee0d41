"""The door for files that a user names: how they are read, and how they are written."""

from __future__ import annotations

from diglot.files.json_text import parse_json, refuse_crowded
from diglot.files.reading import (
    LARGEST,
    ROOM,
    decoded,
    file_sha256,
    opened,
    path_of,
    read_bytes,
    read_text,
    read_view,
    told,
)
from diglot.files.writing import remove_unfinished, write_bytes

__all__ = [
    "LARGEST",
    "ROOM",
    "decoded",
    "file_sha256",
    "opened",
    "parse_json",
    "path_of",
    "read_bytes",
    "read_text",
    "read_view",
    "refuse_crowded",
    "remove_unfinished",
    "told",
    "write_bytes",
]
