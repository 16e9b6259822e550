"""The ends of the range of every datatype that JSON can carry."""

from typing import Any

EXTREMES: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "UINT16": [0, 65535],
    "UINT32": [0, 2**32 - 1],
    "UINT64": [0, 2**64 - 1],
    "INT8": [-128, 127],
    "INT16": [-32768, 32767],
    "INT32": [-(2**31), 2**31 - 1],
    "INT64": [-(2**63), 2**63 - 1],
    "FP16": [-65504.0, 0.1],
    "FP32": [-3.4028234663852886e38, 0.1],
    "FP64": [-1.7976931348623157e308, 0.1],
    "BYTES": ["", 'gr\u00fcn, "\U0001f600"\r\n'],
}
