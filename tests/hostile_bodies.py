"""Bodies that are small on the wire and large once they are read, and valid ones to compare.

The one list of them: `make bench` shows what each costs with the example model, and a test holds
that to what a valid body of the contract's limits costs in the same form.
"""

import gzip
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

ROWS = 10_000  # the limit of rows
COLUMNS = ["repeat_purchases", "recency", "age", "mean_spend"]
MODEL = "purchase-propensity"
JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
BINARY = "application/octet-stream"
LENGTH = "inference-header-content-length"

# What is between the marks is repeated until the body has its size.
LISTS = {
    "empty lists": "[«[],»[]]",
    "numbers": "[«0,»0]",
    "long numbers": "[«1.2345678,»0]",
    "one number": "[0.«1»]",
    "rows": "[«[0,0,0,0],»[0,0,0,0]]",
    "one row": "[[«0,»0]]",
    "empty strings": '[«"",»""]',
    "strings": '[«"ab",»""]',
    "one string": '["«,»"]',
    "empty objects": "[«{},»{}]",
    "nulls": "[«null,»null]",
    "nested lists": "«[»",
    "spaces": "[« »]",
}
TEXT = {"name": "x", "datatype": "BYTES", "shape": [ROWS]}
TENSOR = '{"inputs":[{"name":"features","datatype":"FP32","shape":[10000,4],"data":[0]}]}'
FIELDS = TENSOR[1:]  # after another one
INFER = {name: TENSOR.replace("[0]", data) for name, data in LISTS.items()} | {
    "numbers for a row": TENSOR.replace("10000", "1").replace("[0]", "[«0,»0]"),
    "a long shape": TENSOR.replace("10000", "«1,»1"),
    "inputs": '{"inputs":[«{"name":"","shape":[],"datatype":""},»{}]}',
    "a long name": TENSOR.replace("features", "«a»"),
    "outputs": '{"outputs":[«{"name":""},»{"name":""}],' + FIELDS,
    "known outputs": '{"outputs":[«{"name":"label"},»{"name":"label"}],' + FIELDS,
    "a long id": '{"id":"«a»",' + FIELDS,
    "parameters": '{"parameters":{«"a":{},»"b":0},' + FIELDS,
    "unknown keys": '{«"a":[],»' + FIELDS,
    "unknown lists": '{"a":[«[],»[]],' + FIELDS,
    "unknown objects and an escape": '{"b":"\\u0041","a":[«{},»{}],' + FIELDS,
    "escapes": '{"a":"«\\/»",' + FIELDS,
    "repeated keys": '{«"inputs":[],»' + FIELDS,
    "no JSON": "« »",
}
INSTANCES = {name: f'{{"instances":{data}}}' for name, data in LISTS.items()} | {
    "empty lists and an escape": '{"b":"\\u0041","instances":[«[],»[]]}',
    "unknown lists and an escape": '{"b":"\\/","a":[«[],»[]],"instances":[]}',
    "repeated keys": '{«"instances":[],»"instances":[]}',
}
COLUMN = '{"inputs":{"repeat_purchases":[],"recency":[],"age":[],"mean_spend":[]}}'
INPUTS = {name: f'{{"inputs":{data}}}' for name, data in LISTS.items()} | {
    "a name many times": '{"inputs":{«"features":[],»"features":[]}}',
    "unknown names": '{"inputs":{«"a":[],»"features":[]}}',
    "a long column": COLUMN.replace("[]", "[«0,»0]", 1),
    "a column of lists": COLUMN.replace("[]", "[«[],»0]", 1),
}
ROW = '{"repeat_purchases":0,"recency":0,"age":0,"mean_spend":0}'
RECORDS = {name: f'{{"dataframe_records":{data}}}' for name, data in LISTS.items()} | {
    "rows": f'{{"dataframe_records":[«{ROW},»{ROW}]}}',
    "a key many times": f'{{"dataframe_records":[{{«"age":0,»{ROW[1:]}]}}',
    "empty inputs": '{"dataframe_records":[«{"features":[]},»{"features":[]}]}',
    "a long input": '{"dataframe_records":[{"features":[«0,»0]}]}',
}
SPLIT = f'{{"dataframe_split":{{"columns":{json.dumps(COLUMNS)},"data":[]}}}}'
SPLITS = {name: SPLIT.replace("[]", data) for name, data in LISTS.items()} | {
    "columns": SPLIT.replace("[", '[«"a",»', 1),
    "an index": SPLIT.replace("[]", '[],"index":[«[],»0]'),
    "an index and an escape": SPLIT.replace("[]", '[],"index":["\\/",«[],»0]'),
    "empty inputs": '{"dataframe_split":{"columns":["features"],"data":[«[[]],»[[]]]}}',
}
HEADER = ",".join(COLUMNS) + "\n"
TABLES = {
    "one row": f"{HEADER}«,»",
    "rows": f"{HEADER}«1,2,3,4\n»",
    "narrow rows": f"{HEADER}«1\n»",
    "wide rows": f"{HEADER}«1,2,3,4,5,6,7,8,9\n»",
    "blank lines": f"{HEADER}«\n»1,2,3,4",
    "blank lines at the end": f"{HEADER}1,2,3,4«\n»",
    "quotes": f'{HEADER}«"»',
    "empty strings": f'{HEADER}«"",»',
    "quoted commas": f'{HEADER}«",",»',
    "quoted lines": f'{HEADER}«"\n",»',
    "commas after a quote": f'{HEADER}1"«,»',
    "one cell": f"{HEADER}1,2,3,«4»",
    "a cell of numbers": f'{HEADER}1,2,3,"«0,»0"',
    "cells of numbers": f'{HEADER}1,2,3,«"{"0," * 10_000}"\n1,2,3,»"0"',
    "columns": "«a,»a",
    "a wide character": f"{HEADER}1,2,3,\N{GRINNING FACE}«4»",
}


