"""The store of compiled code: object files on disk, loaded into this process with llvmlite alone.

A file's folder is named by a hash of everything its code depends on (the package's own kernel sources, the compilers'
versions and settings, the processor), so an upgrade never runs stale code. A file begins with a digest of its code: one
that does not match, or that others may write, is compiled again. Files are written under a temporary name and renamed,
so processes may share a folder.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import itertools
import os
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from llvmlite import binding as llvm

from chainrule.errors import FileError, NativeError
from chainrule.files import write_whole
from chainrule.native.machine import processor

DIGEST = hashlib.sha256().digest_size  # bytes at the beginning of a file
SOURCES = ("native", "kernels", "ops", "optim")  # the folders whose sources decide what is compiled
SETTINGS = ".numba_config.yaml"  # from which Numba reads settings too, in the working directory
# Settings of Numba that change no code; any other counts.
HARMLESS = {"NUMBA_DISABLE_JIT", "NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER"}
STALE = 3600  # seconds after which a temporary file must belong to a compilation that was killed
_lock = threading.RLock()
_serial = itertools.count()
_loaded: dict[str, Any] = {}


def tell(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"chainrule: {message}\n")
    sys.stderr.flush()


@functools.cache
def target_machine() -> llvm.TargetMachine:
    """LLVM's description of the processor this process runs on."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    cpu = processor()
    return target.create_target_machine(cpu=cpu.name, features=cpu.features, opt=3, codemodel="jitdefault", jit=True)


@functools.cache
def _linker() -> Any:
    return llvm.create_lljit_compiler(target_machine())


@functools.cache
def folder() -> Path:
    """The folder of this version's object files for this processor; rejected if others could plant code there.

    A folder for this user alone in CHAINRULE_CACHE, else in the user's cache folder; where that cannot be written (a
    read-only home), in the folder for temporary files, where the next process finds it again. Raises NativeError.
    """
    chosen = os.environ.get("CHAINRULE_CACHE")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chainrule"
    try:
        return _private(base, version())
    except OSError as error:
        reason = error.strerror
    try:
        instead = Path(tempfile.gettempdir()) / f"chainrule-{_user()}"
        tell(f"no kernel cache in {base} ({reason}); using {instead}: set CHAINRULE_CACHE")
        if instead.is_symlink():  # anyone could create one there, and so choose where code is written
            raise NativeError(f"kernel cache {instead}: is a link: remove it or set CHAINRULE_CACHE")
        return _private(instead, version())
    except OSError as error:
        raise NativeError(
            f"kernel cache {base}: cannot be made ({reason}), nor one for temporary files ({error.strerror}): "
            "set CHAINRULE_CACHE to a folder you may write"
        ) from None


def version(package: Path = Path(__file__).parent.parent) -> str:
    """A hash of all that decides what is compiled: the sources, the compilers, the processor."""
    digest = hashlib.sha256()
    for source in sorted(file for name in SOURCES for file in (package / name).rglob("*.py")):
        digest.update(str(source.relative_to(package)).encode() + b"\0" + source.read_bytes())
    cpu = processor()
    versions = (metadata.version("numba"), metadata.version("llvmlite"), cpu.name, cpu.features, sys.platform)
    for part in (*versions, *_compiler_settings()):
        digest.update(part.encode(errors="surrogateescape") + b"\0")
    return digest.hexdigest()[:16]


def _compiler_settings() -> list[str]:
    """The user's settings of Numba that may change what it compiles: NUMBA_OPT=0, for example."""
    found = [f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith("NUMBA_") and k not in HARMLESS]
    file = Path(SETTINGS)
    return [*found, file.read_text(errors="surrogateescape")] if file.is_file() else found


def _private(base: Path, name: str) -> Path:
    """The folder `name` in `base`, both private to their owner. Raises OSError, or NativeError if they are not."""
    for path in (base, base / name):  # one by one: parents made on the way get the rights of the user's mask
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_shared(path)
    return base / name


def _refuse_shared(path: Path) -> None:
    """Object files are run as code, so only their owner may write them."""
    if not _is_private(path.stat()):
        raise NativeError(
            f"kernel cache {path}: others may write it, so its code cannot be trusted: "
            f"run `chmod go-w {path}` as its owner or set CHAINRULE_CACHE to a folder of your own"
        )


def _is_private(found: os.stat_result) -> bool:
    """Whether this user alone may write a file or folder."""
    if not hasattr(os, "getuid"):
        return True
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "cache"  # elsewhere each user has a temporary folder


def load(symbols: tuple[str, ...], make: Callable[[], bytes], imports: tuple[str, ...] = ()) -> tuple[int, ...]:
    """The addresses of `symbols`, which one object file named after the first defines; made with `make` where missing.

    `imports` are symbols it calls, loaded before. Safe from many threads and processes.
    """
    with _lock:
        if symbols[0] not in _loaded:
            file = folder() / f"{symbols[0]}.o"
            code = _kept(file)
            if code is None:
                code = make()
                _keep(file, code)
            _loaded[symbols[0]] = _link(symbols, code, imports)
        return tuple(_loaded[symbols[0]][symbol] for symbol in symbols)


def _link(symbols: tuple[str, ...], code: bytes, imports: tuple[str, ...]) -> dict[str, int]:
    builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    for name in symbols:
        builder.export_symbol(name)
    for name in imports:
        builder.import_symbol(name, address(name))
    try:
        # A name of its own: one that was interrupted here stays in use for the life of the process.
        library = builder.link(_linker(), f"{symbols[0]}#{next(_serial)}")
    except RuntimeError as error:
        raise NativeError(f"kernel {symbols[0]}: its object code does not load ({error})") from error
    addresses = {name: int(library[name]) for name in symbols}
    addresses["library"] = library  # keeps the code alive
    return addresses


def address(symbol: str) -> int:
    """Where a symbol loaded before starts."""
    for addresses in _loaded.values():
        if symbol in addresses:
            found: int = addresses[symbol]
            return found
    raise NativeError(f"symbol {symbol} is called before it is loaded")


def _kept(file: Path) -> bytes | None:
    """The object code in a file of the store; None if there is none, or none to trust, which is reported."""
    try:
        return _trusted(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        tell(f"kernel cache {file}: {error.strerror}: compiled anew")
        return None


def _trusted(file: Path) -> bytes:
    """The object code in a regular file that this user alone may write, undamaged; OSError says what is wrong."""
    # Neither is a link followed, nor a pipe waited for.
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "is no regular file")
        if not _is_private(found):
            raise OSError(errno.EPERM, "others may write it")
        with open(descriptor, "rb", closefd=False) as stream:
            content = stream.read()
    finally:
        os.close(descriptor)
    code = content[DIGEST:]
    if content[:DIGEST] != _digest(file, code):
        raise OSError(errno.EIO, "is damaged")
    return code


def _digest(file: Path, code: bytes) -> bytes:
    """Of code and name, so that one kernel's file is not taken for another's."""
    return hashlib.sha256(file.name.encode() + b"\0" + code).digest()


def _keep(file: Path, code: bytes) -> None:
    """Write an object file. A full disk costs the cache, not the run."""
    try:
        if file.is_dir():
            file.rmdir()
        write_whole(file, lambda beside: beside.write_bytes(_digest(file, code) + code))
        _clean(file.parent)
    except (FileError, OSError) as error:
        tell(f"kernel cache: {error}")


def _clean(place: Path) -> None:
    """Remove what killed compilations left."""
    for file in place.glob(".*.o"):
        with contextlib.suppress(FileNotFoundError):  # another process was quicker
            if time.time() - file.stat().st_mtime > STALE:
                file.unlink()
