"""Recurrent language models: after each token the next."""

from __future__ import annotations

from chainrule import nn
from chainrule.settings import choice, number, whole

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


def recurrent_language_model(
    tokens: int, hidden: int = 256, layers: int = 1, cell: str = "lstm", embedding: int = 64, dropout: float = 0.0
) -> nn.Sequential:
    """Tokens (n, t) to logits (n, t, tokens): an embedding, recurrent layers with `hidden` units, a linear layer.

    `cell` is "lstm", "gru" or "rnn"; dropout acts on the output of each recurrent layer (Zaremba, Sutskever, Vinyals,
    arXiv 1409.2329). Raises OptionError for sizes below 1 or another cell.

    >>> model = models.recurrent_language_model(65, hidden=128)
    >>> model(np.zeros((2, 10), int)).shape
    (2, 10, 65)
    """
    place = "recurrent_language_model"
    for name, value in (("tokens", tokens), ("hidden", hidden), ("layers", layers), ("embedding", embedding)):
        whole(place, name, value)
    number(place, "dropout", dropout, least=0, below=1)
    kind = CELLS[choice(place, "cell", cell, tuple(CELLS))]
    return nn.Sequential(
        nn.Embedding(tokens, embedding),
        kind(embedding, hidden, num_layers=layers, dropout=dropout if layers > 1 else 0.0),
        *([nn.Dropout(dropout)] if dropout > 0 else []),
        nn.Linear(hidden, tokens),
    )
