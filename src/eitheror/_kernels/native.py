"""Compiled kernels without Numba: machine code that Numba made once is loaded and called.

``native("tokens").scan(...)`` does what ``eitheror._kernels.tokens.scan(...)`` does. The first call
with arguments of some kind looks for the kernel in the store (`store`). Where it is there, llvmlite
loads it, and the time that Numba takes to start is saved. Where it is not, Numba compiles it, and
it is kept for the next process. Then it is called by Numba's convention: where the
value goes, where an exception would go, and the arguments taken apart, an array as seven words and
more.

Whatever is out of the ordinary goes to the real kernel: another platform than those on which this
was tried (Linux on x86-64), arrays that are not C-contiguous, other types than those below, kernels
that need more than the C library, Numba's compiler switched off or told to check bounds, a llvmlite
or Numba without what is used here, no folder to keep a kernel in, ``EITHEROR_NATIVE=0``.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from eitheror._kernels.store import Stored

__all__ = ["Counts", "Kernel", "Native", "counts", "native", "supported"]

_INTEGERS = {
    f"{kind}{size}": getattr(ctypes, f"c_{sign}int{8 * size}")
    for kind, sign in (("i", ""), ("u", "u"))
    for size in (1, 2, 4, 8)
}
# A truth value is one bit that is read from the lowest of a byte.
_C_TYPES: dict[str, Any] = {"b1": ctypes.c_uint8, "f4": ctypes.c_float, "f8": ctypes.c_double}
_C_TYPES |= _INTEGERS
_RETURNED: dict[str, Any] = {
    "none": ctypes.c_void_p,
    "int64": ctypes.c_int64,
    "uint64": ctypes.c_uint64,
    "float64": ctypes.c_double,
    "int64 int64": ctypes.c_int64 * 2,
}
_DONE = (0, -2)  # Numba's codes of a value and of None
_LARGEST = 2**63
_STARTED = time.time()
_LEFT_TO_NUMBA = "numba"
# Numba's own kernels tell what is wrong with an index, ours cannot.
_OTHERWISE = ("NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK")


@dataclass
class Counts:
    """What this process did: kernels that were made and kept, or loaded, and the folders."""

    made: int = 0
    loaded: int = 0
    folders: set[Path] = field(default_factory=set)


counts = Counts()
_lock = RLock()
_engines: list[Any] = []  # code lives as long as its engine


def supported() -> bool:
    """Whether kernels can be loaded without Numba here, and nobody switched it off."""
    return (
        sys.platform == "linux"
        and os.uname().machine == "x86_64"
        and __file__.endswith(".py")  # the sources are part of a kernel's name,
        and os.path.exists(__file__)  # which are not there in an archive
        and sys.implementation.name == "cpython"
        and ctypes.sizeof(ctypes.c_void_p) == 8
        and os.environ.get("EITHEROR_NATIVE", "1") != "0"
        and all(os.environ.get(name, "0") == "0" for name in _OTHERWISE)
        and not os.path.exists(".numba_config.yaml")  # Numba's settings in a file
    )


def _kind(value: Any) -> str | None:
    """Return the type of an argument in words, None for what the real kernel must see.

    Examples
    --------
    >>> [_kind(x) for x in (3, 2.5, True, (0, 0), np.float32(1), np.zeros((2, 3)), "a")]
    ['i8', 'f8', 'b1', '(i8,i8)', 'f4', 'f8[2]', None]
    """
    found = type(value)
    if found is int:
        return "i8" if -_LARGEST <= value < _LARGEST else None
    if found is float:
        return "f8"
    if found is bool:
        return "b1"
    if found is np.ndarray or found is np.memmap:
        flags, code = value.flags, value.dtype.str
        if not (flags.c_contiguous and flags.aligned) or code[0] not in "<|":
            return None
        if code[1:] not in _C_TYPES or value.ndim == 0:
            return None
        return f"{code[1:]}[{value.ndim}]" + ("" if flags.writeable else "r")
    if isinstance(value, np.generic):
        code = value.dtype.str[1:]
        return code if code in _C_TYPES else None
    if isinstance(value, tuple):
        kinds = [_kind(part) for part in value]
        if None in kinds or not kinds:
            return None
        name = "" if found is tuple else f"{found.__module__}.{found.__qualname__}"
        return f"{name}({','.join(map(str, kinds))})"
    return None


def _flatten(value: Any, words: list[Any]) -> None:
    """Append an argument as Numba hands it over."""
    if isinstance(value, np.ndarray):
        place = value.__array_interface__["data"][0]
        words += [None, None, value.size, value.itemsize, place, *value.shape, *value.strides]
    elif isinstance(value, tuple):
        for part in value:
            _flatten(part, words)
    else:
        words.append(value.item() if isinstance(value, np.generic) else value)


def _words(value: Any) -> list[Any]:
    """Return the C types of `_flatten`'s words."""
    if isinstance(value, np.ndarray):
        word, size = ctypes.c_void_p, ctypes.c_ssize_t
        return [word, word, size, size, word, *[size] * (2 * value.ndim)]
    if isinstance(value, tuple):
        return [word for part in value for word in _words(part)]
    return [_C_TYPES[str(_kind(value))]]


