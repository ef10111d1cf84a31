"""`chainrule`: runs a command, and turns each outcome into an exit status.

0    success; also if the reader of the output closes it early, as `| head` does: a training goes on without it
1    failure while running: a loss or output that is not finite, code that cannot be compiled, no memory, a figure that
     cannot be drawn
2    invalid options, data or files; a file, or standard output, that cannot be written, as on a full disk: a training
     goes on without it
129  SIGHUP, 130 Ctrl-C, 143 SIGTERM, with the last good state saved; a second one ends the command at once
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from chainrule.cli.advice import as_options
from chainrule.cli.output import standard_streams, tell
from chainrule.errors import ChainruleError, NativeError, NonFiniteError
from chainrule.files import failure
from chainrule.interrupt import STOPPING, Interrupt

TRACEBACK = "CHAINRULE_TRACEBACK"
LESS_MEMORY = (  # in training
    "use a smaller --batch-size, --image-size or --model, less data, or --memory-limit, which recomputes values "
    "instead of storing them"
)
WIDE = 5  # digits of a terminal's size that cannot be meant
OBJECTS = 50_000  # made before the garbage collector runs


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status. Never raises."""
    words = sys.argv[1:] if arguments is None else arguments
    with standard_streams() as out, Interrupt(*STOPPING[1:]) as interrupt:
        try:
            status = _run(words)
        except KeyboardInterrupt:
            first = interrupt.first or signal.SIGINT
            tell(f"stopped by {'Ctrl-C' if first == signal.SIGINT else first.name}")
            return 128 + first
        out.flush()
        if out.failure is not None:
            tell(f"standard output: cannot be written ({out.failure.strerror}): the rest of the output is lost")
        return status if out.failure is None else status or 2


def _run(words: list[str]) -> int:
    """The exit status of a command, whose errors are told; raises KeyboardInterrupt."""
    try:
        _repair_environment()
        with _few_collections():
            return _command(words)
    except ImportError as error:
        remedy = "pip install --force-reinstall chainrule, or in a clone pip install -e ."
        return _failed(f"{error}: the installation is incomplete: {remedy}", 1)
    except (NonFiniteError, NativeError) as error:
        return _failed(as_options(str(error)), 1)
    except ChainruleError as error:
        return _failed(as_options(str(error)), 2)
    except MemoryError:
        return _failed(f"out of memory: {LESS_MEMORY if words[:1] == ['train'] else 'use fewer rows at a time'}", 1)
    except OSError as error:
        if error.errno is None:  # a library that cannot be loaded
            return _failed(f"{error}: free some memory, or see whether the installation is complete", 1)
        if error.filename:
            return _failed(str(failure(str(error.filename), "read or written", error)), 2)
        return _failed(f"cannot be read or written ({error.strerror or error})", 2)
    except Exception as error:  # a bug; one line serves a user better than a traceback
        if os.environ.get(TRACEBACK):
            raise
        where = f"please report it, with the traceback that {TRACEBACK}=1 shows"
        return _failed(f"internal error: {type(error).__name__}: {error}: {where}", 1)


def _command(words: list[str]) -> int:
    """The exit status of a command; the errors are those of its options."""
    import typer  # here, so that Ctrl-C while it loads is handled

    from chainrule.cli.app import app

    try:
        status = app(words or ["--help"], prog_name="chainrule", standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "chainrule"
        return _failed(f"{error.format_message().rstrip('.')}: see `{where} -h`", 2)
    if status == 128 + signal.SIGINT:  # what typer makes of KeyboardInterrupt
        raise KeyboardInterrupt
    return int(status or 0)


def _repair_environment() -> None:
    """Remove sizes of the terminal that are none, which rich and typer read without a check."""
    for name in ("COLUMNS", "LINES", "TERMINAL_WIDTH"):
        size = os.environ.get(name, "")
        if not (size.isascii() and size.isdecimal() and len(size) < WIDE and int(size) > 0):
            os.environ.pop(name, None)


def _failed(message: str, status: int) -> int:
    tell(message)
    return status


@contextmanager
def _few_collections() -> Iterator[None]:
    """Context in which the garbage collector runs less often: while modules load it would walk all of them, for
    nothing."""
    usual = gc.get_threshold()
    gc.set_threshold(max(usual[0], OBJECTS), *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
