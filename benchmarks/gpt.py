"""A training step of a small GPT compared with torch, torch.compile and JAX: `python -m benchmarks.gpt`.

4 layers, 4 heads, 128 wide, 64 steps, 12 sequences of 65 tokens, AdamW, gradients clipped to norm 1: the settings that
nanoGPT names for a CPU. Every peer begins with the same weights, and its first losses must agree. Each setting
(threads, and for JAX steps in a call) has a process of its own; rounds of all are interleaved, medians count. Processor
time of one thread is shown too, as it says more than the clock where the machine is busy.
CHAINRULE_BENCH_PYTHON names the interpreter that has the other libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.children import RIVAL_PYTHON_VARIABLE, environment
from benchmarks.workloads import ROOT

LAYERS, HEADS, WIDTH, STEPS, BATCH, TOKENS = 4, 4, 128, 64, 12, 65
LR, BETAS, EPS, DECAY, CLIP = 1e-3, (0.9, 0.99), 1e-8, 0.1, 1.0
POOL = 8  # batches
CHECKED = 5  # losses
PEERS = [("chainrule", 1, 1), ("torch", 1, 1), ("torch.compile", 1, 1), ("JAX", 1, 1), ("JAX", 1, POOL)]
Run = Callable[[int], list[float]]  # trains some steps, a multiple of POOL: losses of the first


def data(path: Path) -> tuple[dict[str, Any], Any, Any]:
    """Weights by name, tokens (batches, n, t) and the tokens that follow."""
    arrays = dict(np.load(path))
    return arrays, arrays.pop("x"), arrays.pop("y")


def write_data(path: Path) -> None:
    """The weights of `models.gpt`, and random tokens."""
    import chainrule as cr
    from chainrule import models

    cr.seed(0)
    model = models.gpt(TOKENS, STEPS, LAYERS, HEADS, WIDTH)
    tokens = np.random.default_rng(0).integers(0, TOKENS, (POOL, BATCH, STEPS + 1))
    np.savez(path, x=tokens[..., :-1], y=tokens[..., 1:], **model.state_dict())


def chainrule_run(path: Path, threads: int, _: int) -> Run:
    from chainrule import Trainer, models, nn, optim

    weights, x, y = data(path)
    model = models.gpt(TOKENS, STEPS, LAYERS, HEADS, WIDTH)
    model.load_state_dict(weights)
    adam = optim.AdamW(lr=LR, betas=BETAS, eps=EPS, weight_decay=DECAY)
    trainer = Trainer(model, nn.CrossEntropyLoss(), adam, clip_norm=CLIP, threads=threads)
    first = [trainer.step(x[i], y[i]) for i in range(CHECKED)]
    x, y = (a.reshape(-1, STEPS) for a in (x, y))

    def run(steps: int) -> list[float]:
        trainer.fit(x, y, epochs=steps // POOL, batch_size=BATCH, shuffle=False)
        return first

    return run


def torch_run(path: Path, threads: int, _: int, compiled: bool = False) -> Run:
    import torch
    import torch.nn.functional as F  # noqa: N812 - torch's own name for it

    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    weights, x, y = data(path)
    w = {name: torch.nn.Parameter(torch.from_numpy(a)) for name, a in weights.items()}
    batches = [(torch.from_numpy(a), torch.from_numpy(b)) for a, b in zip(x, y, strict=True)]

    def norm(h: Any, name: str) -> Any:
        return F.layer_norm(h, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"])

    def product(h: Any, name: str, weight: str = ".weight") -> Any:
        return h @ w[f"{name}{weight}"] + w[f"{name}{weight.replace('weight', 'bias')}"]

    def loss(x: Any, y: Any) -> Any:
        h = F.embedding(x, w["0.weight"]) + w["1.weight"]
        for i in range(2, 2 + LAYERS):
            together = product(norm(h, f"{i}.norm1"), f"{i}.self_attn", ".in_proj_weight")
            q, k, v = (z.view(BATCH, STEPS, HEADS, -1).transpose(1, 2) for z in together.split(WIDTH, 2))
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(BATCH, STEPS, WIDTH)
            h = h + product(a, f"{i}.self_attn.out_proj")
            h = h + product(F.gelu(product(norm(h, f"{i}.norm2"), f"{i}.linear1")), f"{i}.linear2")
        return F.cross_entropy((norm(h, str(2 + LAYERS)) @ w["0.weight"].t()).flatten(0, 1), y.flatten())

    function = torch.compile(loss, dynamic=False) if compiled else loss
    adam = torch.optim.AdamW(w.values(), lr=LR, betas=BETAS, eps=EPS, weight_decay=DECAY, fused=True)

    def step(i: int) -> Any:
        value = function(*batches[i % POOL])
        value.backward()
        torch.nn.utils.clip_grad_norm_(w.values(), CLIP)
        adam.step()
        adam.zero_grad(set_to_none=True)
        return value.detach()

    first = [float(step(i)) for i in range(CHECKED)]

    def run(steps: int) -> list[float]:
        for i in range(steps):
            step(i)
        return first

    return run


def jax_run(path: Path, threads: int, inner: int) -> Run:
    """One jitted function of a step, or of a scan over all batches; threads are set by the environment."""
    import jax
    from jax import lax
    from jax import nn as jnn
    from jax import numpy as jnp

    weights, x, y = data(path)

    def norm(w: Any, h: Any, name: str) -> Any:
        centred = h - h.mean(-1, keepdims=True)
        scale = lax.rsqrt((centred * centred).mean(-1, keepdims=True) + 1e-5)
        return centred * scale * w[f"{name}.weight"] + w[f"{name}.bias"]

    def product(w: Any, h: Any, name: str, weight: str = ".weight") -> Any:
        return h @ w[f"{name}{weight}"] + w[f"{name}{weight.replace('weight', 'bias')}"]

    def loss(w: Any, x: Any, y: Any) -> Any:
        h = w["0.weight"][x] + w["1.weight"]
        seen = jnp.tril(jnp.ones((STEPS, STEPS), bool))
        for i in range(2, 2 + LAYERS):
            together = product(w, norm(w, h, f"{i}.norm1"), f"{i}.self_attn", ".in_proj_weight")
            q, k, v = (z.reshape(BATCH, STEPS, HEADS, -1).swapaxes(1, 2) for z in jnp.split(together, 3, -1))
            scores = jnp.where(seen, q @ k.swapaxes(2, 3) * q.shape[-1] ** -0.5, -jnp.inf)
            a = (jnn.softmax(scores, -1) @ v).swapaxes(1, 2).reshape(BATCH, STEPS, WIDTH)
            h = h + product(w, a, f"{i}.self_attn.out_proj")
            wide = jnn.gelu(product(w, norm(w, h, f"{i}.norm2"), f"{i}.linear1"), approximate=False)
            h = h + product(w, wide, f"{i}.linear2")
        logits = norm(w, h, str(2 + LAYERS)) @ w["0.weight"].T
        # A comparison instead of an index: its gradient is no scatter, which XLA runs slowly on the CPU.
        chosen = jnp.sum(jnp.where(y[..., None] == jnp.arange(TOKENS), logits, 0.0), -1)
        return jnp.mean(jnn.logsumexp(logits, -1) - chosen)

    def step(state: Any, batch: Any) -> Any:
        w, m, v, powers = state
        value, g = jax.value_and_grad(loss)(w, *batch)
        total = jnp.sqrt(sum(jnp.sum(a * a) for a in g.values()))
        g = jax.tree.map(lambda a: a * jnp.minimum(1.0, CLIP / (total + 1e-6)), g)
        m = jax.tree.map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, m, g)
        v = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, v, g)
        powers = powers * jnp.array(BETAS, jnp.float32)
        rate, root = LR / (1 - powers[0]), 1.0 / jnp.sqrt(1 - powers[1])
        w = jax.tree.map(lambda p, m, v: p * (1 - LR * DECAY) - rate * m / (jnp.sqrt(v) * root + EPS), w, m, v)
        return (w, m, v, powers), value

    function = jax.jit(step if inner == 1 else lambda s, b: lax.scan(step, s, b), donate_argnums=0)
    w = {name: jnp.array(a) for name, a in weights.items()}
    state = (w, jax.tree.map(jnp.zeros_like, w), jax.tree.map(jnp.zeros_like, w), jnp.ones(2, jnp.float32))
    everything = jnp.array(x), jnp.array(y)
    batches = [everything] if inner > 1 else list(zip(*everything, strict=True))

    def run(steps: int) -> list[float]:
        nonlocal state
        values = []
        for i in range(steps // inner):
            state, value = function(state, batches[i % len(batches)])
            values.append(value)
        return [float(v) for v in np.ravel(jax.block_until_ready(values[:CHECKED]))[:CHECKED]]

    first = run(POOL)
    return lambda steps: run(steps) and first


def torch_compiled(path: Path, threads: int, inner: int) -> Run:
    return torch_run(path, threads, inner, compiled=True)


RUNS = {"chainrule": chainrule_run, "torch": torch_run, "torch.compile": torch_compiled, "JAX": jax_run}


def serve(peer: str, threads: int, inner: int, path: Path) -> None:
    """In a child: losses first, then for each number of steps on stdin the seconds by clock and by processor."""
    run = RUNS[peer](path, threads, inner)
    print(json.dumps(run(POOL)), flush=True)
    for line in sys.stdin:
        clock, processor = time.perf_counter(), time.process_time()
        run(int(line))
        print(json.dumps([time.perf_counter() - clock, time.process_time() - processor]), flush=True)


class Peer:
    """The parent's handle of one setting."""

    def __init__(self, peer: str, threads: int, inner: int, path: Path) -> None:
        self.name, self.threads, self.inner = peer, threads, inner
        python = sys.executable if peer == "chainrule" else os.environ.get(RIVAL_PYTHON_VARIABLE, sys.executable)
        flags = f"--xla_cpu_multi_thread_eigen={str(threads > 1).lower()} intra_op_parallelism_threads={threads}"
        extra = {"OMP_NUM_THREADS": str(threads), "XLA_FLAGS": flags, "NPROC": str(threads)}
        command = [python, "-m", "benchmarks.gpt", "--serve", peer, str(threads), str(inner), str(path)]
        processors = sorted(os.sched_getaffinity(0))[:threads] if hasattr(os, "sched_setaffinity") else []
        self.process = subprocess.Popen(
            [*(["taskset", "-c", ",".join(map(str, processors))] if processors and threads > 1 else []), *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment(extra),
        )  # fmt: skip
        self.losses: list[float] = self._answer()
        self.times: list[list[float]] = []

    def measure(self, seconds: float) -> None:
        """One round of about that long."""
        each = median(t for t, _ in self.times) if self.times else None
        steps = POOL * max(1, round(seconds / (POOL * each))) if each else POOL
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        self.times.append([t / steps for t in self._answer()])

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpt", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="of each setting (default 9)")
    parser.add_argument("--seconds", type=float, default=0.6, help="length of a round (default 0.6)")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2], help="settings to try (default 1 2)")
    parser.add_argument("--only", nargs="*", default=list(RUNS), choices=list(RUNS))
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        peer, threads, inner, path = options.serve
        return serve(peer, int(threads), int(inner), Path(path))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gpt.npz"
        write_data(path)
        peers = [Peer(p, t, i, path) for p, _, i in PEERS if p in options.only for t in options.threads]
        try:
            measure(peers, options)
        finally:
            for peer in peers:
                peer.process.kill()
                peer.process.communicate()


