"""Asks a version and the one that it replaces the same."""

import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from gate.answers import Pair
from gate.contract import ModelMetadata
from gate.errors import IncomparableError, RefusedError
from gate.golden import GoldenRequest, InferResponse
from gate.invocation import Answer, Version
from gate.requests import SMALL, golden_inputs, post
from gate.rows import draw_rows
from serving.manifest import DYNAMIC, Manifest, Tensor
from serving.tensors import DATATYPES, Array

ROWS, SINGLE_ROWS = 1000, 100  # drawn for a model that takes many in a request, or one
MOST_ROWS = 128  # of a request
QUICK = 0.1  # seconds for both answers, after which the next request has more rows


class Both(NamedTuple):
    """Two versions: `manifest` is the new one's contract, `known` what the old one says of its."""

    new: Version
    old: Version
    manifest: Manifest
    known: ModelMetadata

    def ask_golden(self, golden: list[GoldenRequest]) -> Iterator[Pair]:
        """Ask both the golden requests; raise as `_ask` does."""
        for request in golden:
            inputs = golden_inputs(self.manifest, request.golden)
            yield self._ask(request.what, inputs, _count_rows(self.manifest, inputs))

    def ask_drawn(self) -> Iterator[Pair]:
        """Ask both about rows that are drawn; raise as `_ask` does, and if there are none.

        The first request has one row, and each has twice as many as the one before while that is
        answered quickly, so that no request of a slow model takes long.
        """
        rows = draw_rows(self.manifest.inputs, ROWS)
        if not rows:
            raise IncomparableError("model.json does not say which values every column has")
        sent = [tensor for tensor in self.manifest.inputs if tensor.name in rows]
        elements = sum(array[0].size for array in rows.values())
        is_batched = all(tensor.shape[0] == DYNAMIC for tensor in sent)
        limits = self.manifest.limits
        most = min(MOST_ROWS, limits.rows, min(SMALL, limits.elements) // elements)
        count, most = (ROWS, most) if is_batched else (SINGLE_ROWS, 1)
        begin, size = 0, 1
        while begin < count:
            end = min(begin + size, count)
            inputs = [_write(tensor, rows[tensor.name][begin:end]) for tensor in sent]
            started = time.monotonic()
            yield self._ask("rows from the ranges", inputs, end - begin)
            is_quick = time.monotonic() - started < QUICK
            begin, size = end, max(1, min(2 * size, most) if is_quick else size // 2)

    def _ask(self, what: str, inputs: list[dict[str, Any]], rows: int) -> Pair:
        """Ask both for the outputs that they have in common.

        Raises IncomparableError if the old version cannot be asked or does not answer, and
        RefusedError if the new one does not answer what the old one does.
        """
        outputs = self._find_outputs()
        taken = {tensor.name for tensor in self.known.inputs}
        inputs = [tensor for tensor in inputs if tensor["name"] in taken]
        body = json.dumps({"inputs": inputs, "outputs": outputs})
        try:
            answer = self.old.ask(post(f"/v2/models/{self.known.name}/infer", body))
            before = _read(answer, what)
        except RefusedError as error:
            raise IncomparableError(str(error)) from error
        try:
            answer = self.new.ask(post(f"/v2/models/{self.manifest.name}/infer", body))
            return Pair(rows, before, _read(answer, what))
        except RefusedError as error:
            raise RefusedError(f"{error}; version {self.old.number} answers it") from error

    def _find_outputs(self) -> list[dict[str, str]]:
        taken = {tensor.name for tensor in self.known.inputs}
        for tensor in self.manifest.inputs:
            if not tensor.optional and tensor.name not in taken:
                raise IncomparableError(f"version {self.old.number} has no input '{tensor.name}'")
        before = {(tensor.name, tensor.datatype) for tensor in self.known.outputs}
        names = [
            tensor.name
            for tensor in self.manifest.outputs
            if (tensor.name, tensor.datatype) in before
            and DATATYPES[tensor.datatype].json is not None
        ]
        if not names:
            raise IncomparableError("no output has kept its name and datatype")
        return [{"name": name} for name in names]


def _read(answer: Answer, what: str) -> InferResponse:
    """Read an answer; raise RefusedError unless its outputs are what they say they are."""
    response = answer.read(InferResponse, what)
    for output in response.outputs:
        try:
            output.read()
        except (TypeError, ValueError, OverflowError) as error:
            raise RefusedError(
                f"{what}: output '{output.name}' is no {output.datatype} of the shape that it "
                "declares"
            ) from error
    return response


def _write(tensor: Tensor, rows: Array) -> dict[str, Any]:
    data = rows.ravel().tolist()
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": rows.shape, "data": data}


def _count_rows(manifest: Manifest, inputs: list[dict[str, Any]]) -> int:
    """Return the rows of a request; it is one row where not every input takes any number."""
    shapes = {tensor.name: tensor.shape for tensor in manifest.inputs}
    is_batched = all(shapes[tensor["name"]][:1] == [DYNAMIC] for tensor in inputs)
    return inputs[0]["shape"][0] if inputs and is_batched else 1
