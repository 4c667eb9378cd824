"""The short list of names a state dict needs, and the inert value that each becomes. No name is ever imported."""

from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Mapping
from itertools import islice
from math import prod
from typing import Any

from decay_audit.sources.checkpoint.pickle.values import ITEM_SIZES, MalformedError, Name, Opaque, Storage, Tensor

MAX_DIMENSIONS = 64
MAX_ATTRIBUTES = 64
MAX_ELEMENTS = 2**63 - 1

Build = Callable[[tuple[Any, ...]], object]

_STORAGES = {
    "Float": "float32",
    "Double": "float64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Bool": "bool",
    "Byte": "uint8",
    "Char": "int8",
    "Short": "int16",
    "Int": "int32",
    "Long": "int64",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
    "QInt8": "qint8",
    "QUInt8": "quint8",
    "QInt32": "qint32",
    "QUInt4x2": "quint4x2",
    "QUInt2x4": "quint2x4",
    "Untyped": "untyped",
}
_DTYPE_ALIASES = {"float": "float32", "double": "float64", "half": "float16", "long": "int64", "int": "int32"}


def sizes(value: object) -> tuple[int, ...]:
    """Read a shape or a stride, or say what is wrong with it."""
    if not isinstance(value, tuple | list) or len(value) > MAX_DIMENSIONS:
        raise MalformedError(f"a shape is not a tuple of at most {MAX_DIMENSIONS} integers")
    for size in value:
        if type(size) is not int or not -1 < size <= MAX_ELEMENTS:
            raise MalformedError("a shape or stride holds something else than an integer from 0")
    return tuple(value)


def shape_of(value: object) -> tuple[int, ...]:
    """Read a shape of as many elements as a tensor can have, or say what is wrong with it."""
    size = sizes(value)
    elements = prod(size)
    if elements > MAX_ELEMENTS:
        raise MalformedError(f"a tensor claims {min(elements, 10**300):.3g} elements")
    return size


def _strided(storage: object, offset: object, shape: object, stride: object, trainable: object, dtype: str) -> Tensor:
    if type(storage) is not Storage or type(offset) is not int or offset < 0:
        raise MalformedError("a tensor is rebuilt from something else than a storage and an offset")
    size, step = shape_of(shape), sizes(stride)
    if len(size) != len(step):
        raise MalformedError(f"a tensor of {len(size)} dimensions has {len(step)} strides")
    if storage.count is not None and 0 not in size:
        last = offset + sum((n - 1) * s for n, s in zip(size, step, strict=True))
        held = storage.count
        if dtype != storage.dtype:
            held = held * ITEM_SIZES.get(storage.dtype, 1) // ITEM_SIZES.get(dtype, 1)
        if last >= held:
            raise MalformedError(f"a tensor of shape {list(size)} reaches beyond its storage of {held} elements")
    return Tensor(
        shape=size,
        dtype=dtype,
        storage=storage,
        offset=offset + storage.first,
        stride=step,
        trainable=True if trainable is True else None,
    )


def _dtype(value: object) -> str:
    if type(value) is not Name or value.dtype not in ITEM_SIZES:
        raise MalformedError("a tensor's type is not one of torch's types")
    return value.dtype


def _tensor(arguments: tuple[Any, ...]) -> Tensor:
    storage, offset, shape, stride, *rest = arguments
    dtype = storage.dtype if type(storage) is Storage else ""
    return _strided(storage, offset, shape, stride, rest[0] if rest else None, dtype)


def _tensor_of_dtype(arguments: tuple[Any, ...]) -> Tensor:
    storage, offset, shape, stride, trainable, _hooks, dtype = arguments[:7]
    return _strided(storage, offset, shape, stride, trainable, _dtype(dtype))


def _quantized(arguments: tuple[Any, ...]) -> Tensor:
    storage, offset, shape, stride = arguments[:4]
    return _tensor((storage, offset, shape, stride))


