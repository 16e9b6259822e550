"""JSON from a stranger: decoded as a type, with errors that name the place and nothing else.

And counted before that: `[[],[],[],...` becomes 25 times as large in memory, and its commas say so.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from serving.errors import LimitError, RequestError, unknown

JsonText = bytes | msgspec.Raw
EACH_KEY_ONCE = "Expected each key once in an object"

# Compiled when first used, as a cold start has no use for them.
_NO_NUMBER = rb"-?(NaN|Infinity)"
_ESCAPED_ASCII = rb"\\(u00[2-7]|/)"  # what no encoder need escape, to hide a key
_BYTE = r"byte (\d+)"
# What is read a second time, at most. A value takes a third of a microsecond.
_REREAD_BYTES, _REREAD_VALUES = 2**20, 2**14
_BULK = 1000  # bytes
_BLOCK = 2**14  # bytes, for numpy's comparisons to take no memory to speak of
_SHORT = 2**13  # bytes: below, numpy's calls take longer than counting


def decode(data: JsonText, form: Any, place: str) -> Any:
    """Decode `data` as the type `form`.

    Raises RequestError, which says where in `place` it is something else: `data[1]: Expected ...`.
    """
    try:
        return _decoder(form).decode(data)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        if what.startswith("Object contains unknown field"):  # the name is the caller's
            what = unknown("field", _fields(form))
        raise RequestError(f"{place}{where.removesuffix('`')}: {what}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"{place}: {_explain(error, data)}") from error
    except RecursionError as error:
        raise RequestError(f"{place}: nested too deeply") from error


def count_values(text: JsonText, most: int) -> int:
    """Count the values in the lists and objects of `text`; an empty list or object is one.

    Exact where there are more than `most`; any number up to `most` where there are not.
    """
    return count(text, b",", most - 1) + 1


def count(text: JsonText, mark: bytes, most: int) -> int:
    """Count the character `mark` in `text`, outside strings if with them there are over `most`."""
    found = count_all(text, mark) if len(text) > most else 0
    if found <= most:
        return found
    from protocols.structure import count_outside_strings

    return count_outside_strings(memoryview(text), mark)


def count_all(text: JsonText, mark: bytes) -> int:
    """Count the character `mark` in `text`, in strings, too."""
    if len(text) < _SHORT:
        return bytes(text).count(mark)
    codes = np.frombuffer(text, np.uint8)
    blocks = (codes[i : i + _BLOCK] for i in range(0, len(codes), _BLOCK))
    return sum(int(np.count_nonzero(block == ord(mark))) for block in blocks)


def refuse_repeated_keys(
    text: JsonText, most: Mapping[str, int], place: str, bulk: Sequence[JsonText]
) -> None:
    """Raise RequestError if an object has a key twice: parsers differ in which one they take.

    `most` says how often each known key, all ASCII, can be there, and `bulk` holds values in which
    another reader looks for them. Counting is cheap and comes first: are there more keys than
    those, a known one more often, or an escape that may hide one? Only then is the rest of the text
    read again. Raises LimitError if that is large.
    """
    keys = count_all(text, b":") - sum(count_all(value, b":") for value in bulk)
    if keys <= sum(most.values()):
        return
    rest = bytes(text)
    for value in bulk:
        if len(value) > _BULK:  # and so is found nowhere else
            rest = rest.replace(value, b"0", 1)
    is_suspect = any(rest.count(b'"%b"' % key.encode()) > most[key] for key in most)
    if not (is_suspect or re.search(_ESCAPED_ASCII, rest)):
        return
    if len(rest) > _REREAD_BYTES or count_values(rest, _REREAD_VALUES) > _REREAD_VALUES:
        raise LimitError(
            f"{place}: more than {_REREAD_BYTES} bytes or {_REREAD_VALUES} values "
            "apart from the data"
        )

    def check(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) < len(pairs):
            raise RequestError(f"{place}: {EACH_KEY_ONCE}")

    try:
        json.loads(rest, object_pairs_hook=check, parse_int=len, parse_float=len)
    except (ValueError, RecursionError) as error:  # in what msgspec had no need to look into
        raise RequestError(f"{place}: Expected JSON of ordinary depth") from error


def _explain(error: Exception, data: JsonText) -> str:
    """Name the commonest reason, where the parser gives only the offset."""
    place = re.search(_BYTE, str(error))
    if place and re.compile(_NO_NUMBER).match(data, int(place[1])):
        return f"NaN and Infinity are not JSON numbers ({place[0]})"
    return str(error)


def _fields(form: Any) -> Sequence[str]:
    """Name the fields of a struct, or of the structs in a list."""
    [struct] = getattr(form, "__args__", [form])
    names: tuple[str, ...] = struct.__struct_encode_fields__
    return names


@lru_cache(maxsize=64)
def _decoder(form: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(form)
