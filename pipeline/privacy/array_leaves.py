"""The columns and arrays of a table that may hold text, bytes or ids, however deep they lie."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from csmv.pipeline.privacy.pieces import SMALLEST_ID


def inner_fields(kind: pa.DataType) -> list[pa.Field]:
    """The fields of a nested type."""
    if isinstance(kind, pa.BaseExtensionType):
        return inner_fields(kind.storage_type)
    if pa.types.is_map(kind):
        return [kind.key_field, kind.item_field]
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return [pa.field("", kind.value_type)]
    return [kind.field(index) for index in range(kind.num_fields)]


def may_hold(kind: pa.DataType) -> bool:
    """Whether a column of this type may hold text, bytes or ids."""
    if isinstance(kind, pa.BaseExtensionType):
        return may_hold(kind.storage_type)
    return _is_leaf(kind) or any(may_hold(field.type) for field in inner_fields(kind))


def _is_leaf(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_int64(kind)
        or pa.types.is_uint64(kind)
    )


def leaves(column: pa.Array) -> Iterator[pa.Array]:
    """The arrays of text, bytes and long numbers in a column, however deep they lie."""
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        yield from leaves(column.storage)
    elif _is_leaf(kind):
        yield column
    elif not may_hold(kind):
        return
    elif pa.types.is_dictionary(kind):
        yield from leaves(column.dictionary)
        yield from leaves(column.dictionary_decode())
    elif pa.types.is_run_end_encoded(kind):
        yield from leaves(column.values)
    elif pa.types.is_map(kind):
        yield from leaves(column.keys)
        yield from leaves(column.items)
    elif pa.types.is_struct(kind):
        for inner in column.flatten():
            yield from leaves(inner)
    elif pa.types.is_union(kind):
        for index in range(kind.num_fields):
            yield from leaves(column.field(index))
    else:
        yield from leaves(column.flatten())


def long_numbers(column: pa.Array) -> list[int]:
    long = column.filter(pc.greater_equal(pc.abs(column), pa.scalar(SMALLEST_ID, column.type)))
    numbers: list[int] = pc.unique(long.drop_null()).to_pylist()
    return numbers


def field_names(dtype: Any) -> Iterator[str]:
    base = dtype.base
    for name, (inner, *rest) in (base.fields or {}).items():
        yield name
        yield from (str(title) for title in rest[1:])
        yield from field_names(inner)


def plain_arrays(array: Any) -> Iterator[Any]:
    if array.dtype.names:
        for name in array.dtype.names:
            yield from plain_arrays(array[name])
    else:
        yield array


def is_safetensors(data: bytes) -> bool:
    size = int.from_bytes(data[:8], "little")
    return data[8:9] == b"{" and 1 < size <= len(data) - 8 and data[8 : 8 + size].rstrip().endswith(b"}")
