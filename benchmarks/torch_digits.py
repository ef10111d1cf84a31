"""What `chainrule train digits` does, in torch: the same network, rows, batch, epochs, optimizer; for memory and time.

    python -m benchmarks.torch_digits STARTED SETTINGS     settings as JSON: hidden, lr, epochs, batch

Writes {"first_step": seconds} as `first_step.py` does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.first_step import REPORT_VARIABLE
from benchmarks.workloads import ROOT


def main() -> None:
    """Train on 70 % of the digits, validate on 10 % after each epoch, test on 20 %."""
    started, settings = float(sys.argv[1]), json.loads(sys.argv[2])
    import torch
    from torch import nn

    torch.set_num_threads(1)  # faster and smaller than two on a network of this size
    torch.manual_seed(0)
    with np.load(ROOT / "src" / "chainrule" / "data" / "digits.npz") as arrays:
        x = torch.from_numpy(arrays["x"].reshape(-1, 64).astype(np.float32) / 16)
        y = torch.from_numpy(arrays["y"].astype(np.int64))
    order = torch.randperm(len(x))
    test, validation, train = order.split([len(x) // 5, len(x) // 10, len(x) - len(x) // 5 - len(x) // 10])
    widths = [64, *settings["hidden"], 10]
    layers = [layer for i, o in pairwise(widths) for layer in (nn.Linear(i, o), nn.ReLU())]
    model = nn.Sequential(*layers[:-1])
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=settings["lr"], fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings["epochs"])
    report = Path(os.environ[REPORT_VARIABLE])
    for _ in range(settings["epochs"]):
        for rows in train[torch.randperm(len(train))].split(settings["batch"]):
            optimizer.zero_grad()
            loss = loss_function(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            if not report.exists():
                report.write_text(json.dumps({"first_step": time.time() - started}))
        schedule.step()
        with torch.no_grad():
            loss_function(model(x[validation]), y[validation])
    with torch.no_grad():
        right = (model(x[test]).argmax(1) == y[test]).float().mean()
    print(f"test accuracy: {float(right):.4f}")


if __name__ == "__main__":
    main()
