"""Ways in which files become damaged: bytes that change, and structures that are edited.

A mutation is a name and the new content. Names that begin with "must" are of mutations that no reader may accept: a
required key that is gone or renamed, a key that is there twice, a value of another kind.
"""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class Mutation(NamedTuple):
    """A kind of damage, and the damaged content."""

    kind: str
    content: bytes


DEEP = 100_000
TEXTS = [
    "",
    " ",
    "x",
    "null",
    "nan",
    "1e3",
    "007",
    "../../etc/passwd",
    "a\0b",
    "\x1b[31m",
    "[/red]",
    "é\u202e😀",
    "a\nb",
]
TEXTS += ["x" * 100_000, "$\\frac$", "2020-01-01", "-", "%s{}", "\udcff"]
NUMBERS: list[Any] = [
    0,
    -1,
    1,
    2,
    3,
    2**31,
    2**53 + 1,
    2**63,
    2**64,
    10**400,
    -(10**30),
    0.5,
    -0.0,
    1e-320,
    1e300,
    1e999,
]
NUMBERS += [float("nan"), -1e999]
OTHERS: list[Any] = [None, True, False, [], {}, [[]], [None], {"a": 1}, {"": {}}, [1] * 1000, ["a", 1], [[1, 2], [3]]]
RAW = [
    "9" * 5000,
    "-" + "9" * 5000,
    "1" + "0" * 320,
    "[" * DEEP,
    '{"a":' * DEEP,
    "[" * 500 + "]" * 500,
    "1e99999",
    "\x00",
]
WORDS = [  # of YAML
    *(
        "&a x",
        "*a",
        "!!int 3",
        "!!timestamp 2020-01-01",
        "2020-01-01",
        "!!python/object:os.system {}",
        "<<",
        "? x",
        "|",
    ),
    *(
        "[a, b]",
        "[a, [b]]",
        "{a: b}",
        "[*a, *a]",
        "'",
        '"\\0"',
        '"\\ud800"',
        "~",
        "null",
        "yes",
        "0x1F",
        "1_000",
        ".inf",
    ),
    *(
        "-1",
        "0",
        "1e999",
        ".nan",
        "1e-320",
        "99999999999",
        "9" * 5000,
        "x" * 50_000,
        "[" * 10_000,
        "é\u202e😀",
        "- a",
        "%",
    ),
    *("mlp:" + "9" * 300, "mlp:1,1,1", "mlp:" + "9," * 20_000 + "9", "mlp:0", "mlp:1000000000", "resnet56", "linear"),
    *("step:1e300", "plateau:nan", "cosine:2", "exponential:-1", "one-cycle:5", "shift:1e999", "rotate:nan", "crop:-1"),
    *("1000000", "4096x4096", "200GB", "1e999GB", "regress", "classify", "mean", "drop", "mse", "sgd", "reference"),
]


def of_bytes(draw: random.Random, content: bytes) -> Mutation:
    """Damage that knows nothing of the format: bits flipped, a part cut, doubled, moved or overwritten."""
    data, size = bytearray(content), len(content)
    begin = draw.randrange(size)
    end = min(size, begin + draw.choice((1, 2, 8, 64, size)))
    kind = draw.choice(("flip", "flips", "cut", "drop", "double", "splice", "zero", "noise", "empty", "append"))
    if kind in ("flip", "flips"):
        for _ in range(1 if kind == "flip" else draw.randint(2, 20)):
            data[draw.randrange(size)] ^= 1 << draw.randrange(8)
    elif kind == "cut":
        del data[begin:]
    elif kind == "drop":
        del data[begin:end]
    elif kind == "double":
        data[end:end] = data[begin:end]
    elif kind == "splice":
        place = draw.randrange(size)
        data[place : place + end - begin] = content[begin:end]
    elif kind == "zero":
        data[begin:end] = bytes(end - begin)
    elif kind == "noise":
        data[begin:end] = draw.randbytes(end - begin)
    elif kind == "append":
        data += draw.choice((b"\n", b"{}", draw.randbytes(100), content))
    else:
        data.clear()
    return Mutation(kind, bytes(data))


