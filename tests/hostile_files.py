"""Files that strangers may hand to the doctor: models and samples that hang, burst or lie.

Each is made in a folder of its own and comes with what the doctor must say of it; an empty text
stands for a model that can be served all the same.
"""

import io
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from tests.terminals import ESCAPE

type Make = Callable[[Path], Path]

HUGE = 2**40
OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]


def model(*nodes: NodeProto, **changes: Any) -> ModelProto:
    """y = x, FP32 [-1, 2]; `nodes` and fields of the graph come on top."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 2]) for n in "xy")
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"]), *nodes],
        "graph",
        changes.get("inputs", [x]),
        changes.get("outputs", [y]),
        changes.get("weights", []),
    )
    functions = changes.get("functions", [])
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=8, functions=functions)


def saved(made: ModelProto) -> Make:
    def save(folder: Path) -> Path:
        return written(made.SerializeToString())(folder)

    return save


def written(data: bytes, name: str = "m.onnx") -> Make:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(data)
        return path

    return write


def nested_functions(depth: int = 40) -> ModelProto:
    """Each function calls the one before it twice: inlined there are 2 ** depth nodes."""
    functions = []
    for i in range(depth):
        inner = ("Neg", "") if i == 0 else (f"f{i - 1}", "local")
        nodes = [
            helper.make_node(inner[0], [source], [target], domain=inner[1])
            for source, target in (("a", "b"), ("b", "c"))
        ]
        functions.append(helper.make_function("local", f"f{i}", ["a"], ["c"], nodes, OPSETS))
    return model(
        helper.make_node(f"f{depth - 1}", ["x"], ["z"], domain="local"), functions=functions
    )


def recursive_functions(length: int) -> ModelProto:
    """Function 0 calls 1, which calls 2, and the last calls 0 again."""
    functions = [
        helper.make_function(
            "local",
            f"f{i}",
            ["a"],
            ["b"],
            [helper.make_node(f"f{(i + 1) % length}", ["a"], ["b"], domain="local")],
            OPSETS,
        )
        for i in range(length)
    ]
    return model(helper.make_node("f0", ["x"], ["z"], domain="local"), functions=functions)


def outside(**entries: str) -> Make:
    """Return what makes a model whose weight of two numbers is in a file of 8 bytes, w.bin."""

    def make(folder: Path) -> Path:
        weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2])
        weight.data_location = TensorProto.EXTERNAL
        for key, value in ({"location": "w.bin"} | entries).items():
            weight.external_data.add(key=key, value=value)
        (folder / "w.bin").write_bytes(bytes(8))
        (folder / "folder").mkdir()
        os.mkfifo(folder / "pipe")
        (folder / "link").symlink_to("w.bin")
        (folder / "zero").symlink_to("/dev/zero")
        with (folder / "sparse").open("wb") as file:
            file.truncate(2**40)
        add = helper.make_node("Add", ["x", "w"], ["z"])
        return saved(model(add, weights=[weight]))(folder)

    return make


def weight(dims: list[int]) -> ModelProto:
    """A weight that claims more elements than it brings."""
    return model(
        helper.make_node("Identity", ["w"], ["z"]),
        weights=[TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=bytes(8))],
    )


def shaped(inputs: list[Any], outputs: list[Any], operator: str = "Identity") -> ModelProto:
    made = model(
        inputs=[helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
        outputs=[helper.make_tensor_value_info("y", TensorProto.FLOAT, outputs)],
    )
    made.graph.node[0].op_type = operator
    return made


def folded(operator: str, *shapes: list[int], **attributes: Any) -> ModelProto:
    """An operator on constants, which onnxruntime computes when it loads the model."""
    weights = [
        helper.make_tensor(f"c{i}", TensorProto.INT64, [len(shape)], shape)
        for i, shape in enumerate(shapes)
    ]
    node = helper.make_node(operator, [one.name for one in weights], ["big"], **attributes)
    size = helper.make_node("ReduceSum", ["big"], ["z"], keepdims=0)
    made = model(node, size, weights=weights)
    made.graph.output.add(name="z")
    return made


def nested_graphs(depth: int) -> bytes:
    """Graphs in branches of graphs, by hand: onnx itself would refuse to write them."""
    graph = helper.make_graph([], "leaf", [], []).SerializeToString()
    for _ in range(depth):
        attribute = _field(1, b"then_branch") + _field(6, graph) + b"\xa0\x01\x05"
        node = _field(1, b"c") + _field(2, b"o") + _field(4, b"If") + _field(5, attribute)
        graph = _field(1, node) + _field(2, b"g")
    return bytes(model().SerializeToString()) + _field(7, graph)


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def bad_text(made: ModelProto) -> bytes:
    """Put a byte that no UTF-8 text holds wherever the model says `marker`."""
    return bytes(made.SerializeToString()).replace(b"marker", b"mark\xffr")


def zipmap(outputs: list[str], **attributes: Any) -> ModelProto:
    made = model(helper.make_node("ZipMap", ["x"], outputs, domain="ai.onnx.ml", **attributes))
    made.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    made.graph.output.add(name="z")
    return made


def many_inputs(count: int) -> ModelProto:
    names = [f"x{i}" for i in range(count)]
    return model(
        inputs=[
            helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 2]) for n in ["x", *names]
        ]
    )


def typed(element: int) -> ModelProto:
    made = model()
    made.graph.input[0].type.tensor_type.elem_type = element
    return made


def changed(**fields: Any) -> ModelProto:
    made = model()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def renamed(name: str) -> ModelProto:
    """y = x, where the input is called otherwise."""
    made = model()
    made.graph.input[0].name = made.graph.node[0].input[0] = name
    return made


def dimension(name: str) -> ModelProto:
    return shaped([name, 2], [name, 2])


def sparse(size: int) -> Make:
    def make(folder: Path) -> Path:
        path = folder / "m.onnx"
        with path.open("wb") as file:
            file.truncate(size)
        return path

    return make


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "m.onnx")
    return folder / "m.onnx"


def link(target: str) -> Make:
    def make(folder: Path) -> Path:
        (folder / "m.onnx").symlink_to(target)
        return folder / "m.onnx"

    return make


def cycle() -> ModelProto:
    return model(helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Neg", ["a"], ["b"]))


PLAIN = r"is not a plain file$"
NO_MODEL = r"is not an ONNX model"
STAYS = r"must stay in the model's folder"
NUMBERS = r"offset and length must be numbers of bytes"
BYTES = r"bytes a row, and a function at most"
NAMES = r"a name has 1 to 200 characters"
NO_TYPE = r"output 'z' has no type"
SHORT = r"is too short for what the model reads from it"

MODELS: Mapping[str, tuple[Make, str]] = {
    "nested functions": (saved(nested_functions()), r"takes longer than 3 s"),
    "a function that calls itself": (saved(recursive_functions(1)), r""),
    "functions in a circle": (saved(recursive_functions(3)), r""),
    "an offset that is no number": (outside(offset="x"), NUMBERS),
    "an offset in Arabic digits": (outside(offset="\u0668"), NUMBERS),
    "a negative offset": (outside(offset="-4"), NUMBERS),
    "a fractional offset": (outside(offset="1e3"), NUMBERS),
    "an endless offset": (outside(offset="9" * 10_000), NUMBERS),
    "an offset beyond the file": (outside(offset="9" * 19), SHORT),
    "a length that is no number": (outside(length="\x1b[31m"), NUMBERS),
    "a negative length": (outside(length="-8"), NUMBERS),
    "a length beyond the file": (outside(length="16"), SHORT),
    "offset and length beyond the file": (outside(offset="4", length="8"), SHORT),
    "a location with NUL": (outside(location="w\0.bin"), STAYS),
    "an absolute location": (outside(location="/dev/zero"), STAYS),
    "a location in /proc": (outside(location="/proc/self/mem"), STAYS),
    "a location above": (outside(location="../w.bin"), STAYS),
    "a location that is too long": (outside(location="w" * 300), r"File name too long$"),
    "a location that is a folder": (outside(location="folder"), r"is not next to the model"),
    "a location that is a pipe": (outside(location="pipe"), r"is not next to the model"),
    "a location that is a link": (outside(location="link"), r"links are not followed"),
    "a location that leads to a device": (outside(location="zero"), r"links are not followed"),
    "a terabyte of external data": (outside(location="sparse"), r"bytes, and a function at most"),
    "unknown keys of external data": (outside(**{ESCAPE: ESCAPE}), r""),
    "a weight of 2 ** 60 elements": (saved(weight([2**60])), r""),
    "a weight whose size overflows": (saved(weight([2**32, 2**32])), r""),
    "a weight of negative size": (saved(weight([-2])), r""),
    "an input of 2 ** 40 elements": (saved(shaped([HUGE], [HUGE])), BYTES),
    "an input of 2 ** 124 elements": (saved(shaped([2**62] * 2, [2**62] * 2)), BYTES),
    "an input of a terabyte of rows": (saved(shaped([None, HUGE], [None, HUGE])), BYTES),
    "an input of negative size": (
        saved(shaped([-5, 2], [-5, 2])),
        r"2 dimensions, the shortest of -5",
    ),
    "a thousand dimensions": (saved(shaped([None] * 1000, [None] * 1000)), r"has 1000 dimensions"),
    "an output of 2 ** 40 elements": (saved(shaped([None, 2], [HUGE])), r""),
    "a terabyte when it is loaded": (saved(folded("ConstantOfShape", [HUGE])), r""),
    "a range of 2 ** 40": (saved(folded("Range", [0], [HUGE], [1])), NO_TYPE),
    "repetitions of 2 ** 40": (saved(folded("Expand", [1], [HUGE])), r""),
    "escape sequences in names": (saved(renamed(ESCAPE)), NAMES),
    "markup in names": (saved(renamed("[red]x[/red]<script>")), r""),
    "lines in names": (saved(renamed("x\nProblem    none\r\n")), NAMES),
    "escape sequences in dimensions": (saved(dimension(ESCAPE)), r""),
    "escape sequences in the producer": (saved(changed(producer_name=ESCAPE)), r""),
    "an operator with escape sequences": (
        saved(model(helper.make_node(ESCAPE, ["x"], ["z"]))),
        r"",
    ),
    "graphs in 90 graphs": (written(nested_graphs(90)), NO_MODEL),
    "graphs in 10,000 graphs": (written(nested_graphs(10_000)), NO_MODEL),
    "groups in a million groups": (written(b"\x0b" * 2**20), NO_MODEL),
    "two gigabytes of zeros": (sparse(2**31 - 1), NO_MODEL),
    "a terabyte of zeros": (sparse(2**40), r"is larger than the 2 GB"),
    "a pipe": (pipe, PLAIN),
    "a folder": (lambda folder: folder, PLAIN),
    "a device without end": (link("/dev/zero"), PLAIN),
    "a link to itself": (link("m.onnx"), r"cannot be read"),
    "a link to nowhere": (link("nowhere"), r"cannot be read: No such file"),
    "another process's memory": (link("/proc/self/mem"), r"cannot be read"),
    "a name that is not UTF-8": (written(bad_text(renamed("marker"))), NAMES),
    "an operator that is not UTF-8": (
        written(bad_text(model(helper.make_node("marker", ["x"], ["z"])))),
        r"operator ':mark\\xffr' is not UTF-8",
    ),
    "a producer that is not UTF-8": (written(bad_text(changed(producer_name="marker"))), r""),
    "a location that is not UTF-8": (
        lambda folder: written(bad_text_outside(folder))(folder),
        r"is not next to the model",
    ),
    "a description that is not UTF-8": (written(bad_text(changed(doc_string="marker"))), r""),
    "100,000 inputs": (saved(many_inputs(100_000)), r""),
    "elements of no known type": (saved(typed(99)), r"holds elements of type 99"),
    "elements of no type": (saved(typed(0)), r"holds UNDEFINED"),
    "a ZipMap without outputs": (saved(zipmap([])), NO_TYPE),
    "a ZipMap without classes": (saved(zipmap(["z"])), r""),
    "a ZipMap whose classes are no text": (
        saved(zipmap(["z"], classlabels_strings=[b"\xff", b"\x1b[31m"])),
        r"",
    ),
    "a ZipMap of numbers": (saved(zipmap(["z"], classlabels_strings=1.5)), r""),
    "a version below zero": (saved(changed(ir_version=-1)), r""),
    "a version without end": (saved(changed(ir_version=2**62)), r""),
    "nodes in a circle": (saved(cycle()), r""),
    "a model twice": (written(model().SerializeToString() * 2), r""),
    "half a model": (written(model().SerializeToString()[:-20]), NO_MODEL),
    "an empty file": (written(b""), NO_MODEL),
    "a zip archive": (written(b"PK\x03\x04" + bytes(100)), NO_MODEL),
}


def bad_text_outside(folder: Path) -> bytes:
    return outside(location="marker")(folder).read_bytes().replace(b"marker", b"mark\xffr")


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def npz(**arrays: bytes) -> bytes:
    """An NPZ archive whose arrays are these bytes; zeros shrink to nothing."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in arrays.items():
            file.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def bomb(folder: Path) -> Path:
    """Two gigabytes of zeros in nine megabytes."""
    header = shape(2**28, 2)
    path = folder / "s.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("x.npy", "w", force_zip64=True) as part,
    ):
        part.write(header)
        for _ in range(2**8):
            part.write(bytes(2**23))
    return path


