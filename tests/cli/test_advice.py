"""Advice on arguments becomes advice on options, which a shell takes as they are printed."""

from __future__ import annotations

import shlex

import pytest

from chainrule.cli.advice import as_options


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ('missing="drop" leaves such rows out', "--missing drop leaves such rows out"),
        ("is left out: keep_index=True keeps it", "is left out: --keep-index keeps it"),
        ("na=[] says they are names, na=['NA', '-'] says", "--na '' says they are names, --na NA,- says"),
        ("na=['n/a', '-']: ", "--na n/a,-: "),
        ("na=['-', '?']: ", "'--na=-,?': "),
        ("resize with height=6, width=5, resize=True", "resize with --image-size 6x5"),
        ("resize with height=8, width=8, resize=True", "resize with --image-size 8"),
        ("name with data_dir=... the folder", "name with --data-dir the folder"),
        ("resize with resize=True", "resize with --resize"),
        ("pass batch_size=7, or lr=0.1", "pass batch_size=7, or lr=0.1"),
        ("dropped=['a'] and na=3 and task=drop", "dropped=['a'] and na=3 and task=drop"),
    ],
)
def test_arguments_become_options(message: str, said: str) -> None:
    assert as_options(message) == said


def test_names_of_columns_reach_the_shell_as_they_are() -> None:
    names = ["City, State", "it's", 'an "a"', "-b", "c\\d", "[e]", "ä €", 'it\'s "f"']
    words = shlex.split(as_options(f"leave them out with drop={names}").removeprefix("leave them out with "))
    assert words == ["--drop", names[0], "--drop", names[1], "--drop", names[2], "--drop=-b"] + [
        word for name in names[4:] for word in ("--drop", name)
    ]
