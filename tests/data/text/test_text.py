"""Text files, vocabularies and windows."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data.text import Bytes, Characters, Text, Windows, Words, read_text
from chainrule.data.text.vocabulary import make_vocabulary
from chainrule.errors import DataError, FileError, OptionError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(text=TEXTS)
@pytest.mark.parametrize("kind", ["characters", "bytes"])
def test_encoding_and_decoding_is_the_text_again(kind: str, text: str) -> None:
    vocabulary = make_vocabulary(kind, text)
    numbers = vocabulary.encode(text)
    assert vocabulary.decode(numbers.tolist()) == text
    assert "".join(vocabulary.decoding(numbers.tolist())) == text
    assert 0 <= numbers.min() <= numbers.max() < len(vocabulary)


@given(text=TEXTS)
def test_words_are_the_text_again_but_for_rare_ones(text: str) -> None:
    vocabulary = Words.of(text, least=1)
    assert vocabulary.decode(vocabulary.encode(text).tolist()) == text


def test_words_are_in_order_of_frequency_and_bounded() -> None:
    vocabulary = Words.of("a b b c c c", least=1, most=3)
    assert vocabulary.names == ("\ufffd", " c", " b")
    assert vocabulary.encode(" b x").tolist() == [2, 0]


def test_a_character_that_training_did_not_have_is_named_with_its_place() -> None:
    with pytest.raises(DataError, match=r'prompt: character 2 is "é" \(U\+00E9, LATIN SMALL LETTER E WITH ACUTE\)'):
        Characters.of("abc").encode("cé", "prompt")


def test_an_unknown_kind_of_tokens_is_refused() -> None:
    with pytest.raises(OptionError, match='did you mean "words"'):
        make_vocabulary("word", "text")


def test_a_file_in_any_form_becomes_the_same_text(tmp_path: Path) -> None:
    forms = {
        "a.txt": "Caf\u00e9\nau lait\n",
        "b.txt": "\ufeffCafe\u0301\r\nau lait\r\n",
        "c.txt": "Caf\u00e9\rau lait\r",
    }
    texts = []
    for name, form in forms.items():
        (tmp_path / name).write_bytes(form.encode())
        texts.append(read_text(tmp_path / name))
    with gzip.open(tmp_path / "d.txt.gz", "wb") as file:
        file.write(forms["a.txt"].encode())
    texts.append(read_text(str(tmp_path / "d.txt.gz")))
    assert {text.characters for text in texts} == {"Café\nau lait\n"}
    assert len({text.fingerprint() for text in texts}) == 1
    assert [len(text.notes) for text in texts] == [0, 2, 1, 0]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "the text is empty"),
        (b" \n\t", "the text is empty"),
        (b"one\ntw\xe9\n", r"byte 0xe9 in line 2\): save it as UTF-8"),
        ("text".encode("utf-16"), "looks like UTF-16"),
        (b"one\n\0two", "a NUL character in line 2"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes, told: str) -> None:
    (tmp_path / "book.txt").write_bytes(data)
    with pytest.raises(DataError, match=told):
        read_text(tmp_path / "book.txt")


def test_a_damaged_gzip_file_and_a_pipe_are_refused(tmp_path: Path) -> None:
    (tmp_path / "book.txt.gz").write_bytes(gzip.compress(b"text" * 1000)[:-6])
    with pytest.raises(DataError, match="damaged or cut short"):
        read_text(tmp_path / "book.txt.gz")
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(FileError, match="not a regular file"):
        read_text(tmp_path / "pipe.txt")


def test_a_file_that_unpacks_to_more_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "book.txt.gz").write_bytes(gzip.compress(b"text" * 100_000))
    monkeypatch.setattr("chainrule.data.text.reading.room", lambda: 300_000)
    with pytest.raises(DataError, match=r"more text than free memory has room for, 97\.7 KiB: use a part of it"):
        read_text(tmp_path / "book.txt.gz")
    (tmp_path / "book.txt").write_bytes(b"text" * 100_000)
    with pytest.raises(DataError, match="more text than free memory has room for"):
        read_text(tmp_path / "book.txt")


@given(
    size=st.integers(10, 300), length=st.integers(1, 8), validation=st.sampled_from([0.0, 0.1, 0.3]),
    test=st.sampled_from([0.0, 0.2]),
)  # fmt: skip
def test_windows_cover_each_part_and_never_reach_into_another(
    size: int, length: int, validation: float, test: float
) -> None:
    text = Text("book.txt", "".join(chr(97 + i % 26) for i in range(size)))
    ends = np.round(np.cumsum([1.0 - validation - test, validation, test]) * size).astype(int)
    sizes = np.diff([0, *ends])
    if (sizes[sizes > 0] <= length).any():
        with pytest.raises(DataError, match="too few for windows"):
            Windows.of(text, Characters.of(text.characters), length, validation=validation, test=test)
        return
    windows = Windows.of(text, Characters.of(text.characters), length, validation=validation, test=test)
    assert np.array_equal(windows.x[:, 1:], windows.y[:, :-1])
    part = np.searchsorted(ends, windows.starts, side="right")
    assert np.array_equal(part, np.searchsorted(ends, windows.starts + length, side="left"))
    assert [(part == 1).sum(), (part == 2).sum()] == [windows.validation, windows.test]
    for number, (start, end) in enumerate(zip((0, *ends), ends, strict=False)):
        assert (part == number).sum() == max(0, (end - start - 1) // length)


def test_windows_of_some_rows_keep_their_order() -> None:
    text = Text("book.txt", "abcdefghij")
    windows = Windows.of(text, Bytes(), 2, validation=0.0, test=0.0).take(np.array([2, 0]))
    assert windows.x.tolist() == [[101, 102], [97, 98]]
    assert windows.y.tolist() == [[102, 103], [98, 99]]
