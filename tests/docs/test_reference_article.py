"""The page `docs/reference-article.md`: its references, and each mistake of section 1 (formulas) shown with numbers."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "reference-article.md").read_text(encoding="utf-8")
# input, hidden 1, hidden 2, output, loss, backward, update, repeat
FIGURE = "A-->B B-->C C-->D D-->E E-->F F-->G G-->H H-->B"


@pytest.fixture
def case():
    """A 2-3-1 network of sigmoid units in float64: parameters WH, bH, WO, bO, inputs and targets."""
    rng = np.random.default_rng(7)
    shapes = {"WH": (2, 3), "bH": (3,), "WO": (3, 1), "bO": (1,)}
    return (
        {name: 2 * rng.normal(size=shape) for name, shape in shapes.items()},
        rng.normal(size=(5, 2)),
        rng.random((5, 1)),
    )


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def predict(p, x):
    """ŷ of the network, in NumPy: independent of chainrule."""
    return sigmoid(sigmoid(x @ p["WH"] + p["bH"]) @ p["WO"] + p["bO"])


def mean_square(p, x, y):
    return np.mean((y - predict(p, x)) ** 2)


def derivative(function, p, name, step=1e-6):
    """d function / d p[name] by central differences; the axes of the function's value come first."""
    slopes = []
    for i in np.ndindex(p[name].shape):
        shift = np.zeros_like(p[name])
        shift[i] = step
        slopes.append((function({**p, name: p[name] + shift}) - function({**p, name: p[name] - shift})) / (2 * step))
    return np.moveaxis(np.array(slopes), 0, -1).reshape(np.shape(slopes[0]) + p[name].shape)


def gradients(p, x, y):
    """dMSE/d parameter by `Tensor.backward`."""
    t = {name: cr.tensor(value, requires_grad=True) for name, value in p.items()}
    prediction = ((cr.tensor(x) @ t["WH"] + t["bH"]).sigmoid() @ t["WO"] + t["bO"]).sigmoid()
    error = cr.tensor(y) - prediction
    (error * error).mean().backward()
    return {name: tensor.grad for name, tensor in t.items()}


def article_gradient(p, x, y, name, extra=1.0):
    """(1/n) Σ (yᵢ − ŷᵢ) · ∂ŷᵢ/∂θ [· extra]: the article's formula, with ∂ŷᵢ/∂θ by differences."""
    slopes = derivative(lambda q: predict(q, x)[:, 0], p, name)
    error = (y - predict(p, x)).reshape(-1, *[1] * p[name].ndim)
    return np.mean(error * slopes * extra, axis=0)


def hidden_slopes(p, x):
    """∂ŷᵢ/∂zH of the single output: (samples, hidden units)."""
    a, prediction = sigmoid(x @ p["WH"] + p["bH"]), predict(p, x)
    return prediction * (1 - prediction) * p["WO"].T * a * (1 - a)


# ---------------------------------------------------------------------------------------------------------- the page


def test_every_test_named_on_the_page_exists_and_every_test_is_named():
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in HERE.glob("test_reference_article*.py")]
    written = {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}
    written = {name for name in written if name.startswith("test_")}
    assert named - written == set()
    assert written - named == {"test_every_test_named_on_the_page_exists_and_every_test_is_named"}


def test_every_source_is_listed_in_full():
    body, _, listing = PAGE.partition("## Sources")
    sources = dict(re.findall(r"^(\d+)\. (.+)$", listing, flags=re.M))
    assert {int(n) for n in re.findall(r"\[(\d+)\]", body)} == set(range(1, len(sources) + 1))
    for number, text in sources.items():
        assert re.search(r"\b(19|20)\d\d\b", text), f"source {number} has no year"
        assert re.search(r'"[^"]+"|\*[^*]+\*|『[^』]+』|Foundation', text), f"source {number} has no title"
        for isbn in re.findall(r"ISBN ([\d-]+)", text):
            digits = [int(digit) for digit in isbn if digit.isdigit()]
            assert sum(digit * (1, 3)[i % 2] for i, digit in enumerate(digits)) % 10 == 0, f"source {number}: {isbn}"
        for doi in re.findall(r"doi:(\S+)", text):
            assert re.fullmatch(r"10\.\d{4}/\S*[\w]", doi), f"source {number}: {doi}"
    assert "Learning representations by back-propagating errors" in sources["1"]
    assert "323, 533-536, 1986" in sources["1"]
    for invented in (
        "Linearly Separable Problems",
        "Improving Backpropagation Performance",
        "Real-Time Adaptive Control",
    ):
        assert invented in body
        assert invented not in listing


# ------------------------------------------------------------------------------------------------- words and figure


