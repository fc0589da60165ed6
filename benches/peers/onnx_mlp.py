"""Writes the dense net (x FP32[rows, 30] -> y FP32[rows, 1]) as an ONNX model and checks it against numpy.
Usage: python onnx_mlp.py WEIGHTS.safetensors MODEL.onnx"""
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import weights

tensors = weights.read(sys.argv[1])
graph = helper.make_graph(
    [
        helper.make_node("Gemm", ["x", "W1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "W2", "b2"], ["y"]),
    ],
    "mlp",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 30])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])],
    [numpy_helper.from_array(values.copy(), name) for name, values in tensors.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
onnx.checker.check_model(model)
onnx.save(model, sys.argv[2])
x = np.random.default_rng(0).standard_normal((5, 30)).astype("f4")
(y,) = onnxruntime.InferenceSession(sys.argv[2]).run(["y"], {"x": x})
np.testing.assert_allclose(y, weights.mlp(tensors, x), rtol=1e-4, atol=1e-5)
