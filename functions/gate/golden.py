"""Golden requests: what a model was asked when it was packaged, and what it must answer again."""

from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct

from gate.errors import RefusedError
from gate.invocation import Answer
from gate.requests import Event, golden_inputs, infer
from serving.manifest import Golden, Manifest
from serving.tensors import DATATYPES, Array


class Output(Struct, frozen=True):
    """One output of an answer, flat in row-major order."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]

    def read(self) -> Array:
        """Return numbers with a fraction in double precision, all else as JSON has it.

        Raises TypeError, ValueError or OverflowError unless `data` is such a tensor.
        """
        dtype = np.float64 if self.datatype.startswith("FP") else np.object_
        return np.array(self.data, dtype).reshape(self.shape)


class InferResponse(Struct, frozen=True):
    """An answer of the Open Inference Protocol."""

    model_name: str
    model_version: str
    outputs: list[Output]


class GoldenRequest(NamedTuple):
    """A golden sample as a request; `what` is its place in model.json."""

    what: str
    golden: Golden
    datatypes: dict[str, str]  # of the outputs
    event: Event

    def check(self, answer: Answer) -> None:
        """Raise RefusedError unless `answer` is the golden one within its tolerances."""
        response = answer.read(InferResponse, self.what)
        outputs = {output.name: output for output in response.outputs}
        for name, values in self.golden.outputs.items():
            datatype = self.datatypes[name]
            if name not in outputs or outputs[name].datatype != datatype:
                raise RefusedError(f"{self.what}: the answer has no {datatype} output '{name}'")
            self._compare(outputs[name], values)

    def _compare(self, output: Output, values: Any) -> None:
        what = f"{self.what}: output '{output.name}'"
        datatype = self.datatypes[output.name]
        try:
            found = np.array(output.data, _dtype(datatype)).reshape(output.shape)
        except (TypeError, ValueError, OverflowError) as error:
            raise RefusedError(f"{what} is no {datatype} of the shape that it declares") from error
        expected = np.array(values, found.dtype)
        if found.shape != expected.shape and (found.size or expected.size):
            raise RefusedError(
                f"{what} has the shape {list(found.shape)}, expected {list(expected.shape)}"
            )
        off = found.size - int(np.count_nonzero(self._is_close(found, expected)))
        if off:
            raise RefusedError(
                f"{what}: {off} of {found.size} elements differ from model.json"
                + (f" by more than {self._tolerances}" if found.dtype.kind == "f" else "")
            )

    def _is_close(self, found: Array, expected: Array) -> Any:
        expected = expected.reshape(found.shape)
        if found.dtype.kind != "f":
            return found == expected
        relative, absolute = self.golden.relative_tolerance, self.golden.absolute_tolerance
        return np.isclose(found, expected, relative, absolute, equal_nan=True)

    @property
    def _tolerances(self) -> str:
        relative, absolute = self.golden.relative_tolerance, self.golden.absolute_tolerance
        return f"{relative:g} of the value and {absolute:g}"


def golden_requests(manifest: Manifest) -> list[GoldenRequest]:
    """Return the golden samples that have a JSON form."""
    datatypes = {tensor.name: tensor.datatype for tensor in manifest.outputs}
    without_json = {
        tensor.name
        for tensor in (*manifest.inputs, *manifest.outputs)
        if DATATYPES[tensor.datatype].json is None
    }
    return [
        GoldenRequest(f"golden[{i}]", golden, datatypes, _request(manifest, golden))
        for i, golden in enumerate(manifest.golden)
        if without_json.isdisjoint((*golden.inputs, *golden.outputs))
    ]


def _request(manifest: Manifest, golden: Golden) -> Event:
    """Ask for all outputs as callers do, or for those that the sample has if it has not all."""
    fields = {}
    if golden.outputs.keys() != {tensor.name for tensor in manifest.outputs}:
        fields["outputs"] = [{"name": name} for name in golden.outputs]
    return infer(manifest, golden_inputs(manifest, golden), **fields)


def _dtype(datatype: str) -> np.dtype[Any]:
    """Return the type in which two outputs compare: JSON's numbers are of double precision."""
    dtype = DATATYPES[datatype].dtype
    return np.dtype(np.float64) if dtype.kind == "f" else dtype
