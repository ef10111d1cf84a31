"""Layers in sequence, and skip connections."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.autodiff.tensor import Tensor
from chainrule.errors import OptionError, ShapeError
from chainrule.nn.module import Module


class Sequential(Module):
    """Passes the output of each layer to the next; paths begin with a layer's position: "0.weight".

    x is the input of the first layer, y the output of the last one; without layers, y is x. Of a layer that returns
    several values, such as a recurrent one with its last state, the first is passed on. `model[0]` is the first
    layer, `len(model)` the number of layers. Raises OptionError for anything that is not a layer.

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
            y = layer(x)
            x = y[0] if isinstance(y, tuple) else y
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, place: int) -> Module:
        return self.layers[place]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)


class Residual(Module):
    """y = body(x) + x, or body(x) + shortcut(x) if the body changes the shape; He et al., CVPR 2016.

    Raises OptionError for a part that is not a layer, ShapeError unless body and skip have the same output shape.

    >>> block = nn.Residual(nn.Sequential(nn.Linear(32, 32), nn.ReLU()))
    >>> block(np.zeros((5, 32))).shape
    (5, 32)
    >>> nn.Residual(nn.Linear(32, 64), shortcut=nn.Linear(32, 64, bias=False))(np.zeros((5, 32))).shape
    (5, 64)
    """

    def __init__(self, body: Module, shortcut: Module | None = None) -> None:
        for name, part in (("body", body), ("shortcut", shortcut)):
            if not isinstance(part, Module) and (name == "body" or part is not None):
                raise OptionError(f"Residual: {name} is {part!r}, expected a layer such as nn.Linear(4, 4)")
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        skip: Tensor = x if self.shortcut is None else self.shortcut(x)
        if y.shape != skip.shape:
            fix = "pass a shortcut with the body's output shape" if self.shortcut is None else "make both the same"
            raise ShapeError(f"residual: the body turns {x.shape} into {y.shape}, the skip has {skip.shape}: {fix}")
        return y + skip
