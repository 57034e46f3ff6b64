"""The C interface: the structs of source/gptoss.h, and the functions of source/step.c."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from ctypes import c_char_p, c_double, c_float, c_int, c_int64, c_void_p
from functools import partial


class Dense(ctypes.Structure):
    """`struct dense`: a projection in bfloat16."""

    _fields_ = (
        ("weight", c_void_p),
        ("bias", c_void_p),
        ("rows", c_int64),
        ("columns", c_int64),
        ("packed", c_void_p * 4),
        ("int8", c_void_p * 4),
    )


class ExpertMatrices(ctypes.Structure):
    """`struct experts`: one matrix of each of a layer's experts, in MXFP4."""

    _fields_ = (
        ("blocks", c_void_p),
        ("scales", c_void_p),
        ("bias", c_void_p),
        ("rows", c_int64),
        ("columns", c_int64),
    )


class Layer(ctypes.Structure):
    """`struct layer`; a window of 0 is none."""

    _fields_ = (
        ("window", c_int64),
        ("attention_norm", c_void_p),
        ("sinks", c_void_p),
        ("experts_norm", c_void_p),
        ("q", Dense),
        ("k", Dense),
        ("v", Dense),
        ("o", Dense),
        ("router", Dense),
        ("gate_up", ExpertMatrices),
        ("down", ExpertMatrices),
    )


class Network(ctypes.Structure):
    """`struct network`."""

    _fields_ = (
        ("hidden", c_int64),
        ("heads", c_int64),
        ("kv_heads", c_int64),
        ("head_dim", c_int64),
        ("experts", c_int64),
        ("experts_per_token", c_int64),
        ("wide", c_int64),
        ("norm_eps", c_float),
        ("swiglu_alpha", c_float),
        ("swiglu_limit", c_float),
        ("concentration", c_float),
        ("frequencies", c_void_p),
        ("norm", c_void_p),
        ("unembedding", Dense),
    )


class CpuEngine:
    """A network in the library, with its threads; freed with this object.

    Its functions take addresses of values that stay where they are during the call. Those that compute return
    0 if there is no memory for their activations, of which `room` tells the bytes.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        network: Network,
        layers: ctypes.Array[Layer],
        threads: int,
        level: str | None,
    ) -> None:
        """Start `threads` threads; use no instructions beyond those of `level`. Raises MemoryError."""

        def function(name: str, result: type | None, *arguments: type) -> Callable[..., int]:
            found = library[f"gptoss_{name}"]
            found.restype, found.argtypes = result, arguments
            return found

        new = function(
            "new", c_void_p, ctypes.POINTER(Network), ctypes.POINTER(Layer), c_int64, c_int, c_char_p
        )
        handle = new(network, layers, len(layers), threads, level.encode() if level else None)
        if not handle:
            raise MemoryError("no memory for the threads of the native kernels")
        # Not when the program ends: a thread of it may compute to the last.
        weakref.finalize(self, function("free", None, c_void_p), handle).atexit = False
        self.handle: int = handle
        self.attend = function(
            "attend", c_int, c_void_p, c_int64, c_void_p, c_int64, c_void_p, c_int64, c_int64
        )
        self.mix = function("mix", c_int, c_void_p, c_int64, c_void_p, c_int64, c_void_p)
        self.draw = function(
            "draw", None, c_void_p, c_void_p, c_int64, c_float, c_void_p, c_void_p, c_int, c_void_p
        )
        self.copy_coarse = partial(function("copy_coarse", None, c_void_p), handle)
        self.pack = partial(function("pack", None, c_void_p), handle)
        self.quicken: Callable[[], int] = partial(function("quicken", c_int, c_void_p), handle)
        self.dense_bytes: Callable[[], float] = partial(function("dense_bytes", c_double, c_void_p), handle)
        self.unembedding_bytes: Callable[[], float] = partial(
            function("unembedding_bytes", c_double, c_void_p), handle
        )
        self.room = function("room", c_int64, c_void_p, c_int64)
        self.unembed = function("unembed", c_int, c_void_p, c_void_p, c_int64, c_void_p)
        self.level: str = function("level", c_char_p, c_void_p)(handle).decode()  # type: ignore[attr-defined]
        self.threads: int = function("threads", c_int, c_void_p)(handle)
