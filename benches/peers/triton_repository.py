"""Writes a Triton model repository: one dense net (x FP32[30] -> y FP32[1]) for its python backend, as `mlp`.
Usage: python triton_repository.py WEIGHTS.safetensors DIRECTORY"""
import pathlib
import shutil
import sys

CONFIGURATION = """name: "mlp"
backend: "python"
max_batch_size: 128
input [{ name: "x" data_type: TYPE_FP32 dims: [30] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [1] }]
instance_group [{ kind: KIND_CPU count: 1 }]
dynamic_batching { }
"""

MODEL = """
import os, sys
import numpy as np
import triton_python_backend_utils as pb

sys.path.insert(0, os.path.dirname(__file__))
import weights


class TritonPythonModel:
    def initialize(self, args):
        self.tensors = weights.read(os.path.join(os.path.dirname(__file__), "mlp.safetensors"))

    def execute(self, requests):
        xs = [pb.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        y = weights.mlp(self.tensors, np.concatenate(xs)).astype("f4")
        answers, at = [], 0
        for x in xs:
            answers.append(pb.InferenceResponse([pb.Tensor("y", y[at:at + len(x)])]))
            at += len(x)
        return answers
"""

weights, directory = map(pathlib.Path, sys.argv[1:])
version = directory / "mlp" / "1"
version.mkdir(parents=True)
(version.parent / "config.pbtxt").write_text(CONFIGURATION)
(version / "model.py").write_text(MODEL)
shutil.copy(weights, version / "mlp.safetensors")
shutil.copy(pathlib.Path(__file__).with_name("weights.py"), version)
