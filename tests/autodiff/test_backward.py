"""Backpropagation over any graph: sums over uses, branches, depth, freeing, changes in place."""

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.autodiff.backward import backward_plan, gradients
from chainrule.autodiff.tape import tracing
from chainrule.autodiff.tensor import symbol
from chainrule.errors import GraphError, ShapeError


def leaf(*values):
    return cr.tensor(np.array(values, np.float64), requires_grad=True)


def test_the_chain_rule_by_hand():
    x, w, b = leaf(1.0, 2.0), leaf(3.0, -1.0), leaf(0.5)
    y = ((x * w).sum() + b).sigmoid()
    y.sum().backward()
    s = 1 / (1 + np.exp(-1.5))
    np.testing.assert_allclose(x.grad, s * (1 - s) * w.data)
    np.testing.assert_allclose(w.grad, s * (1 - s) * x.data)
    np.testing.assert_allclose(b.grad, [s * (1 - s)])


def test_a_tensor_used_many_times_gets_the_sum():
    x = leaf(2.0)
    y = x * x * x + x + x
    y.sum().backward()
    np.testing.assert_allclose(x.grad, [14.0])


def test_branches_meet_again():
    x = leaf(0.3)
    a = x.tanh()
    y = (a * a.exp() + a) * x
    y.sum().backward()
    t = np.tanh(0.3)
    slope = (np.exp(t) + t * np.exp(t) + 1) * (1 - t * t) * 0.3 + t * np.exp(t) + t
    np.testing.assert_allclose(x.grad, [slope])


def test_broadcasting_sums_the_gradient():
    a, b = cr.tensor(np.ones((3, 1)), requires_grad=True), cr.tensor(np.ones(4), requires_grad=True)
    (a * b * 2).sum().backward()
    assert a.grad.tolist() == [[8.0]] * 3
    assert b.grad.tolist() == [6.0] * 4


def test_gradients_add_up_over_passes_until_cleared():
    x = leaf(1.0)
    for _ in range(2):
        (x * 3).sum().backward()
    assert x.grad.tolist() == [6.0]
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3.0]


def test_a_gradient_belongs_to_its_leaf_alone():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).backward(np.ones(2))
    a.grad += 1
    assert b.grad.tolist() == [1.0, 1.0]


def test_backward_of_a_leaf_is_one():
    x = cr.tensor(2.0, requires_grad=True)
    x.backward()
    assert x.grad == 1.0


def test_incoming_gradient():
    x = leaf(1.0, 2.0)
    y = x * x
    with pytest.raises(ShapeError, match=r"shape \(2,\)"):
        y.backward()
    with pytest.raises(ShapeError, match=r"shape \(3,\)"):
        y.backward(np.ones(3))
    y.backward([1.0, 10.0])
    assert x.grad.tolist() == [2.0, 40.0]


def test_only_what_requires_gradients_gets_them():
    x, c = leaf(1.0), cr.tensor([2.0])
    (x * c).sum().backward()
    assert c.grad is None
    with pytest.raises(GraphError, match="requires_grad"):
        (c * 2).sum().backward()


def test_no_grad_as_context_and_decorator():
    x = leaf(1.0)
    with cr.no_grad():
        assert not (x * 2).requires_grad
        with cr.no_grad():
            pass
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad

    @cr.no_grad()
    def double(v):
        return v * 2

    assert not double(x).requires_grad
    assert (x * 2).requires_grad


def test_ten_thousand_ops_deep():
    x = leaf(1.0)
    y = x
    for _ in range(10_000):
        y = y * 1.0001
    y.sum().backward()
    np.testing.assert_allclose(x.grad, [1.0001**10_000])


def test_a_deep_graph_is_freed_without_backward():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    last = weakref.ref(y)
    del y
    assert last() is None


def test_graphs_need_no_garbage_collector():
    gc.disable()
    try:
        x = leaf(1.0)
        middle = x * 2
        kept = weakref.ref(middle)
        y = (middle.exp() + middle).sum()
        del middle
        assert kept() is not None
        del y
        assert kept() is None
    finally:
        gc.enable()


def test_backward_frees_the_graph():
    x = leaf(1.0)
    middle = x * 2
    y = middle.exp().sum()
    kept = weakref.ref(middle)
    del middle
    y.backward()
    assert kept() is None
    with pytest.raises(GraphError, match="freed"):
        y.backward()