def of_json(draw: random.Random, content: bytes, optional: frozenset[str] = frozenset()) -> Mutation:
    """A structure edited at a random place; `optional` are keys that may be left out."""
    values = json.loads(content)
    kind, text = _edited(draw, values, optional)
    return Mutation(kind, text.encode("utf-8", "surrogatepass"))


def _edited(draw: random.Random, values: Any, optional: frozenset[str]) -> tuple[str, str]:
    holder, key = draw.choice([place for place in _places(values) if place[0] is not None] or [({"": values}, "")])
    old = holder[key]
    if isinstance(holder, dict):
        kind = draw.choice(("drop", "rename", "twice", "unknown", "replace", "replace", "raw"))
    else:
        kind = draw.choice(("drop", "double", "swap", "replace", "raw"))
    mark = "@mark@"
    if kind == "drop":
        del holder[key]
        required = isinstance(holder, dict) and key not in optional
        return ("must: a key is gone" if required else "an item is gone"), json.dumps(values)
    if kind == "rename":
        holder[draw.choice((key + " ", key.upper() + "_", "é", key[:-1]))] = holder.pop(key)
        return "must: a key is renamed", json.dumps(values)
    if kind == "unknown":
        holder[draw.choice(TEXTS) or "more"] = draw.choice(OTHERS)
        return "must: a key too many", json.dumps(values)
    if kind == "twice":
        holder[mark] = copy.deepcopy(draw.choice([old, draw.choice(OTHERS)]))
        return "must: a key twice", json.dumps(values).replace(json.dumps(mark), json.dumps(key), 1)
    if kind == "double":
        holder[key:key] = [old] * draw.choice((1, 1, 1000))
        return "an item is doubled", json.dumps(values)
    if kind == "swap":
        other = draw.randrange(len(holder))
        holder[key], holder[other] = holder[other], holder[key]
        return "items are swapped", json.dumps(values)
    if kind == "raw":
        holder[key] = mark
        return "raw text", json.dumps(values).replace(json.dumps(mark), draw.choice(RAW), 1)
    holder[key] = new = copy.deepcopy(draw.choice(draw.choice((TEXTS, NUMBERS, OTHERS))))
    return ("must: " if _is_other(old, new) else "") + "a value is replaced", json.dumps(values)


def _is_other(old: Any, new: Any) -> bool:
    """Whether a value is of another kind than the one it replaces, so that it cannot be right."""
    kinds = [
        "null" if value is None else "truth" if isinstance(value, bool) else type(value).__name__
        for value in (old, new)
    ]
    alike = ({"int", "float"}, {"int", "list"})  # 1 also stands for a pair [1, 1]
    return kinds[0] != kinds[1] and not any(set(kinds) <= kind for kind in alike) and "null" not in kinds


def _places(values: Any) -> Iterator[tuple[Any, Any]]:
    """Every (holder, key) in a structure."""
    stack = [values]
    while stack:
        holder = stack.pop()
        keys: Any = list(holder) if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            yield holder, key
            if isinstance(holder[key], (dict, list)):
                stack.append(holder[key])


