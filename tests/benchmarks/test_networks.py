"""Descriptions of networks: what they count, and what chainrule makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import networks
from benchmarks.networks import BatchNorm, Convolution, Flatten, Linear, Pool, Residual
from benchmarks.networks.definitions import RELU, cnn, lenet5, resnet20
from benchmarks.peers.chainrule_network import build, describe
from benchmarks.rows import make_rows
from benchmarks.workloads import WORKLOADS, load, save, saved

from chainrule import models, nn

IMAGES = [name for name, workload in WORKLOADS.items() if workload.images]


@pytest.mark.parametrize(
    ("layers", "model"), [(lenet5(), models.lenet5), (resnet20(), models.resnet20), (None, models.small_cnn)]
)
def test_models_are_described_as_they_are(layers: object, model: type) -> None:
    described = describe(model())
    assert described == (layers or described)
    assert repr(build(described)) == repr(model())


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(2, 2, 3, dilation=2), nn.Conv2d(2, 2, (1, 3)), nn.MaxPool2d(3, stride=2), nn.Sigmoid()]
)
def test_what_has_no_words_is_refused(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match="no word"):
        describe(nn.Sequential(layer))


@pytest.mark.parametrize("name", IMAGES)
def test_shapes_are_those_of_the_network(name: str) -> None:
    workload = WORKLOADS[name]
    model = build(workload.layers)
    shapes = networks.parameter_shapes(workload.layers)
    assert [p.shape for p in model.parameters()] == shapes
    assert [a.shape for a in networks.parameter_arrays(workload.layers, np.random.default_rng(0))] == shapes
    x = np.zeros((2, *workload.shape), np.float32)
    assert model(x).shape == (2, *networks.output_shape(workload.layers, workload.shape)) == (2, workload.outputs)


def test_products_are_counted() -> None:
    assert networks.matmul_flops(cnn(), (28, 28, 1), 64) == 2 * 64 * (
        2 * 28 * 28 * 9 * 32 + 3 * 14 * 14 * 9 * 32 * 64 + 3 * 49 * 64 * 10
    )
    shortcut = (Convolution(4, 8, 1, 2, bias=False), BatchNorm(8))
    layers = (
        *(Convolution(1, 4, 3, padding=1), Residual((Convolution(4, 8, 3, 2, padding=1),), shortcut), RELU),
        *(Pool("max", 2), Flatten(), Linear(8, 3)),
    )
    products = 2 * 16 * 9 * 4 + 3 * (4 * 9 * 4 * 8 + 4 * 4 * 8) + 3 * 8 * 3
    assert networks.matmul_flops(layers, (4, 4, 1), 5) == 2 * 5 * products
    assert networks.other_flops(layers, (4, 4, 1), 5) > 0


def test_workloads_are_read_as_they_were_saved(tmp_path) -> None:
    workload = WORKLOADS["lenet5"]
    x, y, _ = make_rows("blobs", workload.rows, workload.shape, 10)
    save(workload, tmp_path / "rows.npz", (x, y))
    assert saved(str(tmp_path / "rows.npz")) == workload
    again = load(workload, str(tmp_path / "rows.npz"))
    np.testing.assert_array_equal(again[0], x)
    np.testing.assert_array_equal(again[1], y)
    assert [a.shape for a in again[2]] == networks.parameter_shapes(workload.layers)


def test_made_up_pictures_have_the_spectrum_of_natural_ones() -> None:
    x, y, _ = make_rows("pictures", 64, (32, 32, 3), 10)
    assert (x.shape, x.dtype, y.shape) == ((64, 32, 32, 3), np.float32, (64,))
    np.testing.assert_allclose(x.std((0, 1, 2)), 1.0, rtol=1e-3)
    power = (np.abs(np.fft.fft(x, axis=2)) ** 2).mean((0, 1, 3))
    assert power[1] > 4 * power[4] > 16 * power[15]
    assert np.corrcoef(x[..., 0].ravel(), x[..., 1].ravel())[0, 1] > 0.5