def test_a_neuron_has_many_inputs_and_one_output():
    w, b = cr.tensor([[0.5], [-1.0], [2.0]]), cr.tensor([0.25])
    output = (cr.tensor([[1.0, 2.0, 3.0]]) @ w + b).sigmoid()
    assert output.shape == (1, 1)
    assert float(output.data[0, 0]) == pytest.approx(sigmoid(0.5 - 2.0 + 6.0 + 0.25))


def test_backward_changes_no_weight():
    x, y = np.eye(2, dtype=np.float32), np.array([[1.0], [0.0]], dtype=np.float32)
    model = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
    trainer = cr.Trainer(model, loss=nn.MSELoss(), optimizer=optim.SGD(lr=0.5), engine="reference")
    before = {name: p.data.copy() for name, p in model.named_parameters().items()}
    found = trainer.gradients(x, y)
    assert any(np.any(g != 0) for g in found.values())
    for name, p in model.named_parameters().items():
        np.testing.assert_array_equal(p.data, before[name])
    trainer.step(x, y)  # the optimizer's part
    assert any(np.any(p.data != before[name]) for name, p in model.named_parameters().items())


def test_figure_never_reads_a_second_batch_nor_any_target(case):
    arrows = [tuple(arrow.split("-->")) for arrow in FIGURE.split()]
    assert all(head != "A" for _, head in arrows), "nothing leads back to the input"
    assert [tail for tail, head in arrows if head == "E"] == ["D"], "the loss is reached by the output alone"
    p, x, y = case
    assert mean_square(p, x, y) != mean_square(p, x, 1 - y), "yet the loss depends on the targets"
    other = gradients(p, x[::-1] * 2, y)
    assert any(np.abs(gradients(p, x, y)[name] - other[name]).max() > 1e-3 for name in p), "and on the batch"


# ---------------------------------------------------------------------------------------------------------- formulas


def test_forward_formula_is_a_product_that_ignores_the_input(case):
    p, x, _ = case
    layers = [cr.tensor(np.array([w]), requires_grad=True) for w in (0.3, -0.2, 0.9)]
    inputs = cr.tensor(x, requires_grad=True)
    product = layers[0].sigmoid() * layers[1].sigmoid() * layers[2].sigmoid()  # σ(WL+bL)·σ(WH+bH)·σ(WO+bO)
    product.sum().backward()
    assert inputs.grad is None, "no path leads from the product to the input"
    assert product.shape == (1,), "one number, however many samples there are"
    assert float(product.data[0]) < min(float(layer.sigmoid().data[0]) for layer in layers), (
        "each factor only shrinks it"
    )
    assert np.ptp(predict(p, x)) > 0.01, "the composition tells samples apart"


def test_cross_entropy_formula_lacks_the_other_class():
    y, logits = np.array([[0.0], [0.0], [1.0]]), np.array([[4.0], [-1.0], [2.0]])
    chance = sigmoid(logits)
    article = -y * np.log(chance)
    assert np.all(article[:2] == 0), "class 0 costs nothing, though ŷ = 0.98 for the first sample"
    whole = article - (1 - y) * np.log(1 - chance)
    ours = nn.BCEWithLogitsLoss()(cr.tensor(logits), cr.tensor(y))
    assert float(ours.data) == pytest.approx(whole.mean())
    guess = cr.tensor(logits, requires_grad=True)
    (-(cr.tensor(y) * guess.sigmoid().log())).mean().backward()
    assert np.all(guess.grad <= 0), "every step raises every prediction: ŷ = 1 everywhere is the article's optimum"
    assert np.all(guess.grad[:2] == 0)


def test_cross_entropy_formula_lacks_the_sum_over_classes():
    labels, logits = np.array([0, 1, 2]), np.array([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3], [-1.0, 1.0, 0.0]])
    chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    own = -np.log(chance[np.arange(3), labels])
    ours = nn.CrossEntropyLoss()(cr.tensor(logits), cr.tensor(labels))
    assert float(ours.data) == pytest.approx(own.mean())
    np.testing.assert_allclose(labels * own, [0.0, own[1], 2 * own[2]], err_msg="as numbers, labels weigh the classes")
    assert np.mean(-np.eye(3)[labels] * np.log(chance), axis=0).shape == (3,), "as one-hot rows, no number comes out"
    assert -np.sum(np.eye(3)[labels] * np.log(chance)) / 3 == pytest.approx(own.mean())


