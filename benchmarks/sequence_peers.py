"""Networks over sequences in each library, for `benchmarks.sequences`: one training step, or one prediction, per call.

Weights have torch's gates (i, f, g, o; r, z, n) and are laid out (in, out): wx, wh, b and, for GRU, bn, the bias that r
multiplies; out_w, out_b; and the table `embed`, if x are numbers of words. All libraries start from the same ones and
see the same batches in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

POOL = 16  # batches that steps take in turn
LR, BETAS, EPS = 1e-3, (0.9, 0.999), 1e-8
Step = Callable[[int], Any]  # on batch i of the pool; answers the loss, which may not be computed yet


@dataclass(frozen=True)
class Workload:
    """x (batch, steps, inputs), or the rows of a table of so many words, through one recurrent layer; a linear layer on
    its last states, or on `every` step.
    """

    cell: str
    batch: int
    steps: int
    inputs: int
    hidden: int
    outputs: int
    directions: int = 1
    every: bool = False
    words: int = 0
    loss: str = "cross_entropy"

    @property
    def gates(self) -> int:
        return 4 if self.cell == "LSTM" else 3

    @property
    def flops(self) -> float:
        """Operations of the products of a step, two for a multiplication and addition; x needs a gradient if it comes
        from a table.
        """
        wide = self.directions * self.gates * self.hidden
        rows, ends = self.batch * self.steps, self.batch * (self.steps if self.every else 1)
        outputs = 6 * ends * self.directions * self.hidden * self.outputs
        return float((6 if self.words else 4) * rows * self.inputs * wide + 6 * rows * self.hidden * wide + outputs)

    def weights(self) -> dict[str, np.ndarray]:
        rng, h, d = np.random.default_rng(1), self.hidden, self.directions
        shapes = {"wx": (d, self.inputs, self.gates * h), "wh": (d, h, self.gates * h), "b": (d, self.gates * h)}
        shapes |= {"bn": (d, h)} if self.cell == "GRU" else {}
        shapes |= {"embed": (self.words, self.inputs)} if self.words else {}
        shapes |= {"out_w": (d * h, self.outputs), "out_b": (self.outputs,)}
        return {name: rng.uniform(-(h**-0.5), h**-0.5, shape).astype(np.float32) for name, shape in shapes.items()}

    def batches(self) -> tuple[np.ndarray, np.ndarray]:
        """(POOL, batch, ...) of x and of targets."""
        rng = np.random.default_rng(2)
        x = rng.standard_normal((POOL, self.batch, self.steps, self.inputs)).astype(np.float32)
        if self.words:
            x = rng.integers(0, self.words, (POOL, self.batch, self.steps))
        shape = (POOL, self.batch, self.steps) if self.every else (POOL, self.batch)
        if self.loss == "mse":
            return x, rng.standard_normal((*shape, self.outputs)).astype(np.float32)
        return x, rng.integers(0, self.outputs, shape)


WORKLOADS = {
    "lstm32": Workload("LSTM", 32, 30, 8, 32, 1, loss="mse"),
    "characters": Workload("LSTM", 32, 64, 64, 128, 65, every=True, words=65),
    "lstm256": Workload("LSTM", 32, 64, 256, 256, 10),
    "gru64": Workload("GRU", 16, 100, 16, 64, 10),
    "bilstm128": Workload("LSTM", 32, 125, 64, 128, 2, directions=2),
}


def ours(workload: Workload, threads: int, predicts: bool) -> Step:
    """chainrule: `Trainer.fit`, whose time is that of all steps of the pool, or `predict`."""
    import chainrule as cr
    from chainrule import nn, optim

    w, many = workload, workload.weights()

    class Network(nn.Module):
        def __init__(self) -> None:
            kind = getattr(nn, w.cell)
            self.embed = nn.Embedding(w.words, w.inputs) if w.words else None
            self.rnn = kind(w.inputs, w.hidden, bidirectional=w.directions == 2)
            self.out = nn.Linear(w.directions * w.hidden, w.outputs)

        def forward(self, x: Any) -> Any:
            y, states = self.rnn(self.embed(x) if self.embed else x)
            h = states[0] if isinstance(states, tuple) else states
            if w.every:
                return self.out(y)
            ends = [h[d] for d in range(w.directions)]
            return self.out(cr.functions.concatenate(ends, 1))

    model = Network()
    state = {"rnn.weight_ih_l0": np.concatenate(list(many["wx"]), 1), "rnn.weight_hh_l0": many["wh"]}
    state |= {"rnn.bias_l0": many["b"].ravel(), "out.weight": many["out_w"], "out.bias": many["out_b"]}
    state |= {"rnn.bias_n_l0": many["bn"]} if "bn" in many else {}
    state |= {"embed.weight": many["embed"]} if w.words else {}
    model.load_state_dict(state)
    loss = nn.MSELoss() if w.loss == "mse" else nn.CrossEntropyLoss()
    trainer = cr.Trainer(model, loss, optim.Adam(lr=LR, betas=BETAS, eps=EPS), threads=threads)
    x, y = w.batches()
    if predicts:
        return lambda i: float(trainer.predict(x[i % POOL]).ravel()[0])
    rows = x.reshape(-1, *x.shape[2:]), y.reshape(-1, *y.shape[2:])

    def step(i: int) -> Any:
        """All steps of the pool at its first batch, none at the others."""
        if i % POOL == 0:
            trainer.fit(*rows, epochs=1, batch_size=w.batch, shuffle=False)
        return 0.0

    def check(i: int) -> Any:
        return trainer.step(x[i % POOL], y[i % POOL])

    step.check = check  # type: ignore[attr-defined]
    return step


def torch_step(workload: Workload, threads: int, predicts: bool, compiled: bool = False) -> Step:
    """PyTorch: its own layer, eager, with the fused optimizer; compiled, the recurrence written out."""
    import torch

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    functional, w = torch.nn.functional, workload
    many = {name: torch.from_numpy(a.copy()) for name, a in w.weights().items()}
    x, y = (torch.from_numpy(a) for a in w.batches())
    rnn = getattr(torch.nn, w.cell)(w.inputs, w.hidden, batch_first=True, bidirectional=w.directions == 2)
    with torch.no_grad():
        for d, end in enumerate(("", "_reverse")[: w.directions]):
            getattr(rnn, f"weight_ih_l0{end}").copy_(many["wx"][d].t())
            getattr(rnn, f"weight_hh_l0{end}").copy_(many["wh"][d].t())
            getattr(rnn, f"bias_ih_l0{end}").copy_(many["b"][d])
            second = getattr(rnn, f"bias_hh_l0{end}")
            second.zero_()
            if w.cell == "GRU":
                second[2 * w.hidden :] = many["bn"][d]
            else:
                second.requires_grad_(False)
    out = [torch.nn.Parameter(many[name]) for name in ("out_w", "out_b", *(["embed"] if w.words else []))]
    trained = [*out, *(p for p in rnn.parameters() if p.requires_grad)]

    def written(x: Any, wi: Any, wh: Any, b: Any, bn: Any) -> Any:
        h = x.new_zeros(x.shape[0], w.hidden)
        c, states = h, []
        for a in functional.linear(x, wi, b).unbind(1):
            if w.cell == "LSTM":
                i, f, g, o = (a + h @ wh.t()).chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
            else:
                (ar, az, an), (r, z, n) = a.chunk(3, 1), (h @ wh.t()).chunk(3, 1)
                n = torch.tanh(an + torch.sigmoid(ar + r) * (n + bn[2 * w.hidden :]))
                h = n + torch.sigmoid(az + z) * (h - n)
            states.append(h)
        return states

    def forward(x: Any) -> Any:
        if w.words:
            x = functional.embedding(x, out[2])
        if compiled:
            found = [
                written(x if not end else x.flip(1), *(getattr(rnn, f"{name}_l0{end}") for name in
                        ("weight_ih", "weight_hh", "bias_ih", "bias_hh")))
                for end in ("", "_reverse")[: w.directions]
            ]  # fmt: skip
            h = torch.stack(found[0], 1) if w.every else torch.cat([states[-1] for states in found], 1)
        else:
            every, last = rnn(x)
            last = last[0] if w.cell == "LSTM" else last
            h = every if w.every else torch.cat(tuple(last), 1)
        return h @ out[0] + out[1]

    def loss(x: Any, y: Any) -> Any:
        found = forward(x)
        if w.loss == "mse":
            return functional.mse_loss(found, y)
        return functional.cross_entropy(found.flatten(0, -2), y.flatten())

    if predicts:
        run = torch.compile(forward, dynamic=False) if compiled else forward

        def predict(i: int) -> Any:
            with torch.inference_mode():
                return run(x[i % POOL]).ravel()[0]

        return predict
    run = torch.compile(loss, dynamic=False) if compiled else loss
    optimizer = torch.optim.Adam(trained, lr=LR, betas=BETAS, eps=EPS, fused=True)

    def step(i: int) -> Any:
        value = run(x[i % POOL], y[i % POOL])
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return value.detach()

    return step


def jax_step(workload: Workload, threads: int, predicts: bool, unroll: int = 1) -> Step:
    """JAX: the loop over time and the loop over the pool's batches in one jitted call."""
    import jax

    jnp, lax, nn, w = jax.numpy, jax.lax, jax.nn, workload
    x, y = (jnp.array(a) for a in w.batches())

    def cell(many: Any, d: int, state: Any, a: Any) -> Any:
        if w.cell == "LSTM":
            h, c = state
            i, f, g, o = jnp.split(a + h @ many["wh"][d], 4, -1)
            c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
            h = nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h
        (h,) = state
        (ar, az, an), (r, z, n) = jnp.split(a, 3, -1), jnp.split(h @ many["wh"][d], 3, -1)
        n = jnp.tanh(an + nn.sigmoid(ar + r) * (n + many["bn"][d]))
        h = n + nn.sigmoid(az + z) * (h - n)
        return (h,), h

    def forward(many: Any, x: Any) -> Any:
        x, ends = many["embed"][x] if w.words else x, []
        for d in range(w.directions):
            a = jnp.swapaxes(x, 0, 1) @ many["wx"][d] + many["b"][d]
            zeros = jnp.zeros((w.batch, w.hidden))
            first = (zeros, zeros) if w.cell == "LSTM" else (zeros,)
            turn = lambda state, a, d=d: cell(many, d, state, a)  # noqa: E731
            last, every = lax.scan(turn, first, a, reverse=d == 1, unroll=unroll)
            ends.append(every if w.every else last[0])
        return jnp.concatenate(ends, -1) @ many["out_w"] + many["out_b"]

    def loss(many: Any, x: Any, y: Any) -> Any:
        found = forward(many, x)
        if w.loss == "mse":
            return jnp.mean((found - y) ** 2)
        y = y.T if w.every else y
        chosen = jnp.sum(jnp.where(y[..., None] == jnp.arange(w.outputs), found, 0.0), -1)
        return jnp.mean(nn.logsumexp(found, -1) - chosen)

    many = {name: jnp.array(a) for name, a in w.weights().items()}
    if predicts:
        run = jax.jit(forward)
        return lambda i: float(run(many, x[i % POOL]).ravel()[0])

    def one(state: Any, batch: Any) -> Any:
        many, m, v, powers = state
        value, g = jax.value_and_grad(loss)(many, *batch)
        m = jax.tree.map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, m, g)
        v = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, v, g)
        powers = powers * jnp.array(BETAS, jnp.float32)
        rate, root = LR / (1 - powers[0]), 1.0 / jnp.sqrt(1 - powers[1])
        many = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) * root + EPS), many, m, v)
        return (many, m, v, powers), value

    whole = jax.jit(lambda state, x, y: lax.scan(one, state, (x, y)), donate_argnums=0)
    zeros = jax.tree.map(jnp.zeros_like, many)
    held: list[Any] = [(many, zeros, jax.tree.map(jnp.zeros_like, many), jnp.ones(2, jnp.float32)), None]

    def step(i: int) -> Any:
        """All steps of the pool at its first batch, none at the others."""
        if i % POOL == 0:
            held[:] = whole(held[0], x, y)
        return held[1][i % POOL]

    return step
