"""Sections 5 to 7 of `docs/reference-article.md`: what backpropagation and some tricks do and do not do, measured."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import data, nn, optim
from chainrule.autodiff.backward import backward_plan, history

XOR = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
ODD = np.array([[0.0], [1.0], [1.0], [0.0]])


def norm(array):
    return float(np.linalg.norm(array))


def drawn(rng, rows, columns, gain=1.0):
    """Weights from N(0, gain / rows)."""
    return cr.tensor(rng.normal(size=(rows, columns)) * np.sqrt(gain / rows), requires_grad=True)


# ----------------------------------------------------------------------------------------------- history and properties


def test_reverse_accumulation_needs_no_neural_network():
    a = cr.tensor(np.array([2.0, 9.0, 30.0]), requires_grad=True)
    root = a * 0.5 + 0.5
    for _ in range(8):  # Heron's method: a program with a loop, not a network
        root = (root + a / root) * 0.5
    root.sum().backward()
    np.testing.assert_allclose(root.data, np.sqrt(a.data), rtol=1e-12)
    np.testing.assert_allclose(a.grad, 0.5 / np.sqrt(a.data), rtol=1e-9)


def sigmoid_stack(weights, x):
    for w in weights:
        x = (x @ w).sigmoid()
    return (x * x).mean()


def test_backpropagation_computes_vanishing_gradients_and_cures_none():
    rng = np.random.default_rng(0)
    x, weights = cr.tensor(rng.normal(size=(16, 8))), [drawn(rng, 8, 8) for _ in range(10)]
    loss = sigmoid_stack(weights, x)
    loss.backward()
    sizes = [norm(w.grad) for w in weights]
    assert sizes[0] < 1e-4 * sizes[-1]
    up, down, step = weights[0].data.copy(), weights[0].data.copy(), 1e-2
    direction = weights[0].grad / sizes[0]
    up, down = up + step * direction, down - step * direction
    ends = [float(sigmoid_stack([cr.tensor(w), *weights[1:]], x).data) for w in (up, down)]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(sizes[0], rel=1e-3)  # small, and exactly right
    start = weights[0].data.copy()
    for _ in range(20):
        layers = [cr.tensor(w.data, requires_grad=True) for w in weights]
        sigmoid_stack(layers, x).backward()
        weights = [cr.tensor(w.data - 0.1 * w.grad, requires_grad=True) for w in layers]
    assert norm(weights[0].data - start) < 1e-4 * norm(start), "the first layer has hardly moved"


def test_zero_training_loss_says_nothing_about_new_data():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(48, 20)).astype(np.float32), rng.integers(0, 2, 48)
    fresh, labels = rng.normal(size=(600, 20)).astype(np.float32), rng.integers(0, 2, 600)
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 2))
    trainer = cr.Trainer(model, loss=nn.CrossEntropyLoss(), optimizer=optim.Adam(lr=1e-2), seed=0, engine="reference")
    trainer.fit(x, y, epochs=150, batch_size=48)
    assert trainer.evaluate(x, y)["accuracy"] == 1.0
    assert trainer.evaluate(x, y)["loss"] < 0.02
    assert 0.4 < trainer.evaluate(fresh, labels)["accuracy"] < 0.6, "the labels were coin tosses"


def test_all_derivatives_cost_a_few_forward_passes():
    rng = np.random.default_rng(0)
    x, weights = cr.tensor(rng.normal(size=(128, 128))), [drawn(rng, 128, 128) for _ in range(4)]
    loss = sigmoid_stack(weights, x)

    def flops(node):
        count = node.op.flops
        return count(*(i.shape for i in node.inputs)) if callable(count) else count * node.output.size

    nodes = history(loss)
    forward = sum(flops(node) for node in nodes)
    # a gradient costs what its op does
    backward = sum(flops(step.node) for step in backward_plan(nodes, loss, weights))
    assert sum(w.size for w in weights) == 65_536  # by differences: 65,537 forward passes
    assert forward > 4 * 2 * 128**3
    assert backward < 2 * forward


def test_descent_may_stop_at_a_stationary_point():
    shapes = {"hidden": (2, 2), "hidden bias": (2,), "output": (2, 1), "output bias": (1,)}
    zero = {name: cr.tensor(np.zeros(shape), requires_grad=True) for name, shape in shapes.items()}
    hidden = (cr.tensor(XOR) @ zero["hidden"] + zero["hidden bias"]).sigmoid()
    error = (hidden @ zero["output"] + zero["output bias"]).sigmoid() - cr.tensor(ODD)
    loss = (error * error).mean()
    loss.backward()
    assert float(loss.data) == 0.25
    for name, tensor in zero.items():
        np.testing.assert_array_equal(tensor.grad, 0.0, err_msg=name)


def test_hidden_layers_are_for_what_no_line_separates():
    grid = np.linspace(-3.0, 3.0, 25)
    lines = np.stack([axis.ravel() for axis in np.meshgrid(grid, grid, grid)])  # every neuron w1, w2, b on a grid
    answers = XOR @ lines[:2] + lines[2] > 0
    assert (answers == (ODD > 0)).mean(axis=0).max() == 0.75, "XOR: one of four is always wrong"
    both = XOR.min(axis=1, keepdims=True) > 0
    assert (answers == both).mean(axis=0).max() == 1.0, "AND: a single neuron will do"
    w, b = cr.tensor(np.zeros((2, 1)), requires_grad=True), cr.tensor(np.zeros(1), requires_grad=True)
    loss = nn.BCEWithLogitsLoss()(cr.tensor(XOR) @ w + b, cr.tensor(ODD))
    loss.backward()
    assert float(loss.data) == pytest.approx(np.log(2.0))
    np.testing.assert_allclose(w.grad, 0.0, atol=1e-15, err_msg="the best a neuron can do is to answer ½ always")
    hidden = (cr.tensor(XOR) @ cr.tensor(np.full((2, 2), 20.0)) + cr.tensor(np.array([-10.0, -30.0]))).sigmoid()
    output = (hidden @ cr.tensor(np.array([[20.0], [-20.0]])) + cr.tensor(np.array([-10.0]))).sigmoid()
    np.testing.assert_allclose(output.data, ODD, atol=1e-3)  # OR and not AND


# ---------------------------------------------------------------------------------------------------- images and advice


def test_convolution_and_average_pooling_alone_are_one_linear_map():
    def answers(images, *between):
        cr.seed(0)
        layers = [nn.Conv2d(1, 8, 3, bias=False), *between, nn.AvgPool2d(2), nn.Conv2d(8, 4, 3, padding=1, bias=False)]
        return nn.Sequential(*layers, nn.AvgPool2d(3), nn.Flatten())(images.astype(np.float32)).data

    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 3, 8, 8, 1))
    mixed = 2.0 * one - 3.0 * other
    np.testing.assert_allclose(answers(mixed), 2.0 * answers(one) - 3.0 * answers(other), atol=1e-4)
    bent = answers(mixed, nn.ReLU()) - (2.0 * answers(one, nn.ReLU()) - 3.0 * answers(other, nn.ReLU()))
    assert np.abs(bent).max() > 0.05


def test_images_are_recognised_without_pooling():
    x, y = data.load_digits()
    cr.seed(0)
    convolutions = [nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1)]
    model = nn.Sequential(*convolutions, nn.ReLU(), nn.Flatten(), nn.Linear(2 * 2 * 32, 10))
    trainer = cr.Trainer(model, loss=nn.CrossEntropyLoss(), optimizer=optim.Adam(lr=3e-3), seed=0)
    trainer.fit(x[:1400], y[:1400], epochs=10, batch_size=32, verbose=0)
    assert trainer.evaluate(x[1400:], y[1400:])["accuracy"] > 0.9


def test_initial_weights_decide_whether_gradients_vanish():
    def rectified(size):
        return lambda h, w: (h @ cr.tensor(w * np.sqrt(2.0) * size)).relu()  # size 1: He's

    assert gradient_at_input(30, 64, rectified(0.5)) < 1e-8
    assert 0.1 < gradient_at_input(30, 64, rectified(1.0)) < 10
    assert gradient_at_input(30, 64, rectified(2.0)) > 1e8
    assert 0.1 < gradient_at_input(30, 64, lambda h, w: (h @ cr.tensor(w)).tanh()) < 10  # Xavier's


def test_clipping_bounds_the_step_where_gradients_explode():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 16)).astype(np.float32), rng.normal(size=(32, 16)).astype(np.float32)

    def moved(**clipping):
        layers = [nn.Linear(16, 16, bias=False) for _ in range(15)]
        for layer in layers:
            nn.init.normal(layer.weight, std=2.0 / 4.0, seed=rng)  # each layer doubles what goes through
        model = nn.Sequential(*layers)
        trainer = cr.Trainer(model, nn.MSELoss(), optim.SGD(lr=0.01), engine="reference", **clipping)
        before = [p.data.copy() for p in model.parameters()]
        trainer.step(x, y)
        return np.sqrt(sum(norm(p.data - old) ** 2 for p, old in zip(model.parameters(), before, strict=True)))

    assert moved() > 1e5
    assert moved(clip_norm=1.0) == pytest.approx(0.01, rel=1e-3)


def test_relu_passes_gradients_where_positive_and_stops_them_where_negative():
    x = cr.tensor(np.array([-3.0, -0.1, 0.1, 3.0]), requires_grad=True)
    deep = x
    for _ in range(30):
        deep = deep.relu()
    deep.sum().backward()
    np.testing.assert_array_equal(x.grad, [0.0, 0.0, 1.0, 1.0])  # a dead unit gets nothing to recover with
    s = cr.tensor(np.linspace(-5.0, 5.0, 101), requires_grad=True)
    s.sigmoid().sum().backward()
    assert s.grad.max() == pytest.approx(0.25)
    assert 0.25**30 < 1e-18


def gradient_at_input(depth, width, layer, seed=0):
    """|dL/d input| over |dL/d output| of `depth` layers h -> layer(h, w), L = Σ h·random."""
    rng = np.random.default_rng(seed)
    x = cr.tensor(rng.normal(size=(64, width)), requires_grad=True)
    h = x
    for _ in range(depth):
        h = layer(h, rng.normal(size=(width, width)) / np.sqrt(width))
    outward = rng.normal(size=(64, width))
    (h * cr.tensor(outward)).sum().backward()
    return norm(x.grad) / norm(outward)


def test_residual_connections_prevent_vanishing_but_not_explosion():
    def plain(h, w):
        return (h @ cr.tensor(w)).sigmoid()

    def residual(h, w):
        return h + (h @ cr.tensor(w)).sigmoid()

    def residual_relu(h, w):
        return h + (h @ cr.tensor(w * np.sqrt(2.0))).relu()

    assert gradient_at_input(30, 32, plain) < 1e-15
    assert gradient_at_input(30, 32, residual) > 0.5
    sizes = [gradient_at_input(depth, 32, residual_relu) for depth in (10, 20, 30)]
    assert sizes[0] > 10
    assert sizes[1] / sizes[0] > 10
    assert sizes[2] / sizes[1] > 10


def test_batch_normalization_makes_gradients_explode_with_depth():
    def rectified(h, w):
        return (h @ cr.tensor(w * np.sqrt(2.0))).relu()  # He's initialization

    def normalized(h, w):
        z = h @ cr.tensor(w)
        centred = z - z.mean(axis=0, keepdims=True)
        return (centred / ((centred * centred).mean(axis=0, keepdims=True) + 1e-5).sqrt()).relu()

    assert 0.1 < gradient_at_input(45, 64, rectified) < 10
    sizes = [gradient_at_input(depth, 64, normalized) for depth in (15, 30, 45)]
    assert sizes[1] / sizes[0] > 10
    assert sizes[2] / sizes[1] > 10
    loud = [gradient_at_input(15, 64, lambda h, w, s=s: normalized(h, s * w)) for s in (1.0, 100.0)]
    assert loud[1] == pytest.approx(loud[0], rel=0.02), "what it does give: the scale of the weights does not matter"


def test_multi_label_needs_a_binary_cross_entropy_for_each_label():
    present = np.array([[1.0, 1.0, 0.0]])  # two labels at once
    logits = cr.tensor(np.array([[20.0, 20.0, -20.0]]))
    assert float(nn.BCEWithLogitsLoss()(logits, cr.tensor(present)).data) < 1e-6
    shared = -np.sum(present * logits.log_softmax().data)
    assert shared == pytest.approx(2 * np.log(2.0)), "a softmax must share one unit of probability: ½ each at best"


def test_too_large_a_rate_diverges():
    curvature, ends = 4.0, {}
    for lr in (0.49, 0.51):  # the limit is 2 / curvature = 0.5
        w = cr.tensor(np.array([1.0]), requires_grad=True)
        for _ in range(200):
            (0.5 * curvature * w * w).sum().backward()
            w = cr.tensor(w.data - lr * w.grad, requires_grad=True)
        ends[lr] = abs(float(w.data[0]))
    assert ends[0.49] < 0.02
    assert ends[0.51] > 50


def test_decay_settles_in_the_nearest_minimum():
    def runs(rate):  # 300 noisy descents on a shallow well at 0.96 beside a deep one at -1.04
        rng, w = np.random.default_rng(0), np.full(300, 0.96)
        for step in range(300):
            t = cr.tensor(w, requires_grad=True)
            well = t * t - 1.0
            (well * well + 0.3 * t).sum().backward()
            w = w - rate(step) * (t.grad + 4.0 * rng.normal(size=w.size))
        return w

    early, held = runs(lambda step: 0.05 * 0.9**step), runs(lambda step: 0.05 * 0.9 ** max(0, step - 250))
    assert np.mean(early < 0) < 0.05
    assert np.mean(held < 0) > 0.5


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("lr", [1e-3, 1e-1])
def test_adam_steps_by_the_rate_it_is_given(size, lr):
    model = nn.Sequential(nn.Linear(3, 1))

    def steep(output, target, weight=None):
        return (output - target).sum() * size

    trainer = cr.Trainer(model, loss=steep, optimizer=optim.Adam(lr=lr), seed=0, engine="reference")
    before = model.named_parameters()["0.weight"].data.copy()
    trainer.step(np.array([[1.0, -2.0, 0.5]], dtype=np.float32), np.zeros((1, 1), dtype=np.float32))
    moved = model.named_parameters()["0.weight"].data - before
    np.testing.assert_allclose(moved.ravel(), lr * np.array([-1.0, 1.0, -1.0]), rtol=1e-3)