@pytest.mark.parametrize("name", ["WO", "bO"])
def test_output_gradient_has_the_wrong_sign_and_half_the_size(case, name):
    p, x, y = case
    true = derivative(lambda q: mean_square(q, x, y), p, name)
    np.testing.assert_allclose(gradients(p, x, y)[name], true, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(article_gradient(p, x, y, name), -0.5 * true, rtol=1e-5, atol=1e-9)


def test_update_with_the_article_gradient_climbs(case):
    p, x, y = case
    start, lr = mean_square(p, x, y), 0.1
    article = {**p, **{name: p[name] - lr * article_gradient(p, x, y, name) for name in ("WO", "bO")}}
    ours = {**p, **{name: p[name] - lr * gradients(p, x, y)[name] for name in ("WO", "bO")}}
    assert mean_square(article, x, y) > start > mean_square(ours, x, y)


def test_hidden_weight_gradient_has_one_factor_too_many(case):
    p, x, y = case
    true = derivative(lambda q: mean_square(q, x, y), p, "WH")
    np.testing.assert_allclose(gradients(p, x, y)["WH"], true, rtol=1e-6, atol=1e-9)
    article = article_gradient(p, x, y, "WH", extra=hidden_slopes(p, x)[:, None, :])
    assert np.ptp(article / true) > 0.01, "no constant factor, not even -2, would mend it"
    np.testing.assert_allclose(-2 * article_gradient(p, x, y, "WH"), true, rtol=1e-5, atol=1e-9)


def test_hidden_bias_gradient_is_squared(case):
    p, x, y = case
    slopes = derivative(lambda q: predict(q, x)[:, 0], p, "bH")
    np.testing.assert_allclose(slopes, hidden_slopes(p, x), rtol=1e-5, atol=1e-9)  # ∂ŷ/∂bH and ∂ŷ/∂zH are one thing
    article = article_gradient(p, x, y, "bH", extra=hidden_slopes(p, x))
    np.testing.assert_allclose(article, np.mean((y - predict(p, x)) * slopes**2, axis=0), rtol=1e-5)
    true = derivative(lambda q: mean_square(q, x, y), p, "bH")
    np.testing.assert_allclose(gradients(p, x, y)["bH"], true, rtol=1e-6, atol=1e-9)
    assert np.abs(article - true).max() > 0.5 * np.abs(true).max()


def test_hidden_gradient_needs_the_transposed_output_weights():
    rng = np.random.default_rng(3)
    p = {
        "WH": rng.normal(size=(2, 3)),
        "bH": rng.normal(size=3),
        "WO": rng.normal(size=(3, 2)),
        "bO": rng.normal(size=2),
    }
    x, y = rng.normal(size=(4, 2)), rng.random((4, 2))
    a, prediction = sigmoid(x @ p["WH"] + p["bH"]), predict(p, x)
    delta_output = 2 / y.size * (prediction - y) * prediction * (1 - prediction)
    delta_hidden = (delta_output @ p["WO"].T) * a * (1 - a)
    chain = {"WO": a.T @ delta_output, "bO": delta_output.sum(0), "WH": x.T @ delta_hidden, "bH": delta_hidden.sum(0)}
    ours = gradients(p, x, y)
    for name in p:
        np.testing.assert_allclose(ours[name], chain[name], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(
            chain[name], derivative(lambda q: mean_square(q, x, y), p, name), rtol=1e-5, atol=1e-9
        )
    with pytest.raises(cr.errors.ShapeError):
        cr.tensor(delta_output) @ cr.tensor(p["WO"])  # without the transpose the shapes do not even fit


def test_one_weight_matrix_cannot_serve_both_layers():
    rng = np.random.default_rng(5)
    x = cr.tensor(rng.normal(size=(4, 2)))
    unequal = cr.tensor(rng.normal(size=(2, 3)))
    with pytest.raises(cr.errors.ShapeError):
        (x @ unequal).sigmoid() @ unequal
    value = rng.normal(size=(2, 2))
    shared, first, second = (cr.tensor(value, requires_grad=True) for _ in range(3))
    ((x @ shared).sigmoid() @ shared).sum().backward()
    ((x @ first).sigmoid() @ second).sum().backward()
    np.testing.assert_allclose(shared.grad, first.grad + second.grad, rtol=1e-12)
    assert np.abs(second.grad).min() > 1e-3
    assert np.abs(first.grad).max() > 1e-3


def test_section_4_2_describes_another_network(case):
    p, x, _ = case
    hidden = (cr.tensor(x) @ cr.tensor(p["WH"]) + cr.tensor(p["bH"])).sigmoid()
    linear = hidden @ cr.tensor(10 * p["WO"]) + cr.tensor(p["bO"])  # section 4.2: no activation on the output
    assert np.any((linear.data < 0) | (linear.data > 1))
    squashed = linear.sigmoid().data  # sections 3.2, 4.3 and the code
    assert np.all((squashed > 0) & (squashed < 1))
