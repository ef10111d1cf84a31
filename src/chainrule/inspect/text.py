"""Names from data in figures: shown literally, whatever they contain."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

MOST_IN_TITLE = 90  # letters
FALLBACKS = (  # for scripts missing from the font of figures; those installed are used
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei"),
    *("PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic"),
    *("Noto Sans", "Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Thai", "Noto Emoji", "Arial Unicode MS"),
)


@contextmanager
def literal_text() -> Iterator[None]:
    """Figures created and saved inside show text literally: nothing between two `$` is a formula, nothing is TeX."""
    import_matplotlib()
    from matplotlib import rc_context

    with rc_context(
        {
            "text.parse_math": False,
            "text.usetex": False,
            "axes.formatter.use_mathtext": False,
            "font.family": _families(),
        }
    ):
        yield


def import_matplotlib() -> None:
    """Import matplotlib, also where MPLBACKEND names a backend that it does not have, such as a notebook's in a process
    started from there: figures are saved without one."""
    if "matplotlib" in sys.modules:
        return
    backend = os.environ.pop("MPLBACKEND", "")
    try:
        import matplotlib
    finally:
        if backend:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend  # as matplotlib itself does, for the windows of others


def on_one_line(text: Any, most: int = MOST_IN_TITLE) -> str:
    """Text of at most `most` characters, shortened in the middle; one that no font has is escaped as in Python,
    \\u4e2d.
    """
    letters = _letters(tuple(_families()))
    spelt = (letter if ord(letter) in letters else ascii(letter)[1:-1] for letter in " ".join(str(text).split()))
    line = "".join(spelt)
    return line if len(line) <= most else line[: most // 2 - 1] + "…" + line[-most // 2 :]


def _families() -> list[str]:
    from matplotlib import font_manager, rcParams

    names = font_manager.fontManager.get_font_names()
    wanted = [name for name in rcParams["font.family"] if name in {*names, *font_manager.font_family_aliases}]
    return [*(wanted or ["sans-serif"]), *(name for name in FALLBACKS if name in names and name not in wanted)]


@functools.cache
def _letters(families: tuple[str, ...]) -> frozenset[int]:
    """The characters that fonts of these families have."""
    from matplotlib import font_manager

    paths = {font_manager.findfont(font_manager.FontProperties(family=[family])) for family in families}
    return frozenset(code for path in paths for code in font_manager.get_font(path).get_charmap())
