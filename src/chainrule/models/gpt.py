"""A small language model of the kind of GPT-2: what comes next, from all that came before."""

from __future__ import annotations

from chainrule import nn
from chainrule.settings import choice, flag


def gpt(
    vocabulary: int, steps: int, layers: int = 4, heads: int = 4, width: int = 128, dropout: float = 0.0,
    positions: str = "learned", tied: bool = True,
) -> nn.Sequential:  # fmt: skip
    """Embedding and positions, causal transformer layers with normalization first, normalization, and one logit for
    each token of the vocabulary: tokens (n, t) to (n, t, vocabulary), t up to `steps`.

    809,856 parameters for 65 characters and 64 steps. `positions` are "learned", "sinusoidal" or "rotary"; if `tied`,
    the output shares the table of the embedding. Weights start normal with a standard deviation of 0.02, those that
    end a skip with 0.02/√(2·layers), biases with 0. Radford et al., Language models are unsupervised multitask learners
    (2019). Raises OptionError for invalid settings.
    """
    kind = choice("gpt", "positions", positions, ("learned", "sinusoidal", "rotary"))
    embedding = nn.Embedding(vocabulary, width)
    added: list[nn.Module] = [nn.LearnedPositions(steps, width)] if kind == "learned" else []
    added += [nn.SinusoidalPositions(width)] if kind == "sinusoidal" else []
    added += [nn.Dropout(dropout)] if dropout else []
    blocks = [
        nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, "gelu", norm_first=True, causal=True,
            rotary_base=10000.0 if kind == "rotary" else None,
        )
        for _ in range(layers)
    ]  # fmt: skip
    output = nn.TiedOutput(embedding) if flag("gpt", "tied", tied) else nn.Linear(width, vocabulary, bias=False)
    model = nn.Sequential(embedding, *added, *blocks, nn.LayerNorm(width), output)
    for name, parameter in model.named_parameters().items():
        if parameter.ndim > 1:
            ends = name.endswith(("out_proj.weight", "linear2.weight"))
            nn.init.normal(parameter, std=0.02 / (2.0 * layers) ** 0.5 if ends else 0.02)
        elif name.endswith("bias"):
            nn.init.zeros(parameter)
    return model