def _without_storage(arguments: tuple[Any, ...]) -> Tensor:
    dtype, shape, stride, trainable = arguments
    return Tensor(shape=shape_of(shape), dtype=_dtype(dtype), stride=sizes(stride), trainable=trainable is True or None)


def _wrapper(arguments: tuple[Any, ...]) -> Tensor:
    _type, dtype, shape = arguments[:3]
    return Tensor(shape=shape_of(shape), dtype=_dtype(dtype), trainable=arguments[-1] is True or None)


def _sparse(arguments: tuple[Any, ...]) -> object:
    _layout, data = arguments
    if len(data) > MAX_DIMENSIONS:
        raise MalformedError("a sparse tensor is rebuilt from too many parts")
    found = [item for item in data if type(item) is Tensor]
    shapes = [item for item in data if isinstance(item, tuple | list)]
    if not found or not shapes:
        raise MalformedError("a sparse tensor has no values or no shape")
    return Tensor(shape=shape_of(shapes[-1]), dtype=found[-1].dtype)


def _moved(arguments: tuple[Any, ...]) -> object:
    """Rebuild from data on another device; from a NumPy array only the type is known, so it stays opaque."""
    data, dtype = arguments[:2]
    if type(data) is not Tensor:
        return Opaque(name="torch._utils._rebuild_device_tensor_from_numpy", arguments=arguments)
    return Tensor(shape=data.shape, dtype=_dtype(dtype), storage=data.storage, offset=data.offset, stride=data.stride)


def _parameter(arguments: tuple[Any, ...]) -> object:
    data, trainable, *_ = arguments
    if type(data) is not Tensor:
        return data
    return _with(data, trainable=trainable if isinstance(trainable, bool) else None)


def _parameter_with_state(arguments: tuple[Any, ...]) -> object:
    data, trainable, _hooks, state = arguments
    if type(data) is not Tensor:
        return data
    return with_attributes(_with(data, trainable=trainable if isinstance(trainable, bool) else None), state)


def _from_type(arguments: tuple[Any, ...]) -> object:
    build, _type, inner, state = arguments
    if type(build) is not Name or build.build in (None, _from_type) or not isinstance(inner, tuple):
        return Opaque(name=build.qualified if type(build) is Name else "?", arguments=arguments)
    made = build.build(inner)
    return with_attributes(made, state) if type(made) is Tensor else made


def _with(data: Tensor, *, trainable: bool | None, attributes: tuple[str, ...] = ()) -> Tensor:
    return Tensor(
        shape=data.shape,
        dtype=data.dtype,
        storage=data.storage,
        offset=data.offset,
        stride=data.stride,
        trainable=trainable,
        attributes=attributes,
    )


def with_attributes(data: Tensor, state: object) -> Tensor:
    """Add the names of the attributes that a saved `__dict__` sets, and true."""
    held = state[0] if isinstance(state, tuple) and state else state
    if not isinstance(held, dict):
        return data
    first = islice(held.items(), MAX_ATTRIBUTES)
    names = tuple(key for key, value in first if isinstance(key, str) and value is not None and value is not False)
    return _with(data, trainable=data.trainable, attributes=names)


def _itself(arguments: tuple[Any, ...]) -> object:
    """Stand for `list(x)`, `set(x)`, `torch.Size(x)`: the argument says all, and no copy can be made to grow."""
    return arguments[0] if arguments else []


def _empty_bytes(arguments: tuple[Any, ...]) -> object:
    """Stand for `bytes()`, protocol 2's way to write no bytes at all, and for `bytearray(x)`."""
    return arguments[0] if arguments else b""


def _mapping(arguments: tuple[Any, ...]) -> object:
    return next((item for item in reversed(arguments) if isinstance(item, dict)), None) or dict(_pairs(arguments))


