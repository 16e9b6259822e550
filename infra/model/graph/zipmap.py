"""ZipMap nodes, whose maps from class to probability no request can carry.

skl2onnx and onnxmltools end classifiers with one unless told otherwise. It takes a tensor of
probabilities, which is served instead.
"""

import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

from infra.model.graph.nodes import ML, to_text, walk


def remove_zipmaps(model: ModelProto) -> dict[str, list[str]]:
    """Turn each ZipMap whose maps are an output into an Identity of the tensor that it takes.

    Returns the classes of these outputs, in the order of the tensor's columns.
    """
    graph = model.graph
    outputs = {value.name: value for value in graph.output}
    read = {name for node in walk(graph, NodeProto) for name in node.input}
    classes: dict[str, list[str]] = {}
    for node in graph.node:
        if (node.domain, node.op_type) != (ML, "ZipMap") or read.intersection(node.output):
            continue
        name = next(iter(node.output), "")
        attributes = {one.name: one for one in node.attribute}
        if name in outputs:
            strings = attributes.get("classlabels_strings", onnx.AttributeProto()).strings
            integers = attributes.get("classlabels_int64s", onnx.AttributeProto()).ints
            classes[name] = [to_text(label) for label in strings] or [str(i) for i in integers]
            columns = [None, len(classes[name])]
            kind = helper.make_tensor_type_proto(TensorProto.FLOAT, columns)
            outputs[name].type.CopyFrom(kind)
            node.op_type = "Identity"
            node.ClearField("domain")
            node.ClearField("attribute")
    if classes and all(opset.domain for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", 13))  # which has Identity
    return classes