def of_yaml(draw: random.Random, content: bytes) -> Mutation:
    """A config file of one `key: value` per line, edited."""
    lines = content.decode().splitlines()
    place = draw.randrange(len(lines))
    key, _, value = lines[place].partition(":")
    kind = draw.choice(
        ("drop", "rename", "twice", "value", "value", "value", "value", "insert", "swap", "indent", "bomb")
    )
    if kind == "drop":
        del lines[place]
    elif kind == "rename":
        lines[place] = f"{draw.choice((key + 's', key.upper(), '', '? ' + key, '<<', '[a]', 'x' * 500))}:{value}"
        kind = "must: a key is renamed"
    elif kind == "twice":
        lines.insert(draw.randrange(len(lines) + 1), f"{key.replace('_', draw.choice('_-'))}: {draw.choice(WORDS[9:])}")
        kind = "must: a key twice"
    elif kind == "value":
        lines[place] = f"{key}: {draw.choice(WORDS)}"
    elif kind == "insert":
        lines.insert(place, draw.choice((*WORDS, "---", "...", "\t", "#", "%YAML 9.9", "- a", "{", "]")))
    elif kind == "swap":
        other = draw.randrange(len(lines))
        lines[place], lines[other] = lines[other], lines[place]
    elif kind == "indent":
        lines[place] = draw.choice((" ", "\t", "  - ", "\ufeff")) + lines[place]
    else:
        lines[place] = f"{key}: &a0 [x]"
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
        kind = "must: a bomb"
    return Mutation(kind, "\n".join(lines).encode("utf-8", "surrogatepass"))


def of_model(draw: random.Random, content: bytes) -> Mutation:
    """A safetensors file whose header, description or weights are edited."""
    length = int.from_bytes(content[:8], "little")
    header, rest = content[8 : 8 + length], content[8 + length :]
    kind = draw.choice(
        ("header", "header", "description", "description", "length", "dtype", "offsets", "weights", "axes")
    )
    if kind == "header":
        name, text = _edited(draw, json.loads(header), frozenset())
        return _model(name, text, rest)
    values = json.loads(header)
    names = [name for name in values if name != "__metadata__"]
    entry = values[draw.choice(names)]
    if kind == "description":
        note = json.loads(values["__metadata__"]["chainrule"])
        name, values["__metadata__"]["chainrule"] = _edited(draw, note, frozenset())
        return _model(name, json.dumps(values), rest)
    if kind == "length":
        wrong = draw.choice((0, 1, length - 1, length + 1, 100 << 20, 2**63, 2**64 - 1, draw.randrange(2**64)))
        return Mutation("must: the length of the header", struct.pack("<Q", wrong) + header + rest)
    if kind == "dtype":
        entry["dtype"] = draw.choice(
            ("F64", "F16", "BF16", "I32", "U8", "BOOL", "F8_E4M3", "C64", "f32", "", "x" * 10_000)
        )
    elif kind == "offsets":
        other = values[draw.choice(names)]
        entry["data_offsets"] = draw.choice(
            (other["data_offsets"], entry["data_offsets"][::-1], [0, len(rest)], [-4, 0])
        )
        return _model("offsets", json.dumps(values), rest)
    elif kind == "axes":
        entry["shape"] = draw.choice(
            ([1] * 65 + entry["shape"], entry["shape"][::-1], [2**62, 2**62], [0, 2**62], [-1, -1])
        )
        return _model("shape", json.dumps(values), rest)
    else:
        place = draw.randrange(len(rest) // 4) * 4
        bad = draw.choice((float("nan"), float("inf"), -float("inf")))
        return Mutation(
            "must: a weight", content[: 8 + length] + rest[:place] + struct.pack("<f", bad) + rest[place + 4 :]
        )
    return _model("must: " + kind, json.dumps(values), rest)


def _model(kind: str, header: str, rest: bytes) -> Mutation:
    text = header.encode("utf-8", "surrogatepass")
    return Mutation(kind, len(text).to_bytes(8, "little") + text + rest)


STRUCTURAL: dict[str, Callable[[random.Random, bytes], Mutation]] = {
    "config.yaml": of_yaml,
    "data.json": of_json,
    "results.json": lambda draw, content: of_json(draw, content, frozenset({"seconds"})),
    "model.safetensors": of_model,
}


def mutate(draw: random.Random, name: str, content: bytes) -> Mutation:
    """The file `name` of a run, damaged."""
    mutation = (of_bytes if draw.random() < 0.4 else STRUCTURAL[name])(draw, content)
    return mutation if mutation.content != content else Mutation("none", content)
