"""`chainrule`: runs a command, and turns each way of ending into an exit status.

0    done
1    the run failed: a loss that is not finite, code that cannot be compiled, no memory
2    something to mend first: options, data, files
130  Ctrl-C, with the last good state saved
"""

from __future__ import annotations

import os
import sys

from chainrule.errors import ChainruleError, NativeError, NonFiniteError

INTERRUPTED = 130
TRACEBACK = "CHAINRULE_TRACEBACK"
OUT_OF_MEMORY = (
    "out of memory: train with a smaller --batch-size, --image-size or --model, with less data, or with "
    "--memory-limit, which computes values again instead of keeping them"
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status. Never raises."""
    try:
        import typer  # here, so that Ctrl-C while it loads is answered below

        from chainrule.cli.app import app

        words = sys.argv[1:] if arguments is None else arguments
        status = app(words or ["--help"], prog_name="chainrule", standalone_mode=False)
        sys.stdout.flush()
        if status == INTERRUPTED:  # what typer makes of Ctrl-C, and a training run that has put its state away
            raise KeyboardInterrupt
        return int(status or 0)
    except BrokenPipeError:
        _forget_output()  # the reader has gone, as after `| head`: nothing is wrong
        return 0
    except KeyboardInterrupt:
        return _say("stopped by Ctrl-C", INTERRUPTED)
    except ImportError as error:
        mend = "pip install --force-reinstall chainrule, or in a clone pip install -e ."
        return _say(f"{error}: the installation is not whole: {mend}", 1)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        return _say(
            f"{error.format_message().rstrip('.')}: see `{context.command_path if context else 'chainrule'} -h`", 2
        )
    except (NonFiniteError, NativeError) as error:
        return _say(str(error), 1)
    except ChainruleError as error:
        return _say(str(error), 2)
    except MemoryError:
        return _say(OUT_OF_MEMORY, 1)
    except OSError as error:
        _forget_output()
        return _say(f"{error.filename or 'standard output'}: cannot be used ({error.strerror or error})", 2)
    except Exception as error:  # a mistake of ours; a user is better served by one line
        if os.environ.get(TRACEBACK):
            raise
        where = f"set {TRACEBACK}=1 to see where, and please report it"
        return _say(f"internal error: {type(error).__name__}: {error}: {where}", 1)


def _say(message: str, status: int) -> int:
    """One line on standard error."""
    try:
        sys.stderr.write("chainrule: " + " ".join(message.split()) + "\n")
    except OSError:
        _forget_output()  # nobody can be told
    return status


def _forget_output() -> None:
    """Let the interpreter's own flush at exit find nothing to complain about."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
