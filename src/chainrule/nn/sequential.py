"""Layers one after another, and skips around them."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.autodiff.tensor import Tensor
from chainrule.errors import OptionError, ShapeError
from chainrule.nn.module import Module


class Sequential(Module):
    """Each layer is given the output of the one before; paths begin with its place: "0.weight".

    x is what the first layer takes, y what the last one makes; without layers, x itself. `model[0]` is the first layer,
    `len(model)` how many there are. Raises OptionError for what is not a layer.

    >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> list(model.named_parameters())
    ['0.weight', '0.bias', '2.weight', '2.bias']
    >>> model(np.zeros((5, 64))).shape
    (5, 10)
    """

    def __init__(self, *layers: Module) -> None:
        for place, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise OptionError(f"Sequential: layer {place} is {layer!r}, expected a layer such as nn.Linear(4, 2)")
        self.layers = list(layers)

    def named_children(self) -> dict[str, Module]:
        return {str(place): layer for place, layer in enumerate(self.layers)}

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, place: int) -> Module:
        return self.layers[place]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)


class Residual(Module):
    """y = x + body(x): a skip around the body, which must keep the shape of x, any; He et al., CVPR 2016.

    Raises OptionError for a body that is not a layer, ShapeError where it changes the shape.

    >>> block = nn.Residual(nn.Sequential(nn.Linear(32, 32), nn.ReLU()))
    >>> block(np.zeros((5, 32))).shape
    (5, 32)
    """

    def __init__(self, body: Module) -> None:
        if not isinstance(body, Module):
            raise OptionError(f"Residual: body is {body!r}, expected a layer such as nn.Linear(4, 4)")
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        if y.shape != x.shape:
            raise ShapeError(
                f"residual: the body makes {y.shape} of {x.shape}, a skip needs equal shapes: end it with them"
            )
        return x + y