@dataclass(frozen=True)
class Body:
    """What is sent, and in which form; names of `headers` are lower-case."""

    form: str
    name: str
    path: str
    headers: Mapping[str, str]
    content: bytes

    def compressed(self) -> "Body":
        """Return the same body in gzip; compressed JSON has the type that API Gateway spares."""
        kind = self.headers["content-type"]
        headers = {"content-type": BINARY if kind == JSON else kind, "content-encoding": "gzip"}
        content = gzip.compress(self.content)
        return replace(self, headers={**self.headers, **headers}, content=content)


def valid_bodies() -> dict[str, Body]:
    """Make a body of 10,000 rows for the example model in each form, by its name."""
    values = np.random.default_rng(1).gamma(2, 7, (ROWS, len(COLUMNS))).astype(np.float32)
    rows = values.tolist()
    records = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    tensor = {"name": "features", "datatype": "FP32", "shape": values.shape}
    sizes = {"parameters": {"binary_data_size": values.nbytes}}
    header = json.dumps({"inputs": [tensor | sizes]})
    contents: dict[str, str | bytes] = {
        "infer": json.dumps({"inputs": [tensor | {"data": rows}]}),
        "infer, binary": header.encode() + values.tobytes(),
        "instances": json.dumps({"instances": rows}),
        "inputs": json.dumps({"inputs": rows}),
        "dataframe_records": json.dumps({"dataframe_records": records}),
        "dataframe_split": json.dumps({"dataframe_split": {"columns": COLUMNS, "data": rows}}),
        "CSV": HEADER + "\n".join(",".join(map(str, row)) for row in rows),
        "npy": _npy(values),
    }
    headers = {"infer, binary": {LENGTH: str(len(header))}}
    return {
        form: _body(form, "valid", text, headers.get(form, {})) for form, text in contents.items()
    }


def hostile_bodies(size: int) -> Iterator[Body]:
    """Yield bodies of about `size` bytes for the example model."""
    templates = {
        "infer": INFER,
        "instances": INSTANCES,
        "inputs": INPUTS,
        "dataframe_records": RECORDS,
        "dataframe_split": SPLITS,
        "CSV": TABLES,
    }
    for form, named in templates.items():
        for name, template in named.items():
            yield _body(form, name, grow(template, size))
    yield _body("npy", "values", _npy(np.zeros((1, 4), np.float32)) + bytes(size))
    yield _body("infer, binary", "values", bytes(size), {LENGTH: "0"})
    text = grow(INFER["unknown lists"], size)
    yield _body("infer, binary", "unknown lists", text, {LENGTH: str(len(text))})


def valid_texts(size: int) -> dict[str, Body]:
    """Make bodies of 10,000 strings, `size` bytes in all, for a model with the input `x`."""
    texts = ["t" * (size // ROWS - len('"",'))] * ROWS
    strings = b"".join(len(text).to_bytes(4, "little") + text.encode() for text in texts)
    header = json.dumps({"inputs": [TEXT | {"parameters": {"binary_data_size": len(strings)}}]})
    contents: dict[str, str | bytes] = {
        "infer": json.dumps({"inputs": [TEXT | {"data": texts}]}),
        "infer, binary": header.encode() + strings,
        "instances": json.dumps({"instances": texts}),
        "CSV": "x\n" + "\n".join(texts),
        "npy": _npy(np.array(["t" * (size // ROWS // 4)] * ROWS)),
    }
    headers = {"infer, binary": {LENGTH: str(len(header))}}
    return {
        form: _body(form, "valid", text, headers.get(form, {})) for form, text in contents.items()
    }


def hostile_texts(size: int) -> Iterator[Body]:
    """Yield bodies of about `size` bytes for that model."""
    infer = json.dumps({"inputs": [TEXT | {"data": [0]}]})
    templates = {
        "infer": {name: infer.replace("[0]", data) for name, data in LISTS.items()},
        "instances": {name: f'{{"instances":{data}}}' for name, data in LISTS.items()},
        "CSV": {name: text.replace(HEADER, "x\n") for name, text in TABLES.items()},
    }
    for form, named in templates.items():
        for name, template in named.items():
            yield _body(form, name, grow(template, size))
    parameters = {"binary_data_size": size}
    header = json.dumps({"inputs": [TEXT | {"parameters": parameters}]}).encode()
    lengths = {LENGTH: str(len(header))}
    yield _body("infer, binary", "empty strings", header + bytes(size), lengths)
    characters = _npy(np.zeros(1, "<U1")).removesuffix(bytes(4)) + bytes(size // 4 * 4)
    yield _body("npy", "one character each", characters)


def grow(template: str, size: int) -> bytes:
    """Write a template with its repeated part as often as fits into `size` bytes."""
    before, unit, after = (part.encode() for part in re.split("[«»]", template))
    return before + unit * ((size - len(before) - len(after)) // len(unit)) + after


def _body(form: str, name: str, content: str | bytes, headers: Mapping[str, str] = {}) -> Body:
    kinds = {"CSV": CSV, "npy": NPY, "infer, binary": BINARY}
    return Body(
        form,
        name,
        f"/v2/models/{MODEL}/infer" if form.startswith("infer") else "/invocations",
        {"content-type": kinds.get(form, JSON), **headers},
        content.encode() if isinstance(content, str) else content,
    )


def _npy(values: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()
