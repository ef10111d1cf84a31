"""Pictures of networks for images are made, whatever they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib import rc_context, rcParams
from matplotlib.figure import Figure
from matplotlib.text import Text

from chainrule.errors import DataError, NonFiniteError, ShapeError
from chainrule.inspect.pictures import _caption, _cut, save_confusion, save_filters, save_samples, worst_mistakes
from chainrule.inspect.plots import save_losses

RNG = np.random.default_rng(0)


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [1, 9, 100])
def test_samples(tmp_path: Path, n: int, channels: int) -> None:
    pixels = RNG.integers(0, 256, (n, 4, 5, channels)).astype(np.uint8)
    probabilities = RNG.dirichlet(np.ones(3), n)
    labels = RNG.integers(0, 3, n)
    names = [f"{i}$x.png" for i in range(n)]
    save_samples(pixels, probabilities, labels, ("a$b", "c_d", 7), tmp_path / "s.png", title="t", files=names)
    assert is_png(tmp_path / "s.png")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("low", "high", "dtype"), [(51640, 51760, "uint16"), (-1, 1, "float32"), (-9, 9, "int32")])
def test_samples_use_all_shades(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int, low: float, high: float, dtype: str
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *at, **more: drawn.append(figure))
    pixels = np.linspace(low, high, 20 * 9 * 9 * channels).reshape(20, 9, 9, channels).astype(dtype)
    pixels[7, 0, 0, 0] = 30000  # a pixel that is broken
    save_samples(pixels, np.eye(20), np.arange(20), range(20), tmp_path / "s.png")
    first, *_, last = (image.to_rgba(image.get_array())[..., :3] for image in drawn[0].axes[0].images)
    assert first.min() < 0.1
    assert first.mean() < 0.3
    assert last.max() > 0.9


def test_samples_of_a_network_without_mistakes(tmp_path: Path) -> None:
    save_samples(np.zeros((3, 1, 1, 1), np.uint8), np.eye(3), np.arange(3), "abc", tmp_path / "s.png")
    assert is_png(tmp_path / "s.png")


def test_the_worst_mistake_comes_first() -> None:
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.99, 0.01], [0.2, 0.8]])
    assert worst_mistakes(probabilities, np.array([1, 0, 1, 1])).tolist() == [2, 0, 1]


def test_long_names_keep_both_ends() -> None:
    assert _cut("Ankle boot") == "Ankle boot"
    assert _cut("a\nquite long class name 85$") == "a quite…name 85$"
    assert len(_cut("x" * 99)) == 16


def test_captions_name_the_predicted_class_and_the_true_one_if_it_differs() -> None:
    assert _caption(np.array([0.9, 0.1]), 0, ("cat", "dog"), "") == "predicted cat (0.90)"
    wrong = _caption(np.array([0.9, 0.1]), 1, ("cat", "dog"), "photos/1.png")
    assert wrong == "predicted cat (0.90)\ntrue dog (0.10)\n1.png"
    assert _caption(np.array([0.9, 0.1]), 1, (3, 8), "index 7") == "predicted 3 (0.90)\ntrue 8 (0.10)\nindex 7"


def test_only_correct_images_follow_the_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *at, **more: drawn.append(figure))
    labels = np.array([1] * 20 + [0] * 3)  # 20 mistakes, of which 16 are drawn
    save_samples(np.zeros((23, 2, 2, 1), np.uint8), np.tile([0.9, 0.1], (23, 1)), labels, "ab", tmp_path / "s.png")
    texts = [text.get_text() for text in drawn[0].axes[0].texts]
    assert texts[17].startswith("some correct ones, ")
    assert texts[18:] == ["predicted a (0.90)"] * 3


@pytest.mark.parametrize("classes", [1, 2, 25, 60, 101])
def test_confusion(tmp_path: Path, classes: int) -> None:
    matrix = RNG.integers(0, 5, (classes, classes)) * 1.0
    matrix[0] = 0  # a class that does not occur
    save_confusion(matrix, [f"class {i}" for i in range(classes)], tmp_path / "c.png", "title")
    assert is_png(tmp_path / "c.png")


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 3, 1, 6), (5, 5, 3, 16), (3, 3, 64, 100), (28, 28, 1, 20)])
def test_filters(tmp_path: Path, shape: tuple[int, ...]) -> None:
    save_filters(RNG.normal(size=shape).astype(np.float32), tmp_path / "f.png")
    save_filters(np.zeros(shape), tmp_path / "f.png")
    assert is_png(tmp_path / "f.png")


@pytest.mark.parametrize(
    ("channels", "scales", "text"), [(1, 1, "weight, div"), (3, 0, "gray: "), (5, 1, "weight, div")]
)
def test_filters_say_what_their_colours_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int, scales: int, text: str
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *arguments, **options: drawn.append(figure))
    save_filters(RNG.normal(size=(3, 3, channels, 4)), tmp_path / "f.png")
    assert len(drawn[0].axes) == 1 + scales
    assert drawn[0].get_supxlabel().startswith(text)


def test_arrays_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    with pytest.raises(ShapeError, match=r"the matrix is \(2, 3\), expected \(2, 2\)"):
        save_confusion(np.zeros((2, 3)), "ab", path)
    with pytest.raises(ShapeError, match=r"the weight is \(2, 3\), expected \(kh, kw"):
        save_filters(np.zeros((2, 3)), path)
    with pytest.raises(ShapeError, match="expected"):
        save_samples(np.zeros((2, 1, 1, 1), np.uint8), np.eye(3), np.arange(3), "abc", path)
    assert not path.exists()


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    pixels, nan = np.zeros((2, 4, 4, 1), np.uint8), np.array([[0.5, 0.5], [0.5, np.nan]])
    with pytest.raises(NonFiniteError, match="probabilities: row 1, output 1 is nan"):
        save_samples(pixels, nan, np.array([0, 1]), ("a", "b"), tmp_path / "p.png")
    with pytest.raises(DataError, match="not counts"):
        save_confusion(nan, ("a", "b"), tmp_path / "p.png")
    weight = np.ones((3, 3, 1, 4))
    weight[0, 0, 0, 2] = np.inf
    with pytest.raises(NonFiniteError, match="filter 2 is not finite"):
        save_filters(weight, tmp_path / "p.png")
    assert not list(tmp_path.iterdir())


NAMES = (
    *("a$b$c", "$\\frac{1$", "$", "_under", "two\nlines\t", "x" * 200, "中文", "ع", "\udcff", "\x07"),
    *("", " ", "{%s}", "\\"),
)


def test_names_are_shown_letter_by_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **more: drawn.append(figure) or save(figure, *args, **more)
    )
    n, title = len(NAMES), "_$x$ a_b $y"
    path = tmp_path / "x.png"
    save_confusion(np.eye(n), NAMES, path, title)
    pixels = np.zeros((n, 2, 2, 1), np.uint8)
    save_samples(pixels, np.eye(n)[::-1], np.arange(n), NAMES, path, title=title, files=NAMES)
    save_filters(np.ones((3, 3, 1, 2)), path, title)
    save_losses({"loss": [100.0, 1.0], "val_loss": [1.0, 2.0], "val__$a$": [1.0, 1.0], "val_b": [1.0]}, path, title)
    confusion, samples, filters, losses = drawn
    labels = [label.get_text() for label in confusion.axes[0].get_yticklabels()]
    assert labels[:6] == ["a$b$c", "$\\frac{1$", "$", "_under", "two lines", "xxxxxxx…xxxxxxxx"]
    assert labels[8:10] == ["\\udcff", "\\x07"]  # letters that no font has
    assert confusion.get_suptitle() == title
    assert any("predicted" in text.get_text() and title in text.get_text() for text in samples.axes[0].texts)
    assert any(text.get_text().endswith("\n$\\frac{1$") for text in samples.axes[0].texts)
    assert filters.get_suptitle() == title
    assert losses.get_suptitle() == title
    legend = losses.axes[1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["$a$", "b"]
    assert [label.get_text() for label in losses.axes[0].get_yticklabels()][1:3] == ["1", "10"]
    for figure in drawn:
        for text in filter(Text.get_text, figure.findobj(Text)):
            assert not text.get_parse_math()
            assert not text.get_usetex()


def test_a_style_of_ones_own_stays(tmp_path: Path) -> None:
    with rc_context({"text.usetex": True, "font.size": 9.0}):
        save_filters(np.ones((3, 3, 1, 2)), tmp_path / "x.png", "$x$")
        assert rcParams["text.usetex"]
