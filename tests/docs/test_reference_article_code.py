"""Sections 2 to 4 of `docs/reference-article.md`: the worked example, the code and the printed losses, run."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn

# The listing of section 5.2, without comments and without the lines that start it.
LISTING = """
import numpy as np

def sigmoid(x):
    return 1 / (1 + np.exp(-x))

def forward(x, W1, W2, b):
    z1 = x[0] * W1 + x[1] * W2 + b
    a1 = sigmoid(z1)
    z2 = a1 * W1 + a2 * W2 + b
    a2 = sigmoid(z2)
    return a2

def backward(y, a2, z2, z1, W1, W2, b):
    delta_2 = (y - a2) * sigmoid(a2) * (1 - sigmoid(a2))
    delta_1 = (y - a1) * sigmoid(a1) * (1 - sigmoid(a1))
    dW1 = (delta_2 * z1).mean()
    dW2 = (delta_2 * z2).mean()
    db = (delta_2 * 1).mean()
    return dW1, dW2, db

def train(x, y, W1, W2, b, learning_rate, epochs):
    for epoch in range(epochs):
        a2 = forward(x, W1, W2, b)
        dW1, dW2, db = backward(y, a2, z2, z1, W1, W2, b)
        W1 -= dW1 * learning_rate
        W2 -= dW2 * learning_rate
        b -= db * learning_rate
        if epoch % 100 == 0:
            print(f"Epoch {epoch}: Loss = {MSE(y, a2)}")
