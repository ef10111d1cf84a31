"""What the command line does where its surroundings fail it: `python -m benchmarks.edges`.

Each case is a shell command in an empty folder, with the exit status and the run that it must leave; nothing may end in
a traceback or an internal error. `--only WORD` runs the cases whose command contains it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.workloads import ROOT

WHOLE = {"config.yaml", "data.json", "metrics.jsonl", "model.safetensors", "results.json", "loss.png", "confusion.png"}
TRAIN, HELP = "$CR train digits epochs=1", "$CR train -h"
TABLE = "a,b,k\n" + "".join(
    f"{i % 4 + i / 500},{-(i % 4)},{('中文', 'a$b$', '한국', 'e_{x}$')[i % 4]}\n" for i in range(120)
)
TRAIN_TABLE = "$CR train t.csv --target k epochs=1 -q"
FAULTS = ("Traceback", "internal error", "Exception ignored", "Warning")


@dataclass(frozen=True)
class Case:
    """A command; `status` is that of its last part, `whole` whether a complete run is left."""

    command: str
    status: int = 0
    whole: bool = True


CASES = [
    # Output that goes away.
    *(
        Case(f"{TRAIN} {rest}; exit ${{PIPESTATUS[0]}}")
        for rest in ("| true", "| head -1", "2>&1 | head -1", "2>&1 | true")
    ),
    *(
        Case(f"{TRAIN} {rest}")
        for rest in ("2> >(true)", ">&-", "2>&-", ">&- 2>&-", "<&-", "<&- >&- 2>&-", "2>/dev/full")
    ),
    *(Case(f"{TRAIN} {rest}", 2) for rest in (">/dev/full", ">/dev/full 2>/dev/full")),
    *(Case(f"{HELP} {rest}", whole=False) for rest in ("| true; exit ${PIPESTATUS[0]}", ">&-", "2>&-")),
    Case(f"{HELP} >/dev/full", 2, False),
    Case(f"{TRAIN} -q; $CR evaluate latest | true; exit ${{PIPESTATUS[0]}}"),
    Case(f"{TRAIN} -q; $CR evaluate latest >/dev/full", 2),
    Case(f"{TRAIN_TABLE}; $CR predict latest t.csv | true; exit ${{PIPESTATUS[0]}}"),
    Case(f"{TRAIN_TABLE}; $CR predict latest t.csv >/dev/full", 2),
    Case(f"{TRAIN_TABLE}; PYTHONIOENCODING=ascii $CR predict latest t.csv", 2),
    # Environments.
    *(
        Case(f"{setting} {TRAIN}")
        for setting in (
            *("MPLBACKEND=module://matplotlib_inline.backend_inline", "MPLBACKEND=none", "MPLCONFIGDIR=/proc/x"),
            *("HOME=/proc/x", "HOME=", "XDG_CACHE_HOME=/proc/x", "TERM=dumb", "NO_COLOR=1", "FORCE_COLOR=1", "TZ=none"),
            *("PYTHONIOENCODING=ascii", "PYTHONIOENCODING=utf-16", "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"),
            *("PYTHONWARNINGS=error", "PYTHONOPTIMIZE=2", "PYTHONDEVMODE=1", "PYTHONUNBUFFERED=1"),
        )
    ),
    *(
        Case(f"{name}={size} {command}", whole=command == TRAIN)
        for name in ("COLUMNS", "LINES", "TERMINAL_WIDTH")
        for size in ("0", "x", "1", "²", "99999999999")
        for command in (TRAIN, HELP)
    ),
    Case(f"PYTHONWARNINGS=error {TRAIN_TABLE}"),
    *(
        Case(f"printf '{rc}' >matplotlibrc; {TRAIN}")
        for rc in ("backend: none", "font.family: None such", "savefig.dpi: 0")
    ),
    Case(f"printf '\\377' >matplotlibrc; {TRAIN}", 1, False),
    # Folders, names and limits.
    Case(f"mkdir d; cd d; rmdir ../d; {TRAIN}", 2, False),
    Case(f"mkdir d; cd d; rmdir ../d; {TRAIN} --out $OLDPWD/runs"),
    Case(f"mkdir $'d\\xff'; cd $'d\\xff'; {TRAIN} --out ../runs"),
    *(Case(f"{TRAIN} --name={name}") for name in ("a/b", "..", "../../x", "$'a\\nb'", "' '", "--x", "a=b", ".a")),
    *(Case(f"{TRAIN} --name {name}", 2, False) for name in ("''", "$(printf 'a%.0s' {1..300})")),
    *(Case(f"touch f; ln -s none l; {TRAIN} --out {out}", 2, False) for out in ("f", "f/x", "l", "''", "/proc/x")),
    *(Case(f"{TRAIN} --threads {number}", 2, False) for number in ("0", "1025", "10000")),
    *(Case(f"ulimit {limit}; {TRAIN}") for limit in ("-n 20", "-s 256", "-c 0")),
    *(Case(f"ulimit -f {blocks}; {TRAIN}", 2, False) for blocks in (1, 4, 40)),
    # Words of the command line.
    *(
        Case(f"$CR {words}", 2, False)
        for words in ("trian digits", "''", "-", "--verison", "train digits --epoch 3", "train digits iris", "train ''")
    ),
    Case(f"cp t.csv ./-t.csv; cp t.csv a=b.csv; {TRAIN_TABLE.replace('t.csv', './-t.csv')}"),
    Case(f"cp t.csv a=b.csv; {TRAIN_TABLE.replace('t.csv', 'a=b.csv')}"),
]


def fault(case: Case) -> str:
    """What is wrong with the outcome of a case; empty if nothing is."""
    environment = {**os.environ, "CR": f"{sys.executable} -P -m chainrule", "PYTHONPATH": str(ROOT / "src")}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "t.csv").write_text(TABLE, encoding="utf-8")
        done = subprocess.run(
            ["bash", "-c", case.command], cwd=folder, env=environment, capture_output=True, check=False
        )
        said = (done.stdout + done.stderr).decode("utf-8", "backslashreplace")
        runs = [{path.name for path in run.iterdir()} for run in Path(folder).glob("runs/*")]
    if done.returncode != case.status:
        return f"status {done.returncode}, expected {case.status}: {said[-300:]}"
    if case.whole and runs != [WHOLE]:
        return f"left {runs}, expected one whole run: {said[-300:]}"
    return next((f"{word}: {said[-300:]}" for word in FAULTS if word in said), "")


def main(arguments: list[str] | None = None) -> None:
    """Run the cases and print those with a fault."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edges", description=__doc__)
    parser.add_argument("--only", default="", help="cases whose command contains this")
    parser.add_argument("--together", type=int, default=2, help="cases that run at the same time (default 2)")
    options = parser.parse_args(arguments)
    cases = [case for case in CASES if options.only in case.command]
    with ThreadPoolExecutor(options.together) as pool:
        found = list(pool.map(fault, cases))
    for case, what in zip(cases, found, strict=True):
        if what:
            print(f"{case.command}\n  {what}")
    faults = sum(map(bool, found))
    print(f"{len(cases)} cases, {faults} faults")
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
