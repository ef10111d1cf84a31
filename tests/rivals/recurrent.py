"""Weights of recurrent layers and cells from torch's state dict, as in docs/guides/sequences.md."""

from __future__ import annotations

from typing import Any

import numpy as np


def from_torch(theirs: Any, gradients: bool = False) -> dict[str, np.ndarray]:
    """The state of our layer or cell that computes what theirs does, or its gradients.

    Our bias is the sum of torch's two, which both have its gradient.
    """
    state = {name: p.detach().numpy() for name, p in theirs.named_parameters()}
    if gradients:
        state = {name: np.zeros(p.shape) if p.grad is None else p.grad.numpy() for name, p in theirs.named_parameters()}
    is_cell, is_gru = "weight_ih" in state, "GRU" in type(theirs).__name__
    found: dict[str, np.ndarray] = {}
    for layer in range(1 if is_cell else theirs.num_layers):
        key = "" if is_cell else f"_l{layer}"
        suffixes = [key, f"{key}_reverse"] if f"weight_ih{key}_reverse" in state else [key]
        found[f"weight_ih{key}"] = np.concatenate([state[f"weight_ih{s}"].T for s in suffixes], 1)
        found[f"weight_hh{key}"] = np.stack([state[f"weight_hh{s}"].T for s in suffixes])
        if f"bias_ih{key}" not in state:
            continue
        first, second = (np.stack([state[f"bias_{side}{s}"] for s in suffixes]) for side in ("ih", "hh"))
        new = theirs.hidden_size * 2  # where the new gate of a GRU begins
        if is_gru:
            found[f"bias_n{key}"] = second[:, new:].copy()
            second = np.concatenate([second[:, :new], 0.0 * second[:, new:]], 1)
        found[f"bias{key}"] = (first if gradients else first + second).ravel()
    per_direction = ("weight_hh", "bias_n")  # a cell has none
    return {name: array[0] if is_cell and name in per_direction else array for name, array in found.items()}