def test_retain_graph_allows_a_second_pass():
    x = leaf(3.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [12.0]
    with pytest.raises(GraphError, match="freed"):
        y.backward()


def test_a_freed_part_is_noticed_from_another_loss():
    x = leaf(3.0)
    shared = x * x
    (shared * 2).sum().backward()
    before = x.grad.copy()
    with pytest.raises(GraphError, match="freed"):
        (shared * 3).sum().backward()
    assert x.grad == before


@pytest.mark.parametrize(
    ("change", "op"),
    [
        (lambda x, c: c.data.__setitem__(0, 9.0), "multiply"),
        (lambda x, c: c.__iadd__(1.0), "multiply"),
        (lambda x, c: c.__setitem__(0, 9.0), "multiply"),
        (lambda x, c: c.data.fill(np.nan), "multiply"),
    ],
)
def test_a_changed_array_is_refused(change, op):
    x, c = leaf(1.0, 2.0), cr.tensor(np.array([3.0, 4.0]))
    y = (x * c).sum()
    change(x, c)
    with pytest.raises(GraphError, match=f"op {op}.*changed in place"):
        y.backward()
    assert x.grad is None


def test_a_changed_leaf_and_a_changed_result_are_refused():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    with cr.no_grad():
        x -= 0.1
    with pytest.raises(GraphError, match="multiply"):
        y.backward()
    e = x.exp()
    e.data[0] = 0.0
    with pytest.raises(GraphError, match="y of op exp"):
        e.sum().backward()


def test_a_change_the_gradient_does_not_need_is_allowed():
    x, c = leaf(1.0, 2.0), cr.tensor(np.array([3.0, 4.0]))
    y = (x + c).sum()
    c += 1.0
    y.backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_views_of_one_array_are_watched_too():
    array = np.arange(6.0)
    c = cr.Tensor(array.reshape(2, 3).T)
    x = cr.tensor(np.ones((3, 2)), requires_grad=True)
    y = (x * c).sum()
    array[4] = -1.0
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


def test_retained_gradients_inside_the_graph():
    x = leaf(2.0)
    middle = x * 3
    middle.retain_grad()
    (middle * middle).sum().backward()
    assert middle.grad.tolist() == [12.0]
    assert x.grad.tolist() == [36.0]


def test_gradients_without_deposit():
    x, unused = leaf(2.0), leaf(1.0)
    middle = x * 3
    dx, dmiddle, none = gradients((middle * middle).sum(), [x, middle, unused])
    assert (dx.tolist(), dmiddle.tolist(), none, x.grad) == ([36.0], [12.0], None, None)


def test_an_input_without_a_gradient_is_named():
    weight = leaf(1.0, 2.0)
    loss = cr.functions.mean_squared(leaf(1.0, 2.0), np.zeros(2), weight)
    with pytest.raises(GraphError, match="mean_squared has no gradient for weight"):
        loss.backward()


def test_no_gradient_flows_through_a_condition():
    x = leaf(1.0, 0.0)
    cr.functions.where(x, x * 2, 5.0).sum().backward()
    assert x.grad.tolist() == [2.0, 0.0]


def test_plan_of_a_tape():
    w = cr.tensor(np.ones((3, 2), np.float32), requires_grad=True)
    v = cr.tensor(np.ones((2, 1), np.float32), requires_grad=True)
    with tracing() as tape:
        x = symbol((4, 3), name="x")
        hidden = (x @ w).relu()
        unused = hidden.exp()
        loss = (hidden @ v).sum() + hidden.detach().sum()
    names = [step.rule.name for step in backward_plan(tape.nodes, loss, [w, v])]
    assert names == ["add.a", "sum.x", "matmul.a", "matmul.b", "relu.x", "matmul.b"]
    names = [step.rule.name for step in backward_plan(tape.nodes, loss, [v])]
    assert names == ["add.a", "sum.x", "matmul.b"]
    assert backward_plan(tape.nodes, unused, [v]) == []


def test_gradients_that_a_rule_asks_for_come_first_and_go_nowhere_else():
    x = cr.tensor(np.random.default_rng(0).normal(size=(5, 2)), requires_grad=True)
    scale, shift = (cr.tensor(np.array([2.0, 3.0])) for _ in range(2))
    with tracing() as tape:
        loss = (cr.functions.batch_norm(x, scale, shift).y * x.detach().exp()).sum()
    plan = [(step.rule.name, step.wanted) for step in backward_plan(tape.nodes, loss, [x])]
    assert plan[2:] == [("batch_norm.scale", False), ("batch_norm.shift", False), ("batch_norm.x", True)]
    (cr.functions.batch_norm(x, scale, shift).y * x.detach().exp()).sum().backward()
    assert scale.grad is None
    assert cr.gradcheck(lambda x: cr.functions.batch_norm(x, scale, shift).y, [x])


UNARY = ["tanh", "sigmoid", "exp", "neg", "square", "shift"]
BINARY = ["add", "mul", "sub"]


def build(program, inputs):
    """A random graph: each step adds a value made of earlier ones."""
    values = list(inputs)
    for name, i, j in program:
        a, b = values[i % len(values)], values[j % len(values)]
        values.append(
            {
                "tanh": lambda a=a: a.tanh(),
                "sigmoid": lambda a=a: a.sigmoid(),
                "exp": lambda a=a: (a.tanh()).exp(),
                "neg": lambda a=a: -a,
                "square": lambda a=a: a.tanh() ** 2,
                "shift": lambda a=a: 1.5 - a,
                "add": lambda a=a, b=b: a + b,
                "mul": lambda a=a, b=b: a.tanh() * b.tanh(),
                "sub": lambda a=a, b=b: a - b,
            }[name]()
        )
    return values[-1] + values[len(values) // 2]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(UNARY + BINARY), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=12
    ),
    st.sampled_from([((2, 3), (3,)), ((3,), (2, 1)), ((), (2,))]),
    st.integers(0, 2**32 - 1),
)
def test_random_graphs_agree_with_finite_differences(program, shapes, seed):
    rng = np.random.default_rng(seed)
    inputs = [cr.tensor(rng.uniform(-1, 1, shape)) for shape in shapes]
    assert cr.gradcheck(lambda *x: build(program, x), inputs)