class Kernel:
    """One kernel of a module, called like the kernel itself.

    Parameters
    ----------
    module, name : str
        The module in `eitheror._kernels`, and the kernel's name in it.
    """

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name
        self._known: dict[str, Callable[[tuple[Any, ...]], Any]] = {}

    def __call__(self, *args: Any) -> Any:
        """Call the kernel."""
        kinds = [_kind(value) for value in args]
        if None in kinds:
            return self.real(*args)
        signature = ",".join(map(str, kinds))
        run = self._known.get(signature)
        if run is None:
            with _lock:
                run = self._known.get(signature) or self._find(signature, args)
                self._known[signature] = run
        return run(args)

    @property
    def real(self) -> Any:
        """The kernel that Numba compiles."""
        return getattr(import_module(f"eitheror._kernels.{self.module}"), self.name)

    def _real_run(self, args: tuple[Any, ...]) -> Any:
        return self.real(*args)

    def _find(self, signature: str, args: tuple[Any, ...]) -> Callable[[tuple[Any, ...]], Any]:
        if not supported():
            return self._real_run
        try:
            return self._kept(signature, args) or self._real_run
        except Exception:  # Numba says what is wrong, or does it in its own way
            return self._real_run

    def _kept(
        self, signature: str, args: tuple[Any, ...]
    ) -> Callable[[tuple[Any, ...]], Any] | None:
        """Return the machine code's function; None where Numba's own cache serves better."""
        from eitheror._kernels import store  # not for a few lines, which need no kernel

        where = self.module, self.name, signature
        found = store.read(*where)
        if found is not None:
            run = self._caller(found[1], args)
            if run is not None:
                counts.loaded += 1
                counts.folders.add(found[0])
            return run
        if not any(store.writable()):
            return None
        stored = _compiled(self.real, args, store.identity(*where))
        if stored is None:
            return None
        run = self._caller(stored, args)
        folder = store.write(*where, stored) if store.unchanged_since(_STARTED) else None
        if run is not None and folder is not None:
            counts.made += 1
            counts.folders.add(folder)
        return run

    def _caller(
        self, stored: Stored, example: tuple[Any, ...]
    ) -> Callable[[tuple[Any, ...]], Any] | None:
        """Return the function that calls the machine code; it runs without the lock."""
        address = _load(stored)
        if address is None:
            return None
        word = ctypes.c_void_p
        types = [kind for value in example for kind in _words(value)]
        code = ctypes.CFUNCTYPE(ctypes.c_int32, word, word, *types)(address)
        returned = _RETURNED[stored.returns]

        def run(args: tuple[Any, ...]) -> Any:
            value, raised = returned(), word()
            words: list[Any] = []
            for arg in args:
                _flatten(arg, words)
            status = code(ctypes.addressof(value), ctypes.addressof(raised), *words)
            if status not in _DONE:
                raise RuntimeError(f"{self.module}.{self.name} stopped with code {status}")
            if stored.returns == "none":
                return None
            return tuple(value) if stored.returns == "int64 int64" else value.value

        return run


