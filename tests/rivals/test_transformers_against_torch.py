"""Transformer layers and RMS normalization equal torch's: outputs, and gradients for all weights."""

import numpy as np
import pytest
import torch

from chainrule import nn, optim
from chainrule.train import Trainer

both_engines = pytest.mark.parametrize("engine", ["reference", "compiled"])


def turned(array, layer):
    """An array of ours as torch has it, or the other way round: weights of products are transposed."""
    return array.T if array.ndim == 2 and not isinstance(layer, torch.nn.RMSNorm) else array


def copied(ours, theirs):
    """Both in float64, with the same weights, not all alike."""
    rng = np.random.default_rng(1)
    ours.astype(np.float64)
    theirs.double().eval()
    state = dict(theirs.named_parameters())
    assert list(ours.named_parameters()) == list(state)
    for name, parameter in ours.named_parameters().items():
        parameter.data[...] = rng.normal(size=parameter.shape) * 0.3 + (parameter.ndim == 1)
        state[name].data[...] = torch.tensor(turned(parameter.data, theirs))


def compare(model, layer, theirs, run, x, engine):
    """`model` holds `layer`; `run` calls torch's layer."""
    y, target = run(torch.tensor(x)), np.random.default_rng(2).normal(size=x.shape)
    torch.nn.functional.mse_loss(y, torch.tensor(target)).backward()
    trainer = Trainer(model, nn.MSELoss(), optim.SGD(lr=0.1), engine=engine)
    np.testing.assert_allclose(trainer.predict(x), y.detach().numpy(), rtol=1e-9, atol=1e-9)
    found = trainer.gradients(x, target)
    names = {id(p): name for name, p in model.named_parameters().items()}
    for name, parameter in layer.named_parameters().items():
        expected = dict(theirs.named_parameters())[name].grad.numpy()
        expected = turned(expected, theirs)
        np.testing.assert_allclose(found[names[id(parameter)]], expected, rtol=1e-8, atol=1e-9, err_msg=name)


@both_engines
@pytest.mark.parametrize("settings", [{}, {"norm_first": True, "activation": "gelu"}, {"bias": False}], ids=str)
@pytest.mark.parametrize("causal", [False, True])
def test_encoder_layer(settings, causal, engine):
    ours = nn.TransformerEncoderLayer(12, 3, 20, 0.0, causal=causal, **settings)
    theirs = torch.nn.TransformerEncoderLayer(12, 3, 20, 0.0, batch_first=True, **settings)
    copied(ours, theirs)
    mask = torch.ones(7, 7, dtype=torch.bool).triu(1) if causal else None
    x = np.random.default_rng(0).normal(size=(4, 7, 12))
    theirs.train()  # torch's fast path gives no gradients
    compare(nn.Sequential(ours), ours, theirs, lambda z: theirs(z, src_mask=mask), x, engine)


@both_engines
@pytest.mark.parametrize("settings", [{}, {"norm_first": True}], ids=str)
def test_decoder_layer(settings, engine):
    ours = nn.TransformerDecoderLayer(12, 3, 20, 0.0, **settings)
    theirs = torch.nn.TransformerDecoderLayer(12, 3, 20, 0.0, batch_first=True, **settings)
    copied_names = sorted(ours.named_parameters()), sorted(name for name, _ in theirs.named_parameters())
    assert copied_names[0] == copied_names[1]
    order = {name: ours.named_parameters()[name] for name, _ in theirs.named_parameters()}
    ours.named_parameters = lambda: order
    copied(ours, theirs)
    del ours.named_parameters
    memory = np.random.default_rng(3).normal(size=(4, 5, 12))

    class Model(nn.Module):
        def __init__(self):
            self.layer = ours

        def forward(self, x):
            return self.layer(x, memory[: x.shape[0]])

    mask = torch.ones(7, 7, dtype=torch.bool).triu(1)
    x = np.random.default_rng(0).normal(size=(4, 7, 12))
    theirs.train()
    compare(Model(), ours, theirs, lambda z: theirs(z, torch.tensor(memory), tgt_mask=mask), x, engine)


@both_engines
@pytest.mark.parametrize("settings", [{}, {"eps": 0.1}, {"elementwise_affine": False}], ids=str)
@pytest.mark.parametrize("row", [6, (5, 6)])
def test_rms_norm(row, settings, engine):
    ours, theirs = nn.RMSNorm(row, **settings), torch.nn.RMSNorm(row, **settings)
    copied(ours, theirs)
    first = nn.Linear(6, 6).astype(np.float64)
    model = nn.Sequential(first, ours)
    weight, bias = (torch.tensor(p.data) for p in first.parameters())
    x = np.random.default_rng(0).normal(size=(4, 5, 6))
    weight.requires_grad = True
    compare(model, ours, theirs, lambda z: theirs(z @ weight + bias), x, engine)
