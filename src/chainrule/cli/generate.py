"""`chainrule generate`: text that a trained language model writes, as it writes it."""

from __future__ import annotations

import sys
import time
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chainrule.cli.options import RUN, Runs
from chainrule.cli.settings import parse
from chainrule.settings import number, whole

if TYPE_CHECKING:
    from chainrule.data.text import Vocabulary

AT_ONCE = 16  # tokens between two pieces of text that are printed


def generate(
    run: Annotated[str, typer.Argument(metavar="RUN", help=RUN)] = "latest",
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt", metavar="TEXT", help="The beginning, which the text goes on from [default: a new line]"
        ),
    ] = None,
    length: Annotated[str, typer.Option("--length", metavar="N", help="Tokens to write")] = "400",
    temperature: Annotated[
        str,
        typer.Option(
            "--temperature",
            metavar="X",
            help="Below 1 likely tokens are drawn more often than the network finds them likely, above 1 less often; "
            "with 0 always the most likely one",
        ),
    ] = "1",
    top_k: Annotated[
        str | None, typer.Option("--top-k", metavar="N", help="Draw among the N most likely tokens alone")
    ] = None,
    seed: Annotated[str, typer.Option("--seed", metavar="N", help="Random seed of the draws")] = "0",
    runs: Runs = "runs",
) -> None:
    """Let a network that was trained on text write.

    The same seed gives the same text. Ctrl-C stops it.

    Examples:
      [bold]chainrule generate latest --prompt "To be" --temperature 0.8[/bold]
      [bold]chainrule generate latest --length 1000 --top-k 20 --seed 3 > text.txt[/bold]
    """
    settings = {
        "temperature": number("generate", "temperature", parse(float, temperature), least=0),
        "top_k": None if top_k is None else whole("generate", "top_k", parse(int, top_k)),
        "seed": whole("generate", "seed", parse(int, seed), least=0),
    }
    wanted = whole("generate", "length", parse(int, length))

    from chainrule.cli.report import error_console
    from chainrule.cli.run import Run
    from chainrule.cli.saved import read_run
    from chainrule.data.text.inputs import TextInputs
    from chainrule.errors import DataError

    found = read_run(Run.find(run, runs))
    inputs = found.preparation.inputs
    if not isinstance(inputs, TextInputs):
        raise DataError(f"{found.run.folder}: it was not trained on text: name a run that was")
    first = _beginning(inputs.vocabulary, prompt)
    begun = prompt or ""  # printed with the first piece: messages on compiling come before that
    started: float | None = None
    for piece in write(found.model, inputs.vocabulary, first, wanted, settings):
        sys.stdout.write(begun + piece)
        sys.stdout.flush()
        if getattr(sys.stdout, "lost", False):  # as with `| head`: nobody reads on
            return
        begun, started = "", started or time.perf_counter()
    sys.stdout.write("\n")
    timed = wanted - AT_ONCE  # the first piece may have waited for the compiler
    speed = f", {timed / (time.perf_counter() - started):,.0f} a second" if started and timed > 0 else ""
    error_console().print(f"{wanted:,} {inputs.vocabulary.unit}s{speed}")


def write(model: Any, vocabulary: Vocabulary, first: list[int], length: int, settings: dict[str, Any]) -> Iterator[str]:
    """Pieces of the text that follows the tokens `first`."""
    import chainrule as cr

    stream, tokens = cr.Stream(model), [first]

    def numbers() -> Iterator[int]:
        left = length
        while left:
            part = min(left, AT_ONCE)
            found = stream.generate(tokens[-1:], part, **settings)[0].tolist()
            tokens.append(found[-1:])  # the stream knows the others
            yield from found
            left -= part

    pending = ""
    for count, text in enumerate(vocabulary.decoding(numbers()), 1):
        pending += text
        if count % AT_ONCE == 0:
            yield pending
            pending = ""
    yield pending


def _beginning(vocabulary: Vocabulary, prompt: str | None) -> list[int]:
    """The tokens of the prompt; without one those of a new line, or the first token if there is none."""
    from chainrule.data.text import Characters
    from chainrule.errors import OptionError

    if prompt is None:
        lacks = isinstance(vocabulary, Characters) and "\n" not in vocabulary.names
        return [0] if lacks else list(vocabulary.encode("\n"))
    text = unicodedata.normalize("NFC", prompt.replace("\r\n", "\n"))
    if not text:
        raise OptionError("prompt: it is empty: leave it out to begin with a new line")
    if any("\ud800" <= sign <= "\udfff" for sign in text):  # what Python makes of bytes that are not UTF-8
        raise OptionError("prompt: it is not UTF-8 text: write it in UTF-8")
    return list(vocabulary.encode(text, "prompt"))
