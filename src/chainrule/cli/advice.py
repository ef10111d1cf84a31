"""Advice in messages: the library's names Python's arguments, the command line's its options."""

from __future__ import annotations

import ast
import re
import shlex

NAMES = (
    "broken",
    "data_dir",
    "drop",
    "keep_index",
    "missing",
    "na",
    "resize",
    "target",
    "task",
)  # of arguments and options alike
TEXT = r""" "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' """
ARGUMENT = re.compile(rf"\b({'|'.join(NAMES)})=(True | \.\.\. | {TEXT} | \[(?:(?:{TEXT})(?:,\ )?)*\])", re.VERBOSE)
SIZE = re.compile(r"\bheight=(\d+), width=(\d+), resize=True")


def as_options(message: str) -> str:
    """The message with options in place of arguments, quoted for a shell.

    >>> as_options("leave it out with drop=['City, State']")
    "leave it out with --drop 'City, State'"
    """
    return ARGUMENT.sub(_option, SIZE.sub(_image_size, message))


def _option(argument: re.Match[str]) -> str:
    option, value = "--" + argument[1].replace("_", "-"), ast.literal_eval(argument[2])
    if value is True or value is ...:
        return option
    if option == "--na":
        value = ",".join(value)
    values = value if isinstance(value, list) else [value]
    # A value such as -b would be taken for another option.
    return " ".join(shlex.quote(f"{option}={v}") if v.startswith("-") else f"{option} {shlex.quote(v)}" for v in values)


def _image_size(size: re.Match[str]) -> str:
    return f"--image-size {size[1]}" + (f"x{size[2]}" if size[1] != size[2] else "")
