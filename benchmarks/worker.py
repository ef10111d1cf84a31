"""The child process of one peer: reads commands as JSON lines on stdin, replies as JSON lines on stdout.

    python -m benchmarks.worker MODULE DATA.npz SETTINGS-JSON      DATA.npz: what `workloads.save` wrote

Commands: {"do": "check", "steps": n}, {"do": "run", "steps": n}, {"do": "stop"}.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

from benchmarks.peak import peak
from benchmarks.workloads import saved


def main() -> None:
    """Serve one peer until "stop" or the end of stdin."""
    module_name, path, settings = sys.argv[1:4]
    # Libraries may print: reserve the pipe for replies and send everything else to stderr.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    started = time.perf_counter()
    module = importlib.import_module(f"benchmarks.peers.{module_name}")
    peer = module.Peer(saved(path), path, json.loads(settings))
    _answer(answers, ready=True, seconds=time.perf_counter() - started, version=peer.version)
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "check":
            _answer(answers, losses=[float(v) for v in peer.check(command["steps"])])
        elif command["do"] == "run":
            steps, seconds, loss = peer.run(command["steps"])
            _answer(answers, steps=steps, seconds=seconds, loss=float(loss))
        elif command["do"] == "stop":
            _answer(answers, peak_rss=peak())
            return
        else:
            raise ValueError(f"unknown command {command['do']!r}")


def _answer(stream: Any, **values: Any) -> None:
    stream.write(json.dumps(values) + "\n")
    stream.flush()


if __name__ == "__main__":
    main()