"""
# The fewest changes that make it run: each mends one name, none mends the mathematics.
REPAIRS = [
    ("z2 = a1 * W1 + a2 * W2 + b", "z2 = a1 * W1 + b"),
    ("return a2\n", "return a2, z2, z1, a1\n"),
    ("a2 = forward(x, W1, W2, b)", "a2, z2, z1, a1 = forward(x, W1, W2, b)"),
    ("backward(y, a2, z2, z1, W1, W2, b)", "backward(y, a2, z2, z1, W1, W2, b, a1)"),
]
PRINTED = [0.693147, 0.642397, 0.616497, 0.591039, 0.567402, 0.546099, 0.527194, 0.509822, 0.494086, 0.478827, 0.464972]
SAMPLES = np.array([[1.0, 0.0], [0.0, 1.0]])
CLAIMED = np.array([0.5, 0.5, 0.0])


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def load(*repairs, **names):
    """The functions of the listing after some repairs, with extra global names."""
    text = LISTING
    for old, new in repairs:
        assert old in text
        text = text.replace(old, new)
    namespace = dict(names)
    exec(compile(text, "listing", "exec"), namespace)
    return namespace


def repaired(**names):
    return load(*REPAIRS, MSE=lambda y, a: np.mean((y - a) ** 2), **names)


def arguments(seed=0):
    """What the listing starts with: one sample, random weights in [0, 1)."""
    w1, w2, b = np.random.default_rng(seed).random((3, 1))
    return {"x": np.array([1, 0]), "y": np.array([0]), "W1": w1, "W2": w2, "b": b}


def losses_of(output):
    return [float(line.rsplit("=", 1)[1]) for line in output.splitlines()]


def neuron_gradient(parameters, x, y, loss):
    """(dL/dw1, dL/dw2, dL/db) and L of the neuron, by `Tensor.backward`."""
    w = cr.tensor(parameters[:2].reshape(2, 1), requires_grad=True)
    b = cr.tensor(parameters[2:], requires_grad=True)
    logits, target = cr.tensor(x) @ w + b, cr.tensor(y.reshape(-1, 1))
    value = loss(logits, target)
    value.backward()
    return np.append(w.grad.ravel(), b.grad), float(value.data)


def squared(logits, target):
    error = logits.sigmoid() - target
    return (error * error).mean()


def descend(start, labels, steps, lr=0.5, loss=squared, one_by_one=False):
    parameters = np.array(start, dtype=float)
    for step in range(steps):
        batch = [step % 2] if one_by_one else [0, 1]
        parameters = parameters - lr * neuron_gradient(parameters, SAMPLES[batch], np.array(labels)[batch], loss)[0]
    return parameters


# ------------------------------------------------------------------------------------------------- the worked example


@pytest.mark.parametrize("labels", [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.3, 0.9)])
@pytest.mark.parametrize("loss", [squared, nn.BCEWithLogitsLoss()], ids=["mean square", "cross-entropy"])
@pytest.mark.parametrize("one_by_one", [False, True], ids=["batch", "one by one"])
def test_claimed_result_is_unreachable_for_any_labels(labels, loss, one_by_one):
    for steps in (1, 40):
        w1, w2, b = descend([1.0, 1.0, 0.0], labels, steps, loss=loss, one_by_one=one_by_one)
        assert b - (w1 + w2) == pytest.approx(-2.0, abs=1e-12)
        assert np.abs(np.array([w1, w2, b]) - CLAIMED).max() > 0.3  # the plane b = w1 + w2 - 2 stays ⅓ away
    assert CLAIMED[2] - CLAIMED[0] - CLAIMED[1] == -1.0


def test_claimed_weights_cannot_tell_the_samples_apart():
    logits = cr.tensor(SAMPLES) @ cr.tensor(CLAIMED[:2].reshape(2, 1)) + cr.tensor(CLAIMED[2:])
    first, second = logits.sigmoid().data.ravel()
    assert first == second == pytest.approx(0.6225, abs=5e-5)


def test_what_the_claimed_result_would_need():
    label = float(sigmoid(0.5))
    gradient, value = neuron_gradient(CLAIMED, SAMPLES, np.full(2, label), squared)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-15)
    assert value == pytest.approx(0.0, abs=1e-15)
    for labels in ([0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]):  # with classes it is not even a stationary point
        assert np.abs(neuron_gradient(CLAIMED, SAMPLES, np.array(labels), squared)[0]).max() > 0.05
    np.testing.assert_allclose(descend([1.0, 1.0, 1.0], [label, label], 500), CLAIMED, atol=1e-4)
    np.testing.assert_allclose(descend([1.0, 1.0, 0.0], [label, label], 500), [5 / 6, 5 / 6, -1 / 3], atol=1e-4)


def test_separable_labels_have_no_finite_optimum():
    sizes, values = [], []
    parameters = np.array([1.0, 1.0, 0.0])
    for steps in (100, 200, 400, 800):
        parameters = descend(parameters, [1.0, 0.0], steps, lr=2.0)
        sizes.append(np.abs(parameters).max())
        values.append(neuron_gradient(parameters, SAMPLES, np.array([1.0, 0.0]), squared)[1])
    assert np.all(np.diff(sizes) > 0.1)
    assert np.all(np.diff(values) < 0)
    assert values[-1] > 0


def test_single_layer_gradient_is_the_delta_rule():
    parameters, y = np.array([0.7, -0.4, 0.1]), np.array([1.0, 0.0])
    prediction = sigmoid(SAMPLES @ parameters[:2] + parameters[2])
    delta = (prediction - y) * prediction * (1 - prediction)  # local to the unit: no other layer's weights enter
    expected = np.append(SAMPLES.T @ delta, delta.sum())
    np.testing.assert_allclose(neuron_gradient(parameters, SAMPLES, y, squared)[0], expected, rtol=1e-12)


# --------------------------------------------------------------------------------------------------------- the code


def test_code_as_printed_raises_unbound_local_error():
    with pytest.raises(UnboundLocalError, match="a2"):
        load()["train"](**arguments(), learning_rate=0.1, epochs=1000)


def test_each_repair_uncovers_the_next_missing_name():
    for count, missing in ((1, "z2"), (3, "a1"), (4, "MSE")):
        with pytest.raises(NameError, match=f"'{missing}' is not defined"):
            load(*REPAIRS[:count])["train"](**arguments(), learning_rate=0.1, epochs=1)
    inside = ("return dW1, dW2, db", "return dW1 * learning_rate, dW2 * learning_rate, db * learning_rate")  # as in 4.4
    with pytest.raises(NameError, match="'learning_rate' is not defined"):
        load(*REPAIRS, inside)["train"](**arguments(), learning_rate=0.1, epochs=1)


def test_delta_applies_the_sigmoid_twice():
    z = cr.tensor(np.array([-20.0, -2.0, 0.0, 2.0, 20.0]), requires_grad=True)
    a = z.sigmoid()
    a.sum().backward()
    np.testing.assert_allclose(z.grad, a.data * (1 - a.data), rtol=1e-9)
    article = sigmoid(a.data) * (1 - sigmoid(a.data))
    assert article.min() > 0.196
    assert article.max() <= 0.25
    assert z.grad[[0, -1]].max() < 1e-8, "the true slope of a saturated unit is 0"


def test_hidden_delta_compares_with_the_target_and_is_never_used():
    code = load(*REPAIRS)["backward"].__code__
    assert "delta_1" in code.co_varnames
    without = load(*REPAIRS, ("    delta_1 = (y - a1) * sigmoid(a1) * (1 - sigmoid(a1))\n", ""))
    same = {
        "y": np.array([0.0]),
        "a2": np.array([0.7]),
        "z2": 0.8,
        "z1": 0.9,
        "W1": 0.2,
        "W2": 0.3,
        "b": 0.4,
        "a1": 0.6,
    }
    assert load(*REPAIRS)["backward"](**same) == without["backward"](**same)
    w, v = cr.tensor([[0.4]], requires_grad=True), cr.tensor([[1.5]])
    hidden = (cr.tensor([[2.0]]) @ w).sigmoid()
    prediction = (hidden @ v).sigmoid()
    (prediction * prediction).sum().backward()  # y = 0
    a1, a2 = float(hidden.data[0, 0]), float(prediction.data[0, 0])
    true = 2 * a2 * a2 * (1 - a2) * 1.5 * a1 * (1 - a1)
    assert float(w.grad[0, 0]) == pytest.approx(true * 2.0, rel=1e-5)
    assert abs((0 - a1) * sigmoid(a1) * (1 - sigmoid(a1)) - true) > 0.1


def test_weight_gradient_multiplies_by_a_pre_activation():
    w1, w2, b = (np.array([value]) for value in (0.3, 0.6, 0.2))
    code = repaired()
    a2, z2, z1, a1 = code["forward"](np.array([1, 0]), w1, w2, b)
    dw1, dw2, db = code["backward"](np.array([0]), a2, z2, z1, w1, w2, b, a1)
    assert dw1 / db == pytest.approx(z1[0])
    assert dw2 / db == pytest.approx(z2[0])
    weights, bias = cr.tensor([[0.3], [0.6]], requires_grad=True), cr.tensor([0.2], requires_grad=True)
    (cr.tensor([[1.0, 0.0]]) @ weights + bias).sigmoid().sum().backward()
    np.testing.assert_allclose(weights.grad.ravel() / bias.grad, [1.0, 0.0], rtol=1e-6)  # x, not z


def test_code_climbs_the_loss(capsys):
    for seed in range(5):
        repaired()["train"](**arguments(seed), learning_rate=0.1, epochs=1000)
        losses = losses_of(capsys.readouterr().out)
        assert losses[1] > losses[0]
        assert np.all(np.diff(losses) >= 0)
        assert losses[-1] > 0.999, "it maximizes the loss: the answer is as wrong as it can be"
    start = np.array([0.5, 0.5, 0.5])
    gradient, before = neuron_gradient(start, SAMPLES[:1], np.array([0.0]), squared)
    assert neuron_gradient(start - 0.1 * gradient, SAMPLES[:1], np.array([0.0]), squared)[1] < before


def test_shared_weights_have_two_gradients():
    w, first, second = (cr.tensor([[0.8]], requires_grad=True) for _ in range(3))
    x = cr.tensor([[1.0]])
    ((x @ w).sigmoid() @ w).sigmoid().sum().backward()
    ((x @ first).sigmoid() @ second).sigmoid().sum().backward()
    np.testing.assert_allclose(w.grad, first.grad + second.grad, rtol=1e-6)
    assert abs(float(first.grad[0, 0])) > 0.02


def test_one_sample_teaches_a_constant():
    gradient, _ = neuron_gradient(np.array([0.5, 0.5, 0.5]), SAMPLES[:1], np.array([0.0]), squared)
    assert gradient[0] != 0
    assert gradient[1] == 0, "x2 = 0: w2 is never trained"
    parameters = np.array([0.5, 0.5, 0.5])
    for _ in range(2000):
        parameters = parameters - 0.5 * neuron_gradient(parameters, SAMPLES[:1], np.array([0.0]), squared)[0]
    w1, w2, b = parameters
    assert parameters[1] == 0.5
    assert sigmoid(w1 + b) < 0.05
    assert sigmoid(w2 + b) < 0.5, "the unseen second sample is called class 0 as well"


# -------------------------------------------------------------------------------------------------- the printed losses


def test_loop_prints_ten_lines_not_eleven(capsys):
    repaired()["train"](**arguments(), learning_rate=0.1, epochs=1000)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10 == len(PRINTED) - 1
    assert lines[-1].startswith("Epoch 900:")


def test_first_printed_loss_is_ln_2_not_a_mean_square():
    undecided = cr.tensor([[0.0]])
    for label in (0.0, 1.0):
        target = cr.tensor([[label]])
        assert round(float(nn.BCEWithLogitsLoss()(undecided, target).data), 6) == PRINTED[0] == round(np.log(2), 6)
        assert float(nn.MSELoss()(undecided.sigmoid(), target).data) == 0.25
    assert np.sqrt(PRINTED[0]) == pytest.approx(0.832555, abs=1e-6)  # what a mean square would need


def losses_of_hidden_unit(w, b, v, c, loss, steps=100, lr=0.1):
    """Losses of x = 1, y = 0 through `z1 = w + b`, `z2 = v·σ(z1) + c`, trained correctly, many starts at once."""
    values = [np.array(a, dtype=float) for a in (w, b, v, c)]
    history = []
    for _ in range(steps + 1):
        w, b, v, c = (cr.tensor(value, requires_grad=True) for value in values)
        prediction = (v * (w + b).sigmoid() + c).sigmoid()
        each = prediction * prediction if loss == "mean square" else -(1.0 - prediction).log()
        each.sum().backward()  # the starts do not touch each other: a sum gives each its own gradient
        history.append(each.data.copy())
        values = [t.data - lr * t.grad for t in (w, b, v, c)]
    return history


@pytest.mark.parametrize("loss", ["mean square", "cross-entropy"])
def test_printed_losses_fit_no_start(loss):
    goal = np.sqrt(PRINTED[0]) if loss == "mean square" else 1 - np.exp(-PRINTED[0])
    w, b, v = (axis.ravel() for axis in np.meshgrid(*[np.linspace(0.0, 1.0, 6)] * 3))
    c = np.log(goal / (1 - goal)) - v * sigmoid(w + b)  # so that training starts at the first printed loss
    history = losses_of_hidden_unit(w, b, v, c, loss)
    np.testing.assert_allclose(history[0], PRINTED[0], atol=1e-6)
    assert history[100].max() < 0.12 < PRINTED[1]
    alone = losses_of_hidden_unit(*np.zeros((3, 1)), [np.log(goal / (1 - goal))], loss)  # v = 0 and then v·a: a neuron
    assert alone[100].max() < 0.12


def test_listing_does_not_round_what_it_prints(capsys):
    repaired()["train"](**arguments(), learning_rate=0.1, epochs=1)
    digits = capsys.readouterr().out.split("=")[1].strip()
    assert len(digits) > len("0.693147")
    assert f"{np.log(2.0)}" == "0.6931471805599453"
    assert f"{(np.array([0]) - np.array([0.5])) ** 2}" == "[0.25]"


def test_last_printed_loss_is_no_agreement():
    assert 1 - np.exp(-PRINTED[-1]) == pytest.approx(0.37, abs=0.005)
    assert np.sqrt(PRINTED[-1]) == pytest.approx(0.68, abs=0.005)
    assert PRINTED[-2] - PRINTED[-1] > 0.01, "and the loss is still falling"