class Native:
    """The kernels of a module, as attributes."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Kernel:
        kernel = Kernel(self._module, name)
        self.__dict__[name] = kernel
        return kernel


@cache
def native(module: str) -> Native:
    """Return the kernels of a module of this package, without importing it.

    Parameters
    ----------
    module : str
        "tokens" for `eitheror._kernels.tokens`.

    Returns
    -------
    Native
        Its attributes are called like the module's kernels, arguments by position.

    Examples
    --------
    >>> counts = np.zeros(2, np.int64)
    >>> native("tokens").intern(
    ...     np.array([7, 7], np.uint64), 0, np.zeros(4, np.uint64), np.full(4, -1, np.int32), 0, 2,
    ...     np.zeros(2, np.int32), counts)
    (2, 1)
    """
    return Native(module)


@cache
def _machine() -> Any:
    import llvmlite.binding as llvm

    with suppress(RuntimeError, AttributeError):  # older versions need it, newer ones refuse it
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple()


def _load(stored: Stored) -> int | None:
    """Return the address of a kernel; None if it is left to Numba, or the process lacks a name.

    LLVM ends the process if a name is missing, so every name is looked for first.
    """
    import llvmlite.binding as llvm

    if stored.returns not in _RETURNED or not all(map(llvm.address_of_symbol, stored.needs)):
        return None
    machine = _machine().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(stored.code))
    engine.finalize_object()
    address = int(engine.get_function_address(stored.symbol))
    _engines.append(engine)
    return address or None


def _compiled(kernel: Any, args: tuple[Any, ...], identity: str) -> Stored | None:
    """Compile a kernel for these arguments; None if it is not bare.

    One that turns out to need more than the C library is kept without code: it is not tried again.
    """
    import numba
    from numba.core import compiler
    from numba.core.compiler_lock import global_compiler_lock

    from eitheror._kernels.store import Stored

    made = getattr(kernel, "_compiler", None)
    if made is None or made.targetoptions.get("_nrt", True):
        return None
    flags = compiler.Flags()
    made.targetdescr.options.parse_as_flags(flags, made.targetoptions)
    flags = made._customize_flags(flags)
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    with global_compiler_lock:
        found = compiler.compile_extra(
            made.targetdescr.typing_context,
            made.targetdescr.target_context,
            kernel.py_func,
            tuple(map(numba.typeof, args)),
            None,
            flags,
            {},
            pipeline_class=made.pipeline_class,
        )
    returned = found.signature.return_type
    pair = isinstance(returned, numba.types.UniTuple) and returned.count == 2
    word = " ".join([str(returned.dtype)] * 2) if pair else str(returned)
    code = bytes(found.library._get_compiled_object())
    needs = undefined(code)
    if word not in _RETURNED or not all(map(_common, needs)):
        return Stored(identity, "", [], _LEFT_TO_NUMBA, b"")
    return Stored(identity, found.fndesc.llvm_func_name, needs, word, code)


def _common(name: str) -> bool:
    """Whether a name is in any process, as those of the C library.

    Python's are not, nor are those of Intel's vector library, which Numba brings with it.
    """
    return not name.startswith(("Py", "_Py", "__svml")) and hasattr(ctypes.CDLL(None), name)


def undefined(code: bytes) -> list[str]:
    """Return the names that an object file (64-bit ELF, little-endian) uses and does not define."""
    start, size, count = *struct.unpack_from("<40xQ10x", code), *struct.unpack_from("<HH", code, 58)
    sections = [struct.unpack_from("<4xI16xQQI12xQ", code, start + size * i) for i in range(count)]
    names = []
    for kind, place, length, link, entry in sections:
        if kind == 2:  # the table of symbols; `link` is the section of their names
            for symbol in range(place + entry, place + length, entry):
                name, section = struct.unpack_from("<I2xH", code, symbol)
                first = sections[link][1] + name
                if section == 0:
                    names.append(code[first : code.index(b"\0", first)].decode())
    return sorted(names)