def long_line(name: str, head: bytes, size: int) -> Make:
    def make(folder: Path) -> Path:
        path = folder / name
        with path.open("wb") as file:
            file.write(head)
            file.truncate(size)
        return path

    return make


def shape(*lengths: int, kind: str = "<f4") -> bytes:
    return npy(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {lengths}, }}")


class _Pickle:
    def __reduce__(self) -> Any:
        return (os.system, ("touch pickled",))


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([_Pickle()], object), allow_pickle=True)
    return buffer.getvalue()


NO_TABLE = r"is not CSV: field larger than field limit"
PLAIN_ARRAYS = r"is not an NPZ file of plain arrays"

SAMPLES: Mapping[str, tuple[Make, str]] = {
    "an archive that bursts": (bomb, r"more than \d+ MB of memory"),
    "an array of 2 ** 60": (written(npz(x=shape(2**59, 2)), "s.npz"), r"s\.npz"),
    "an array of 2 ** 80": (written(npz(x=shape(2**40, 2**40)), "s.npz"), r"s\.npz"),
    "an array of negative size": (written(npz(x=shape(-1, 2)), "s.npz"), r"s\.npz"),
    "a pickled array": (written(npz(x=pickled()), "s.npz"), PLAIN_ARRAYS),
    "a pickle": (written(b"cos\nsystem\n(S'touch pickled'\ntR.", "s.npz"), PLAIN_ARRAYS),
    "a header of code": (written(npz(x=npy("__import__('os')")), "s.npz"), PLAIN_ARRAYS),
    "a header in many brackets": (written(npz(x=npy("(" * 9_000)), "s.npz"), r"cannot be read"),
    "an archive cut off": (written(npz(x=shape(2, 2))[:-30], "s.npz"), PLAIN_ARRAYS),
    "a name with escape sequences": (
        written(npz(**{ESCAPE: shape(2, 2)}), "s.npz"),
        r"has no array 'x'",
    ),
    "a million columns": (
        written(b",".join(b"c%d" % i for i in range(10**6)) + b"\n1", "s.csv"),
        r"s\.csv",
    ),
    "a line without end": (long_line("s.csv", b"a,b\n1,", 2**27), NO_TABLE),
    "an open quote": (written(b'a,b\n"1,2\n' + b"3,4\n" * 100_000, "s.csv"), NO_TABLE),
    "a field that is too large": (written(b"a,b\n1," + b"2" * 200_000, "s.csv"), NO_TABLE),
    "NUL in a table": (written(b"a,b\n1,\x00\n", "s.csv"), r"s\.csv line 2"),
    "bytes that are no text": (written(b"a,b\n1,\xff\n", "s.csv"), r"s\.csv is not UTF-8 text"),
    "columns with escape sequences": (
        written(f"{ESCAPE},b,c\n1,2,3\n".encode(), "s.csv"),
        r"input 'x' takes 2 columns, got 3",
    ),
    "a number without end": (written(b"a,b\n1," + b"9" * 5000, "s.csv"), r"s\.csv line 2"),
    "deep JSON": (written(b"[" * 10**6, "s.jsonl"), r"s\.jsonl line 1 is not JSON"),
    "deep JSON in an object": (
        written(b'{"x": ' + b"[" * 900 + b"]" * 900 + b"}", "s.jsonl"),
        r"s\.jsonl line 1",
    ),
    "a long integer": (
        written(b'{"x": [' + b"9" * 5000 + b", 1]}", "s.jsonl"),
        r"s\.jsonl line 1",
    ),
    "JSON without end": (long_line("s.jsonl", b'{"x": "', 2**27), r"s\.jsonl"),
    "a pipe of samples": (
        lambda folder: os.mkfifo(folder / "s.csv") or folder / "s.csv",  # type: ignore[func-returns-value]
        PLAIN,
    ),
    "a folder of samples": (
        lambda folder: (folder / "s.csv").mkdir() or folder / "s.csv",  # type: ignore[func-returns-value]
        PLAIN,
    ),
}
