"""The models: sizes, what they refuse, both engines alike, saved and loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import models, nn, optim
from chainrule.errors import OptionError, ShapeError

PARAMETERS = [
    (models.lenet5, 61_706),
    (models.small_cnn, 72_666),
    (models.resnet20, 272_474),
    (models.resnet32, 466_906),
    (models.resnet56, 855_770),
]
SMALL: list[tuple[str, Callable[[], nn.Module], tuple[int, ...]]] = [
    ("lenet5", models.lenet5, (28, 28, 1)),
    ("lenet5 on colours", lambda: models.lenet5((32, 20, 3), 7), (32, 20, 3)),
    ("small_cnn", lambda: models.small_cnn((12, 12, 1)), (12, 12, 1)),
    ("resnet8", lambda: models.resnet(8, (8, 8, 3)), (8, 8, 3)),
    ("resnet14, odd", lambda: models.resnet(14, (7, 9, 1)), (7, 9, 1)),
    ("plain_mlp", lambda: models.plain_mlp((6, 6, 1), depth=5, activation=nn.Tanh), (6, 6, 1)),
    ("plain_cnn", lambda: models.plain_cnn((8, 8, 1), depth=8), (8, 8, 1)),
]
each = pytest.mark.parametrize(("build", "image"), [m[1:] for m in SMALL], ids=[m[0] for m in SMALL])


def batch(image: tuple[int, ...], classes: int, n: int = 4) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, *image)).astype(np.float32), rng.integers(0, classes, n)


@pytest.mark.parametrize(("build", "expected"), PARAMETERS, ids=lambda v: getattr(v, "__name__", str(v)))
def test_parameters(build: Callable[[], nn.Module], expected: int) -> None:
    assert sum(p.size for p in build().parameters()) == expected


@each
def test_engines_agree(build: Callable[[], nn.Module], image: tuple[int, ...]) -> None:
    cr.seed(0)
    model = build()
    x, y = batch(image, 7)
    found = {}
    for engine in ("reference", "compiled"):
        trainer = cr.Trainer(model, loss=nn.CrossEntropyLoss(), optimizer=optim.SGD(lr=0.1), seed=3, engine=engine)
        found[engine] = trainer.gradients(x, y)
    for name, gradient in found["reference"].items():
        scale = max(1e-3, float(np.abs(gradient).max()))
        np.testing.assert_allclose(found["compiled"][name], gradient, rtol=0, atol=1e-4 * scale, err_msg=name)


@each
def test_loss_falls(build: Callable[[], nn.Module], image: tuple[int, ...]) -> None:
    cr.seed(0)
    trainer = cr.Trainer(build(), loss=nn.CrossEntropyLoss(), optimizer=optim.Adam(lr=2e-3), seed=0)
    x, y = batch(image, 3, 8)
    losses = [trainer.step(x, y) for _ in range(30)]
    assert losses[-1] < losses[0]


@each
def test_saved_and_loaded(build: Callable[[], nn.Module], image: tuple[int, ...], tmp_path: Path) -> None:
    model = build().eval()
    cr.save(model, tmp_path / "model.safetensors")
    x, _ = batch(image, 2)
    np.testing.assert_array_equal(cr.load(tmp_path / "model.safetensors").eval()(x).data, model(x).data)


def test_what_the_models_refuse() -> None:
    with pytest.raises(ShapeError, match=r"images are 15 x 28, expected at least 16 x 16: pad or enlarge them$"):
        models.lenet5((15, 28, 1))
    assert models.lenet5((16, 16, 3), 2)
    for build in (models.resnet, models.plain_cnn):
        with pytest.raises(OptionError, match=r"6n \+ 2"):
            build(depth=18)
    with pytest.raises(OptionError, match=r"depth is 20\.5, expected a whole number"):
        models.resnet(20.5)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"small_cnn: images are 2 x 9, expected at least 4 x 4: pad or enlarge them$"):
        models.small_cnn((2, 9, 1))
    for build in (models.lenet5, models.small_cnn, models.resnet20, models.plain_cnn, models.plain_mlp):
        with pytest.raises(ShapeError, match=r"expected \(height, width, channels\)"):
            build(image=(28, 28))
        with pytest.raises(ShapeError, match=r"image is 30, expected \(height, width, channels\)"):
            build(30)
        with pytest.raises(OptionError, match="image is 0, expected a whole number"):
            build(image=(28, 28, 0))
    with pytest.raises(OptionError, match="at least 2"):
        models.plain_mlp(depth=1)


def test_sigmoids_let_gradients_vanish_and_skips_do_not() -> None:
    cr.seed(0)
    image = (8, 8, 1)
    x, y = batch(image, 10, 16)

    def shrinking(model: nn.Module) -> float:
        """The gradient of the first layer's weights, as a part of the last one's."""
        gradients = cr.Trainer(model, loss=nn.CrossEntropyLoss(), optimizer=optim.SGD(lr=0.1)).gradients(x, y)
        weights = [g for name, g in gradients.items() if name.endswith("weight") and g.ndim > 1]
        return float(np.linalg.norm(weights[0]) / np.linalg.norm(weights[-1]))

    assert shrinking(models.plain_mlp(image, depth=30)) < 1e-6
    assert shrinking(models.plain_cnn(image, depth=32, activation=nn.Sigmoid)) < 1e-6
    assert shrinking(models.resnet(32, image)) > 1e-2
