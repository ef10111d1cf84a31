"""Attention equals torch's: the function, with masks of every kind, and the layer, with gradients for everything."""

import numpy as np
import pytest
import torch

import chainrule as cr
from chainrule import functions, nn, optim

TOLERANCE = {np.float64: 1e-9, np.float32: 2e-5}
both_dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
both_engines = pytest.mark.parametrize("engine", ["reference", "compiled"])


def assert_close(ours, theirs, dtype, message=""):
    theirs = theirs.detach().numpy()
    scale = max(1.0, float(np.abs(theirs).max(initial=0.0)))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE[dtype] * scale, err_msg=message)


def masks(t, s):
    """Boolean and real masks of shapes that broadcast to (3, 2, t, s)."""
    rng = np.random.default_rng(5)
    seen = rng.random((t, s)) < 0.7
    seen[0] = False  # a query that sees no key
    rows = rng.random((3, 1, 1, s)) < 0.7
    rows[..., 0] = True
    return {
        "none": None, "seen": seen, "rows": rows, "one": np.ones((1, 1), bool), "keys": rng.normal(size=(t, 1)),
        "scores": rng.normal(size=(t, s)), "heads": rng.normal(size=(2, t, s)), "all": rng.normal(size=(3, 2, t, s)),
    }  # fmt: skip


@both_dtypes
@pytest.mark.parametrize("mask", masks(1, 1))
@pytest.mark.parametrize(("t", "s", "d", "e"), [(1, 1, 1, 1), (1, 9, 8, 8), (33, 20, 17, 5), (70, 140, 32, 64)])
def test_function(t, s, d, e, mask, dtype):
    rng = np.random.default_rng(t)
    q, k, v = (rng.normal(size=(3, 2, *shape)).astype(dtype) for shape in ((t, d), (s, d), (s, e)))
    given = masks(t, s)[mask]
    if given is not None and given.dtype != bool:
        given = given.astype(dtype)
    ours = [cr.tensor(x, requires_grad=True) for x in (q, k, v)]
    theirs = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
    for causal in (False, True) if mask == "none" else (False,):
        y = functions.scaled_dot_product_attention(*ours, attn_mask=given, is_causal=causal, scale=0.3)
        torch_mask = None if given is None else torch.tensor(given)
        expected = torch.nn.functional.scaled_dot_product_attention(
            *theirs, attn_mask=torch_mask, is_causal=causal, scale=0.3
        )
        assert_close(y.data, expected, dtype)
        dy = rng.normal(size=y.shape).astype(dtype)
        for x in (*ours, *theirs):
            x.grad = None
        y.backward(dy)
        expected.backward(torch.tensor(dy))
        for name, one, other in zip("qkv", ours, theirs, strict=True):
            assert_close(one.grad, other.grad, dtype, name)


def pair(dtype, *arguments, **settings):
    """The same layer twice, with weights that are not all alike."""
    rng = np.random.default_rng(1)
    ours = nn.MultiheadAttention(*arguments, **settings).astype(dtype)
    theirs = torch.nn.MultiheadAttention(*arguments, **settings, batch_first=True)
    theirs.to(torch.float64 if dtype is np.float64 else torch.float32)
    state = dict(theirs.named_parameters())
    assert sorted(ours.named_parameters()) == sorted(state)
    for name, parameter in ours.named_parameters().items():
        parameter.data[...] = rng.normal(size=parameter.shape) * 0.5
        state[name].data[...] = torch.tensor(parameter.data.T)
    return ours, theirs


@both_engines
@both_dtypes
@pytest.mark.parametrize("settings", [{}, {"bias": False}, {"kdim": 5, "vdim": 7}], ids=str)
@pytest.mark.parametrize("kind", ["self", "causal", "memory", "padding", "mask"])
def test_layer(kind, settings, dtype, engine):
    rng = np.random.default_rng(3)
    ours, theirs = pair(dtype, 12, 3, **settings)
    x, k, v = (rng.normal(size=shape).astype(dtype) for shape in ((2, 5, 12), (2, 7, 12), (2, 7, 12)))
    if "kdim" in settings:
        k, v = k[..., :5], v[..., :7]
    alone = kind in ("self", "causal") and "kdim" not in settings
    arrays = [x, x, x] if alone else [x, k, v]
    given = {"attn_mask": rng.random((5, 7)) < 0.2} if kind == "mask" else {}
    if kind == "padding":
        given = {"key_padding_mask": np.arange(7) >= np.array([[7], [4]])}
    causal = kind == "causal" and alone

    class Model(nn.Module):
        """The layer on x, and on other keys and values that it keeps."""

        def __init__(self):
            self.inner = ours
            self.others = [cr.tensor(a) for a in arrays[1:]]

        def forward(self, x):
            others = (x, x) if alone else self.others
            return self.inner(x, *others, causal=causal, **given)

    target = rng.normal(size=x.shape).astype(dtype)
    trainer = cr.Trainer(Model(), nn.MSELoss(), optim.SGD(0.1), engine=engine)
    found = trainer.gradients(x, target)
    masks_there = {name: torch.tensor(mask) for name, mask in given.items()}
    if causal:
        masks_there = {"attn_mask": torch.ones(5, 5, dtype=torch.bool).triu(1)}
    y, _ = theirs(*map(torch.tensor, arrays), need_weights=False, **masks_there)
    assert_close(trainer.predict(x), y, dtype)
    torch.nn.functional.mse_loss(y, torch.tensor(target)).backward()
    for name, parameter in theirs.named_parameters():
        gradient = parameter.grad.T if parameter.ndim == 2 else parameter.grad
        assert_close(found[f"inner.{name}"], gradient, dtype, name)
