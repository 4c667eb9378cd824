"""The globals that the pickle of a state dict calls, each with a function that makes an inert value instead."""

from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Mapping
from itertools import islice
from math import prod
from typing import Any

from decay_audit.sources.checkpoint.contents import ITEM_SIZES, MalformedError, Storage, Tensor
from decay_audit.sources.checkpoint.pickle.inert_values import Global, OpaqueObject
from decay_audit.text import count_noun

MAX_DIMENSIONS = 64
"""torch's limit for the dimensions of a tensor."""
MAX_ATTRIBUTES = 64
"""How many attributes of one tensor are looked at."""
MAX_ELEMENTS = 2**63 - 1
"""torch's limit for the elements of a tensor: it counts them in 64 bits with a sign."""

_Build = Callable[[tuple[Any, ...]], object]
"""Takes the arguments of a call in the pickle, and returns the inert value."""

_STORAGE_DTYPES = {
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
"""The dtype of each storage class, by the name of the class without `Storage`."""
_DTYPE_ALIASES = {"float": "float32", "double": "float64", "half": "float16", "long": "int64", "int": "int32"}
"""Other names that torch has for a dtype."""


def _read_sizes(value: object) -> tuple[int, ...]:
    """Check a shape or a stride, and return it."""
    if not isinstance(value, tuple | list) or len(value) > MAX_DIMENSIONS:
        raise MalformedError(f"a shape or a stride in it is not a tuple of at most {MAX_DIMENSIONS} integers")
    for size in value:
        if type(size) is not int or not -1 < size <= MAX_ELEMENTS:
            raise MalformedError("a shape or a stride in it has an entry that is not an integer of 0 or more")
    return tuple(value)


def read_shape(value: object) -> tuple[int, ...]:
    """Check a shape, and return it.

    Raises:
        MalformedError: it is not a tuple of sizes, or has more elements than a tensor can have.
    """
    shape = _read_sizes(value)
    elements = prod(shape)
    if elements > MAX_ELEMENTS:
        # a float holds at most about 10**308
        raise MalformedError(f"a tensor in it claims {min(elements, 10**300):.3g} elements")
    return shape


def _strided(storage: object, offset: object, shape: object, stride: object, trainable: object, dtype: str) -> Tensor:
    """Check the arguments of one of torch's rebuild functions, and make the tensor."""
    if type(storage) is not Storage or type(offset) is not int or offset < 0:
        raise MalformedError("a tensor in it is not made of a storage and an offset")
    sizes, strides = read_shape(shape), _read_sizes(stride)
    if len(sizes) != len(strides):
        raise MalformedError(
            f"a tensor in it has {count_noun(len(sizes), 'dimension')} and {count_noun(len(strides), 'stride')}"
        )
    if storage.count is not None and 0 not in sizes:
        last = offset + sum((size - 1) * step for size, step in zip(sizes, strides, strict=True))
        count = storage.count
        if dtype != storage.dtype:
            count = count * ITEM_SIZES.get(storage.dtype, 1) // ITEM_SIZES.get(dtype, 1)
        if last >= count:
            raise MalformedError(f"a tensor of shape {list(sizes)} in it exceeds its storage of {count} elements")
    return Tensor(
        shape=sizes,
        dtype=dtype,
        storage=storage,
        offset=offset + storage.first,
        stride=strides,
        trainable=True if trainable is True else None,
    )


def _dtype(value: object) -> str:
    if type(value) is not Global or value.dtype not in ITEM_SIZES:
        raise MalformedError("a tensor in it has a dtype that torch does not have")
    return value.dtype


def _tensor(arguments: tuple[Any, ...]) -> Tensor:
    """Make the inert value for a tensor with the dtype of its storage."""
    storage, offset, shape, stride, *rest = arguments
    dtype = storage.dtype if type(storage) is Storage else ""
    return _strided(storage, offset, shape, stride, rest[0] if rest else None, dtype)


def _tensor_of_dtype(arguments: tuple[Any, ...]) -> Tensor:
    """Make the inert value for a tensor that has another dtype than its storage."""
    storage, offset, shape, stride, trainable, _hooks, dtype = arguments[:7]
    return _strided(storage, offset, shape, stride, trainable, _dtype(dtype))


def _quantized(arguments: tuple[Any, ...]) -> Tensor:
    """Make the inert value for a quantized tensor; its scale and zero point are not needed."""
    storage, offset, shape, stride = arguments[:4]
    return _tensor((storage, offset, shape, stride))


def _without_storage(arguments: tuple[Any, ...]) -> Tensor:
    """Make the inert value for a tensor on the device `meta`."""
    dtype, shape, stride, trainable = arguments
    return Tensor(
        shape=read_shape(shape), dtype=_dtype(dtype), stride=_read_sizes(stride), trainable=trainable is True or None
    )


def _wrapper(arguments: tuple[Any, ...]) -> Tensor:
    """Make the inert value for a subclass of Tensor that wraps other tensors, by its own shape and dtype."""
    _type, dtype, shape = arguments[:3]
    return Tensor(shape=read_shape(shape), dtype=_dtype(dtype), trainable=arguments[-1] is True or None)


def _sparse(arguments: tuple[Any, ...]) -> object:
    """Make the inert value for a sparse tensor, by its shape and the dtype of its values."""
    _layout, data = arguments
    if len(data) > MAX_DIMENSIONS:
        raise MalformedError("a sparse tensor in it has too many parts")
    tensors = [item for item in data if type(item) is Tensor]
    shapes = [item for item in data if isinstance(item, tuple | list)]
    if not tensors or not shapes:
        raise MalformedError("a sparse tensor in it has no values or no shape")
    return Tensor(shape=read_shape(shapes[-1]), dtype=tensors[-1].dtype)


def _from_other_device(arguments: tuple[Any, ...]) -> object:
    """Make a tensor whose data is on another device. The shape of NumPy data is not known: it stays opaque."""
    data, dtype = arguments[:2]
    if type(data) is not Tensor:
        return OpaqueObject(name="torch._utils._rebuild_device_tensor_from_numpy", arguments=arguments)
    return Tensor(shape=data.shape, dtype=_dtype(dtype), storage=data.storage, offset=data.offset, stride=data.stride)


def _parameter(arguments: tuple[Any, ...]) -> object:
    """Make the inert value for an `nn.Parameter`: its data, with `requires_grad`."""
    data, trainable, *_ = arguments
    if type(data) is not Tensor:
        return data
    return _replaced(data, trainable=trainable if isinstance(trainable, bool) else None)


def _parameter_with_state(arguments: tuple[Any, ...]) -> object:
    """Make the inert value for an `nn.Parameter` that has attributes of its own."""
    data, trainable, _hooks, state = arguments
    if type(data) is not Tensor:
        return data
    return with_attributes(_replaced(data, trainable=trainable if isinstance(trainable, bool) else None), state)


def _from_type(arguments: tuple[Any, ...]) -> object:
    """Make the inert value for a subclass of Tensor, or a tensor with attributes: that of the tensor itself."""
    build, _type, inner, state = arguments
    if type(build) is not Global or build.build in (None, _from_type) or not isinstance(inner, tuple):
        return OpaqueObject(name=build.qualified if type(build) is Global else "?", arguments=arguments)
    value = build.build(inner)
    return with_attributes(value, state) if type(value) is Tensor else value


def _replaced(data: Tensor, *, trainable: bool | None, attributes: tuple[str, ...] = ()) -> Tensor:
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
    """Add the names of the attributes in a saved `__dict__` whose value is neither None nor False."""
    attributes = state[0] if isinstance(state, tuple) and state else state
    if not isinstance(attributes, dict):
        return data
    first = islice(attributes.items(), MAX_ATTRIBUTES)
    names = tuple(key for key, value in first if isinstance(key, str) and value is not None and value is not False)
    return _replaced(data, trainable=data.trainable, attributes=names)


def _first_argument(arguments: tuple[Any, ...]) -> object:
    """Stand for `list(x)`, `set(x)`, `torch.Size(x)`: return x itself, so that no file can make many copies."""
    return arguments[0] if arguments else []


def _bytes(arguments: tuple[Any, ...]) -> object:
    """Stand for `bytes()`, as protocol 2 writes empty bytes, and for `bytearray(x)`."""
    return arguments[0] if arguments else b""


def _mapping(arguments: tuple[Any, ...]) -> object:
    """Stand for `OrderedDict(x)` and the like: the dict among the arguments, or a dict of the pairs in them."""
    return next((item for item in reversed(arguments) if isinstance(item, dict)), None) or dict(_pairs(arguments))


def _pairs(arguments: tuple[Any, ...]) -> list[tuple[Any, object]]:
    """Read the list of pairs that Python 2 gives to OrderedDict; only keys that are str or int are kept."""
    items = arguments[0] if arguments and isinstance(arguments[0], list) else []
    pairs = [(pair[0], pair[1]) for pair in items if len(pair) == 2 and type(pair[0]) in (str, int)]
    items.clear()  # so that a pickle cannot have the same list copied many times
    return pairs


def _encoded(arguments: tuple[Any, ...]) -> object:
    """Stand for `_codecs.encode(text, "latin1")`, as protocol 2 writes bytes; long ones stay a string."""
    text = arguments[0]
    return text.encode("latin1", "replace") if isinstance(text, str) and len(text) <= 64 else text


def _instance(arguments: tuple[Any, ...]) -> OpaqueObject:
    """Stand for `copyreg._reconstructor(cls, base, state)`."""
    cls = arguments[0]
    return OpaqueObject(name=cls.qualified if type(cls) is Global else "?", arguments=arguments[1:])


def _inert(arguments: tuple[Any, ...]) -> object:
    """Make the inert value for a device, a layout, a range and the like: values that are not needed."""
    return OpaqueObject(name="", arguments=arguments)


_BUILDERS: Mapping[str, _Build] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_qtensor": _quantized,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_sparse_csr_tensor": _sparse,
    "torch._utils._rebuild_meta_tensor_no_storage": _without_storage,
    "torch._utils._rebuild_wrapper_subclass": _wrapper,
    "torch._utils._rebuild_device_tensor_from_numpy": _from_other_device,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _from_other_device,
    "torch._utils._rebuild_xla_tensor": _from_other_device,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter_with_state,
    "torch._tensor._rebuild_from_type": _from_type,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.Size": _first_argument,
    "torch.device": _inert,
    "torch.serialization._get_layout": _inert,
    "torch.Tensor": _inert,
    "torch.nn.parameter.Parameter": _inert,
    "torch.nn.Parameter": _inert,
    "torch.nn.parameter.Buffer": _inert,
    "torch.jit._pickle.build_intlist": _first_argument,
    "torch.jit._pickle.build_doublelist": _first_argument,
    "torch.jit._pickle.build_boollist": _first_argument,
    "torch.jit._pickle.build_tensorlist": _first_argument,
    "torch.jit._pickle.restore_type_tag": _first_argument,
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _mapping,
    "collections.Counter": _mapping,
    "_codecs.encode": _encoded,
    "copyreg._reconstructor": _instance,
    **{f"builtins.{name}": _first_argument for name in ("list", "tuple", "set", "frozenset")},
    **{f"builtins.{name}": _bytes for name in ("bytearray", "bytes", "str")},
    **{f"builtins.{name}": _inert for name in ("complex", "range", "slice", "object", "int", "float", "bool")},
    "builtins.dict": _mapping,
}
"""The functions that a state dict calls, each with the function that makes its inert value."""

