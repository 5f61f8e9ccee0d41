"""Damage to files: of bytes, and of what the bytes mean, so that it gets past the first checks."""

from __future__ import annotations

import contextlib
import copy
import json
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from diglot import storage

Damage = Callable[[bytes, np.random.Generator], bytes]

NUMBERS = [0, 1, 2, -1, 3, 7, 64, 255, 2**15, 2**16, 2**31 - 1, 2**31, -(2**31), 2**32, 2**53]
NUMBERS += [2**63 - 1, 2**63, 2**64, 10**30, -(10**30), 0.5, -0.0, 1e-300, 1e300, True, False]
TEXTS = ["", "0", "-1", "None", "nan", "inf", "1e999", "data", "../../escape", "/etc/passwd", "\0"]
TEXTS += ["(", "(1,)", "(0, 0)", "(-1, -1)", "(2147483648, 1)", "(1, 1, 1, 1, 1, 1, 1)", "9" * 5000]
TEXTS += ["__import__('os').system('false')", "\ud800", "a" * 70_000, "True", "float16", "[]", "²"]


def pick(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def damage_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits, overwrite, cut off, cut out, double, insert: once to three times."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        size = max(len(changed), 1)
        # Heads and tables stand in front, where damage does the most.
        at = int(rng.integers(size) if rng.random() < 0.4 else rng.integers(min(size, 400)))
        kind = rng.integers(7)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1 and at < len(changed):
            changed[at] = pick(rng, [0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))])
        elif kind == 2:
            form, value = pick(
                rng, [("<I", 2**32 - 1), ("<Q", 2**63 - 1), ("<Q", 2**40), ("<I", 0)]
            )
            changed[at : at + struct.calcsize(form)] = struct.pack(form, value)
        elif kind == 3:
            del changed[at:]
        elif kind == 4:
            del changed[at : at + int(rng.integers(1, 60))]
        elif kind == 5:
            piece = changed[at : at + int(rng.integers(1, 200))]
            changed[at:at] = piece * int(rng.integers(1, 4))
        else:
            changed[at:at] = rng.bytes(int(rng.integers(1, 20)))
    return bytes(changed)


def times(rng: np.random.Generator, size: int) -> int:
    """Return how often to repeat something of a size: 2**10 to 2**16 times, to a megabyte."""
    return min(2 ** int(rng.integers(10, 17)), 2**20 // max(size, 1) + 2)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def odd(value: Any, rng: np.random.Generator) -> Any:
    """Return a value to stand in another one's place."""
    kind = rng.integers(8)
    if kind <= 2:
        return pick(rng, NUMBERS)
    if kind == 3:
        return pick(rng, TEXTS)
    if kind == 4:
        return pick(rng, [None, [], {}, [[]], [None], {"a": 1}, nested(400), [0] * 5000])
    if isinstance(value, str):
        return re.sub(r"-?\d+", lambda m: str(pick(rng, NUMBERS)), value, count=1) or "0"
    if isinstance(value, bool | int):
        return int(value) + pick(rng, [-1, 1, 2, 1000])
    return str(value)[:1000]


def damage_tree(tree: Any, rng: np.random.Generator) -> Any:
    """Change values, at any depth, of what JSON holds; texts that are JSON are gone into."""
    for _ in range(pick(rng, [1, 1, 1, 2, 3])):
        places = list(_places(tree))
        if not places:
            return odd(tree, rng)
        within = [place for place in places if str(place[0][place[1]]).startswith("{")]
        holder, key = pick(rng, within if within and rng.random() < 0.4 else places)
        value = holder[key]
        if isinstance(value, str) and value.startswith("{") and rng.random() < 0.9:
            try:
                holder[key] = json.dumps(damage_tree(json.loads(value), rng))
                continue
            except ValueError:
                pass
        kind = rng.random()
        if kind < 0.1:
            del holder[key]
        elif kind < 0.2 and isinstance(holder, list):
            holder.insert(key, json.loads(json.dumps(value)))
        elif kind < 0.3:
            other_holder, other = pick(rng, places)
            holder[key] = json.loads(json.dumps(other_holder[other]))
        elif kind < 0.35 and isinstance(holder, dict):
            holder[pick(rng, TEXTS)] = holder.pop(key)
        elif kind < 0.38:
            inflate(holder, key, rng)
            break  # once: what is repeated of what is repeated fills any memory
        else:
            holder[key] = odd(value, rng)
    return tree


def inflate(holder: Any, key: Any, rng: np.random.Generator) -> None:
    """Repeat one value, text or entry very often."""
    value = holder[key]
    count = times(rng, len(json.dumps(value)))
    if isinstance(value, str):
        holder[key] = value * count
    elif isinstance(holder, list) and rng.random() < 0.6:
        holder[key:key] = [value] * count
    elif isinstance(holder, dict) and rng.random() < 0.3:
        holder |= {f"{key}{i}": value for i in range(count)}
    else:
        holder[key] = [value] * count


def _places(tree: Any):
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree)
    if isinstance(tree, dict | list):
        for key, value in list(inner):
            yield tree, key
            if isinstance(value, dict | list):
                yield from _places(value)