def _pairs(arguments: tuple[Any, ...]) -> list[tuple[Any, object]]:
    """Read what Python 2 gave to OrderedDict: one list of pairs, with plain keys only."""
    items = arguments[0] if arguments and isinstance(arguments[0], list) else []
    pairs = [(pair[0], pair[1]) for pair in items if len(pair) == 2 and type(pair[0]) in (str, int)]
    items.clear()  # a stream that calls this again on the same list cannot have it copied again
    return pairs


def _text(arguments: tuple[Any, ...]) -> object:
    """Stand for `_codecs.encode(text, "latin1")`, protocol 2's way to write bytes; only short ones are made."""
    text = arguments[0]
    return text.encode("latin1", "replace") if isinstance(text, str) and len(text) <= 64 else text


def _instance(arguments: tuple[Any, ...]) -> Opaque:
    """Stand for `copyreg._reconstructor(cls, base, state)`."""
    kind = arguments[0]
    return Opaque(name=kind.qualified if type(kind) is Name else "?", arguments=arguments[1:])


def _inert(arguments: tuple[Any, ...]) -> object:
    """Stand for a device, a layout, a range, ...: a value that says nothing about shapes."""
    return Opaque(name="", arguments=arguments)


_BUILDERS: Mapping[str, Build] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_qtensor": _quantized,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_sparse_csr_tensor": _sparse,
    "torch._utils._rebuild_meta_tensor_no_storage": _without_storage,
    "torch._utils._rebuild_wrapper_subclass": _wrapper,
    "torch._utils._rebuild_device_tensor_from_numpy": _moved,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _moved,
    "torch._utils._rebuild_xla_tensor": _moved,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter_with_state,
    "torch._tensor._rebuild_from_type": _from_type,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.Size": _itself,
    "torch.device": _inert,
    "torch.serialization._get_layout": _inert,
    "torch.Tensor": _inert,
    "torch.nn.parameter.Parameter": _inert,
    "torch.nn.Parameter": _inert,
    "torch.nn.parameter.Buffer": _inert,
    "torch.jit._pickle.build_intlist": _itself,
    "torch.jit._pickle.build_doublelist": _itself,
    "torch.jit._pickle.build_boollist": _itself,
    "torch.jit._pickle.build_tensorlist": _itself,
    "torch.jit._pickle.restore_type_tag": _itself,
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _mapping,
    "collections.Counter": _mapping,
    "_codecs.encode": _text,
    "copyreg._reconstructor": _instance,
    **{f"builtins.{name}": _itself for name in ("list", "tuple", "set", "frozenset")},
    **{f"builtins.{name}": _empty_bytes for name in ("bytearray", "bytes", "str")},
    **{f"builtins.{name}": _inert for name in ("complex", "range", "slice", "object", "int", "float", "bool")},
    "builtins.dict": _mapping,
}

_CONSTANTS = (
    *("strided", "sparse_coo", "contiguous_format", "preserve_format", "channels_last"),
    *("per_tensor_affine", "per_channel_affine", "per_tensor_symmetric", "per_channel_symmetric"),
)


def _named() -> dict[str, Name]:
    types = {f"torch.{dtype}": dtype for dtype in ITEM_SIZES}
    types |= {f"torch.{alias}": dtype for alias, dtype in _DTYPE_ALIASES.items()}
    for kind, dtype in _STORAGES.items():
        for place in ("torch", "torch.storage", "torch.cuda"):
            types[f"{place}.{kind}Storage"] = dtype
    types["torch.storage.TypedStorage"] = types["torch.storage._TypedStorage"] = "untyped"
    return (
        {qualified: Name(qualified=qualified, build=build) for qualified, build in _BUILDERS.items()}
        | {qualified: Name(qualified=qualified, dtype=dtype) for qualified, dtype in types.items()}
        | {f"torch.{name}": Name(qualified=f"torch.{name}") for name in _CONSTANTS}
        | {"builtins.NoneType": Name(qualified="builtins.NoneType")}
    )


ALLOWED: Mapping[str, Name] = _named()


def modern(module: str, name: str) -> str:
    """Join a pickle's two names into one qualified name; protocols before 3 use the names that Python 2 had."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"