_CONSTANTS = (
    *("strided", "sparse_coo", "contiguous_format", "preserve_format", "channels_last"),
    *("per_tensor_affine", "per_channel_affine", "per_tensor_symmetric", "per_channel_symmetric"),
)
"""Layouts, memory formats and quantization schemes of torch."""


def _allowed() -> dict[str, Global]:
    types = {f"torch.{dtype}": dtype for dtype in ITEM_SIZES}
    types |= {f"torch.{alias}": dtype for alias, dtype in _DTYPE_ALIASES.items()}
    for prefix, dtype in _STORAGE_DTYPES.items():
        for module in ("torch", "torch.storage", "torch.cuda"):
            types[f"{module}.{prefix}Storage"] = dtype
    types["torch.storage.TypedStorage"] = types["torch.storage._TypedStorage"] = "untyped"
    return (
        {qualified: Global(qualified=qualified, build=build) for qualified, build in _BUILDERS.items()}
        | {qualified: Global(qualified=qualified, dtype=dtype) for qualified, dtype in types.items()}
        | {f"torch.{name}": Global(qualified=f"torch.{name}") for name in _CONSTANTS}
        | {"builtins.NoneType": Global(qualified="builtins.NoneType")}
    )


ALLOWED: Mapping[str, Global] = _allowed()
"""The globals by their qualified names."""


def qualified_name(module: str, name: str) -> str:
    """Join the two parts of a GLOBAL to one name, and replace a name of Python 2 by the one of Python 3."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"