def damage_json(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage a JSON file in its values."""
    return json.dumps(damage_tree(json.loads(data), rng)).encode()


def damage_header(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage what a safetensors file says of its tensors, and its texts, but not its form."""
    (length,) = struct.unpack("<Q", data[:8])
    header = damage_tree(json.loads(data[8 : 8 + length]), rng)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def damage_model(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage a model file in what it says, in a file that is sound."""
    tensors, metadata = storage.decode(data)
    if rng.random() < 0.85:
        metadata = damage_tree(metadata, rng)
    else:
        damage_tensors(tensors, rng)
    tensors = {name: tensors[name] for name in sorted(tensors)}
    text = json.dumps(metadata if isinstance(metadata, dict) else {"format": 1})
    return safetensors_bytes(tensors, {"diglot": text})


def damage_tensors(tensors: dict[str, np.ndarray], rng: np.random.Generator) -> None:
    name = pick(rng, sorted(tensors))
    array = tensors.pop(name)
    kind = rng.integers(8)
    if kind == 0:
        tensors[name] = array.astype(pick(rng, ["float64", "int8", "bool", "uint16", "float16"]))
    elif kind == 1:
        tensors[name] = array.reshape(-1)
    elif kind == 2:
        tensors[name] = array[..., :0]
    elif kind == 3:
        tensors[name] = np.full_like(array, pick(rng, [np.nan, np.inf, 3e38, 0]), dtype=np.float32)
    elif kind == 4:
        tensors[pick(rng, TEXTS[:9])] = array
    elif kind == 5:
        tensors[name] = array[None]
    elif kind == 6:
        tensors[name] = np.swapaxes(array, 0, -1) if array.ndim else array[None]


def safetensors_bytes(tensors: dict[str, np.ndarray], texts: dict[str, str]) -> bytes:
    """Write the format by its definition, so that what the library refuses is written, too."""
    codes = {"f4": "F32", "f8": "F64", "f2": "F16", "i1": "I8", "u1": "U8", "b1": "BOOL"}
    codes |= {"i4": "I32", "i8": "I64", "u2": "U16", "u4": "U32", "i2": "I16", "u8": "U64"}
    header: dict[str, Any] = {"__metadata__": texts}
    at = 0
    for name, array in tensors.items():
        code = codes[array.dtype.str[1:]]
        header[name] = {
            "dtype": code,
            "shape": array.shape,
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    text = json.dumps(header).encode()
    body = b"".join(np.ascontiguousarray(a).tobytes() for a in tensors.values())
    return struct.pack("<Q", len(text)) + text + body


def damage_text(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage a text of words, numbers and braces: change numbers, mix up words, double parts."""
    text = data.decode()
    for _ in range(rng.integers(1, 4)):
        words = list(re.finditer(r'"[^"\n]*"|[\w.+-]+|[{}:]', text))
        if not words:
            break
        word, other = pick(rng, words), pick(rng, words)
        kind = rng.integers(6) if rng.random() < 0.95 else 6
        numbers = [w for w in words if re.fullmatch(r"[\d.]+", w[0])]
        if kind <= 1 and numbers:
            word, new = pick(rng, numbers), str(pick(rng, NUMBERS))
        elif kind == 2:
            names = [w for w in words if w[0].startswith('"')] or words
            word, new = pick(rng, names), pick(rng, names)[0]  # circles, among others
        elif kind == 3:
            new = ""
        elif kind == 4:
            new = other[0]
        else:
            start, end = sorted((word.start(), other.end()))
            part = text[start:end] + " "
            text = text[:end] + part * (times(rng, len(part)) if kind == 6 else 1) + text[end:]
            continue
        text = text[: word.start()] + new + text[word.end() :]
    return text.encode()


# ------------------------------------------------------------------ Protocol Buffers

Field = tuple[int, int, Any]  # number, wire type, value: a list of fields inside, bytes or a number


def damage_message(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage Protocol Buffers in one to three values, at any depth; lengths stay right."""
    tree = parsed(data)
    for _ in range(rng.integers(1, 4)):
        places = list(_fields_in(tree))
        if not places:
            break
        fields, index = pick(rng, places)
        number, wire, value = fields[index]
        kind = rng.random()
        if kind < 0.1:
            del fields[index]
        elif kind < 0.2:
            fields.insert(index, copy.deepcopy(fields[index]))
        elif kind < 0.3:
            other, place = pick(rng, places)
            fields[index] = copy.deepcopy(other[place])  # not a part of itself
        elif kind < 0.35:
            fields[index] = (int(rng.integers(1, 30)), wire, value)
        elif kind < 0.38:
            size = len(written([fields[index]]))
            fields[index:index] = [fields[index]] * times(rng, size)
            break  # once, as in damage_tree
        elif kind < 0.41 and wire == 2 and not isinstance(value, list):
            fields[index] = (number, wire, value * times(rng, len(value)))
            break
        elif wire == 0:
            fields[index] = (number, wire, int(pick(rng, NUMBERS)) % 2**64)
        elif isinstance(value, list):
            fields[index] = (number, wire, value[: int(rng.integers(len(value) + 1))])
        elif wire == 2:
            names = [f[i][2] for f, i in places if f[i][1] == 2 and not isinstance(f[i][2], list)]
            texts = [t.encode("utf-8", "surrogatepass") for t in TEXTS]
            new = [
                pick(rng, names),
                pick(rng, texts),
                value[:-1],
                value * 2,
                damage_bytes(value, rng),
            ]
            fields[index] = (number, wire, pick(rng, new))
        else:
            fields[index] = (number, wire, rng.bytes(len(value)))
    return written(tree)


def _fields_in(tree: list[Field]):
    for index, (_, _, value) in enumerate(tree):
        yield tree, index
        if isinstance(value, list):
            yield from _fields_in(value)


def parsed(data: bytes, depth: int = 0) -> list[Field]:
    """Take a message apart; bytes that read as a message are taken for one."""
    found: list[Field] = []
    at = 0
    while at < len(data):
        key, at = _number(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _number(data, at)
        else:
            length, at = _number(data, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
            if not number or at + length > len(data):
                raise ValueError("no message")
            value, at = data[at : at + length], at + length
            if wire == 2 and length > 1 and depth < 12:
                with contextlib.suppress(ValueError, KeyError, IndexError):
                    value = parsed(value, depth + 1)
        found.append((number, wire, value))
    return found


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = place = 0
    while data[at] >= 0x80:
        value |= (data[at] & 0x7F) << place
        at, place = at + 1, place + 7
        if place > 63:
            raise ValueError("no number")
    return value | data[at] << place, at + 1


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(parts) + bytes([value])


def written(tree: list[Field]) -> bytes:
    """Put a message together again."""
    parts = []
    for number, wire, value in tree:
        parts.append(_varint(number << 3 | wire))
        if wire == 0:
            parts.append(_varint(value))
            continue
        raw = written(value) if isinstance(value, list) else bytes(value)
        parts += [_varint(len(raw)), raw] if wire == 2 else [raw]
    return b"".join(parts)
