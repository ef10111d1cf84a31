"""A text as data for a language model, and the record of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from chainrule.data.preparation import prepare_text
from chainrule.data.record import read_preparation
from chainrule.data.text import Text
from chainrule.errors import DataError, OptionError

TEXT = Text("book.txt", "".join(f"line {i} of the book\n" for i in range(100)))


@pytest.mark.parametrize("tokens", ["characters", "words", "bytes"])
def test_parts_are_stretches_of_the_text_and_the_record_makes_the_same_again(tokens: str) -> None:
    preparation, parts = prepare_text(TEXT, tokens=tokens, length=16)
    assert (preparation.kind, preparation.task, preparation.classes) == ("text", "generate", ())
    x, y = parts.arrays(parts.split.train)
    assert x.shape == y.shape == (len(parts.split.train), 16)
    assert np.array_equal(x[:, 1:], y[:, :-1])
    assert 0 <= x.min() <= x.max() < preparation.outputs
    starts = parts.data.starts
    ends = [starts[rows].max() for rows in (parts.split.train, parts.split.validation)]
    assert ends[0] < starts[parts.split.validation].min()
    assert ends[1] < starts[parts.split.test].min()
    assert read_preparation(json.loads(json.dumps(preparation.to_dict()))) == preparation


def test_words_are_those_of_the_training_part() -> None:
    _, parts = prepare_text(TEXT, tokens="words", length=4)
    names = parts.preparation.inputs.vocabulary.names
    assert " book" in names
    assert " 99" not in names


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"inputs": {"length": 0}}, "inputs.length is 0"),
        ({"inputs": {"vocabulary": {"kind": "characters", "names": ["b", "a"]}}}, r"names\[1\]"),
        ({"inputs": {"vocabulary": {"kind": "characters", "names": ["a", "a"]}}}, r"names\[1\]"),
        ({"inputs": {"vocabulary": {"kind": "characters", "names": ["ab"]}}}, r"names\[0\]"),
        ({"inputs": {"vocabulary": {"kind": "words", "names": ["a"]}}}, "vocabulary.names"),
        ({"inputs": {"vocabulary": {"kind": "letters"}}}, "vocabulary"),
        ({"target": {"tokens": 3}}, "target.tokens is 3, expected those of the vocabulary"),
        ({"target": {"task": "classify", "column": None, "names": [0, 1]}}, "target.task"),
    ],
)
def test_a_damaged_record_is_refused(changes: dict[str, dict[str, object]], told: str) -> None:
    values = prepare_text(TEXT, length=16)[0].to_dict()
    for part, new in changes.items():
        values[part] = new if "task" in new else {**values[part], **new}
    with pytest.raises(DataError, match=told):
        read_preparation(values)


def test_what_is_no_text_or_too_short_is_refused() -> None:
    with pytest.raises(DataError, match="expected a text: read one with read_text"):
        prepare_text("some text")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="its validation part has 199 characters, too few for windows of 400"):
        prepare_text(TEXT, length=400)
    with pytest.raises(DataError, match="it has one character only, which leaves nothing to learn"):
        prepare_text(Text("book.txt", "a" * 4000))
    with pytest.raises(DataError, match="it has no word twice"):
        prepare_text(Text("book.txt", " ".join(f"w{i:03}" for i in range(400))), tokens="words", length=4)
    with pytest.raises(OptionError, match="leave nothing to train on"):
        prepare_text(TEXT, validation=0.5, test=0.5)
    with pytest.raises(OptionError, match="tokens"):
        prepare_text(TEXT, tokens="letters")