def measure(peers: list[Peer], options: argparse.Namespace) -> None:
    """Interleaved rounds, a table, a record."""
    for peer in peers:
        np.testing.assert_allclose(peer.losses, peers[0].losses, rtol=1e-3, err_msg=f"losses of {peer.name}")
    for _ in range(options.rounds + 1):
        for peer in peers:
            time.sleep(0.1)  # thread pools spin for a while after their last job
            peer.measure(options.seconds)
    rows = []
    print(f"{'peer':16}{'threads':>8}{'steps a call':>14}{'ms a step':>12}{'quartiles':>18}{'processor ms':>14}")
    for peer in peers:
        clock, processor = (1e3 * np.array(peer.times[1:])[:, i] for i in range(2))
        low, middle, high = np.percentile(clock, [25, 50, 75])
        rows.append({"peer": peer.name, "threads": peer.threads, "inner": peer.inner, "ms": middle,
                     "quartiles": [low, high], "processor ms": float(np.median(processor))})  # fmt: skip
        print(
            f"{peer.name:16}{peer.threads:8}{peer.inner:14}{middle:12.2f}{f'{low:.2f}..{high:.2f}':>18}"
            f"{np.median(processor):14.2f}"
        )
    ours = [row for row in rows if row["peer"] == "chainrule"]
    others = [row for row in rows if row["peer"] != "chainrule"]
    if ours and others:
        for kind in ("ms", "processor ms"):
            ratio = min(r[kind] for r in others) / min(r[kind] for r in ours)
            print(f"best of the others / chainrule, {kind}: {ratio:.2f}")
    out = Path(__file__).parent / "results" / f"{time.strftime('%Y-%m-%d')}-gpt.json"
    out.write_text(json.dumps({"machine": report.machine(2), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
