"""Modules: paths, state, modes, errors that name the layer."""

import copy
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.autodiff.tape import tracing
from chainrule.autodiff.tensor import symbol
from chainrule.errors import DataError, DtypeError, ShapeError
from chainrule.nn.module import watching


class Gate(nn.Module):
    """A custom layer: parameters, layers in a list and in a dict, one shared."""

    def __init__(self, features=3):
        self.scale = nn.Parameter(np.ones(features, np.float32))
        self.steps = [nn.Linear(features, features), nn.Tanh(), nn.Linear(features, features)]
        self.heads = {"left": nn.Linear(features, 2, bias=False), "again": self.steps[0]}
        self.size = features

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return self.heads["left"](x * self.scale)


NAMES = ["scale", "steps.0.weight", "steps.0.bias", "steps.2.weight", "steps.2.bias", "heads.left.weight"]


def test_paths_are_ordered_and_shared_parameters_come_once():
    gate = Gate()
    assert list(gate.named_parameters()) == NAMES
    assert [p.shape for p in gate.parameters()] == [(3,), (3, 3), (3,), (3, 3), (3,), (3, 2)]
    assert list(gate.named_modules()) == ["", "steps.0", "steps.1", "steps.2", "heads.left"]


def test_sequential_paths():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Residual(nn.Sequential(nn.Linear(3, 3))))
    assert list(model.named_parameters()) == ["0.weight", "0.bias", "2.body.0.weight", "2.body.0.bias"]
    assert (len(model), model[1], list(model)[1]) == (3, model.layers[1], model.layers[1])


def test_forward_on_arrays_takes_the_parameters_dtype():
    gate = Gate()
    assert gate(np.zeros((2, 3))).dtype == np.float32
    assert gate.astype(np.float64)(np.zeros((2, 3), np.float32)).dtype == np.float64
    assert {p.dtype for p in gate.parameters()} == {np.dtype(np.float64)}
    with pytest.raises(DtypeError, match="float32 or float64"):
        gate.astype(np.int64)


def test_gradients_reach_every_parameter():
    gate = Gate()
    gate(np.ones((2, 3))).sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in gate.parameters())
    gate.zero_grad()
    assert all(p.grad is None for p in gate.parameters())


def test_modes():
    model = nn.Sequential(nn.Dropout(0.5), nn.Residual(nn.Dropout(0.5)))
    assert model.training
    assert model.eval() is model
    assert [m.training for m in model.named_modules().values()] == [False] * 4
    x = cr.tensor(np.ones((2, 3), np.float32))
    assert model(x).data.tolist() == [[2.0] * 3] * 2
    assert all(m.training for m in model.train().named_modules().values())


def test_state_is_a_copy_and_comes_back():
    gate, other = Gate(), Gate()
    state = gate.state_dict()
    assert list(state) == NAMES
    state["scale"][:] = 7.0
    assert gate.scale.data[0] == 1.0
    kept = other.scale.data
    other.load_state_dict(state)
    assert other.scale.data is kept
    assert kept.tolist() == [7.0] * 3
    np.testing.assert_array_equal(other.steps[0].weight.data, gate.steps[0].weight.data)


def test_state_that_does_not_fit_changes_nothing():
    gate = Gate()
    state = {**Gate().state_dict(), "extra": np.zeros(1)}
    del state["scale"]
    before = gate.state_dict()
    with pytest.raises(DataError, match="missing are scale; unexpected are extra"):
        gate.load_state_dict(state)
    wrong = {**Gate().state_dict(), "heads.left.weight": np.zeros((2, 3))}
    with pytest.raises(ShapeError, match=r"heads.left.weight has shape \(2, 3\), this model's is \(3, 2\)"):
        gate.load_state_dict(wrong)
    for name, array in gate.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    gate.load_state_dict(state, strict=False)
    np.testing.assert_array_equal(gate.steps[0].weight.data, state["steps.0.weight"])


def test_shape_errors_name_the_layer():
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Residual(nn.Sequential(nn.Linear(30, 32))))
    with pytest.raises(
        ShapeError, match=r'^linear "0.weight": x has 30 features, the weight expects 64: pass x with 64'
    ):
        model(np.zeros((5, 30)))
    with pytest.raises(ShapeError, match=r'^linear "2.body.0.weight": x has 32'):
        model(np.zeros((5, 64)))
    gate = Gate()
    gate.steps[2] = nn.Linear(5, 3)
    with tracing(), pytest.raises(ShapeError, match=r'^linear "steps.2.weight"'):
        gate(symbol((2, 3)))
    with pytest.raises(ShapeError, match=r'^linear "weight"'):
        nn.Linear(3, 2)(np.zeros((2, 4)))
    with pytest.raises(ShapeError, match=r'^flatten "0"'):
        nn.Sequential(nn.Flatten())(np.zeros(3))


def test_a_custom_layer_s_own_shape_error_is_located_too():
    class Fussy(nn.Module):
        def forward(self, x):
            raise ShapeError("fussy: never right")

    with pytest.raises(ShapeError, match=r'^fussy "1": never right$'):
        nn.Sequential(nn.ReLU(), Fussy())(np.zeros(3))


def test_a_layer_needs_forward():
    with pytest.raises(DtypeError, match="forward"):
        nn.Module()(np.zeros(3))


def test_several_inputs_and_results():
    class Both(nn.Module):
        def forward(self, x, y):
            return x + y, x - y

    total, difference = Both()(np.ones(2), np.zeros(2))
    assert total.data.tolist() == difference.data.tolist() == [1.0, 1.0]


def test_repr_is_a_tree():
    model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Residual(nn.Sequential(nn.Dropout(0.1))))
    assert repr(model) == (
        "Sequential(\n"
        "  0: Linear(in_features=4, out_features=3, bias=False)\n"
        "  1: Residual(\n"
        "    body: Sequential(\n"
        "      0: Dropout(p=0.1)\n"
        "    )\n"
        "  )\n"
        ")"
    )


def test_copies_and_pickles():
    gate = Gate()
    for twin in (copy.deepcopy(gate), pickle.loads(pickle.dumps(gate))):
        assert twin.heads["again"] is twin.steps[0]
        twin.scale.data[0] = 5.0
        assert gate.scale.data[0] == 1.0
        np.testing.assert_array_equal(twin.steps[0].weight.data, gate.steps[0].weight.data)


def test_watching_sees_inner_before_outer():
    model, seen = nn.Sequential(nn.Linear(3, 2), nn.ReLU()), []
    with watching(lambda module, output: seen.append((type(module).__name__, output.shape))):
        model(np.zeros((4, 3)))
    model(np.zeros((4, 3)))
    assert seen == [("Linear", (4, 2)), ("ReLU", (4, 2)), ("Sequential", (4, 2))]


def test_summary():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Residual(nn.Sequential(nn.Linear(5, 5), nn.Dropout(0.5))))
    assert [tuple(row) for row in nn.summary(model, (7, 3, 4))] == [
        ("0", "Flatten", (7, 12), 0),
        ("1", "Linear", (7, 5), 65),
        ("2.body.0", "Linear", (7, 5), 30),
        ("2.body.1", "Dropout", (7, 5), 0),
    ]
    rows = nn.summary(Gate(), (1, 3))
    assert [(row.name, row.parameters) for row in rows] == [
        ("", 3), ("steps.0", 12), ("steps.1", 0), ("steps.2", 12), ("heads.left", 6)
    ]  # fmt: skip
    assert sum(row.parameters for row in rows) == sum(p.size for p in Gate().parameters())
    with pytest.raises(ShapeError, match=r'"1\.weight"'):
        nn.summary(model, (7, 13))
