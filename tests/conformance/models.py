"""The models of the conformance suite, made from fixed seeds: for Emberline as files to import, for Triton as a repository.

`mlp`, versions 1 and 2: x FP32[30] -> y FP32[1], 64 hidden units, ReLU. `echo_fp32` and so on, one for each datatype:
x [-1, 4] -> y, the same. `echo_many`: a FP32[2] -> a_out, b INT64[1] -> b_out, c BYTES[1] -> c_out. `spare`: as echo_fp32,
to be loaded and unloaded.
"""

import json
import os
import textwrap

import numpy as np

DATATYPES = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "BF16", "FP32", "FP64", "BYTES",
]  # fmt: skip


def weights():
    """The net's weights, the same on every machine; f32, `y = relu(x W1 + b1) W2 + b2`."""
    rng = np.random.default_rng(0)
    return dict(
        W1=(rng.standard_normal((30, 64)) / 5).astype("f4"),
        b1=np.zeros(64, "f4"),
        W2=(rng.standard_normal((64, 1)) / 8).astype("f4"),
        b2=np.zeros(1, "f4"),
    )


def mlp(x):
    """The net's answers to rows `x`."""
    net = weights()
    return np.maximum(x @ net["W1"] + net["b1"], 0) @ net["W2"] + net["b2"]


def identities():
    """Name and tensors (name, datatype, elements a row, output) of every identity."""
    models = {f"echo_{datatype.lower()}": [("x", datatype, 4, "y")] for datatype in DATATYPES}
    models["echo_many"] = [("a", "FP32", 2, "a_out"), ("b", "INT64", 1, "b_out"), ("c", "BYTES", 1, "c_out")]
    models["spare"] = [("x", "FP32", 4, "y")]
    return models


def write_emberline(directory):
    """Writes what `emberline import` takes; gives the arguments of each import, in order."""
    imports = []
    path = os.path.join(directory, "mlp.npz")
    np.savez(path, **weights())
    imports += [[path, "--format", "mlp", "--name", "mlp"]] * 2
    for name, tensors in identities().items():
        path = os.path.join(directory, f"{name}.json")
        spec = [dict(name=n, datatype=d, shape=[-1, width], output=output) for n, d, width, output in tensors]
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"tensors": spec}, file)
        imports.append([path, "--format", "identity", "--name", name])
    return imports


MLP_MODEL = """
    import os, numpy as np, triton_python_backend_utils as pb
    class TritonPythonModel:
        def initialize(self, args):
            self.net = dict(np.load(os.path.join(os.path.dirname(__file__), "mlp.npz")))
        def execute(self, requests):
            net, answers = self.net, []
            for request in requests:
                x = pb.get_input_tensor_by_name(request, "x").as_numpy()
                y = np.maximum(x @ net["W1"] + net["b1"], 0) @ net["W2"] + net["b2"]
                answers.append(pb.InferenceResponse([pb.Tensor("y", y.astype("f4"))]))
            return answers
"""

# Tensors go through DLPack where NumPy lacks the datatype (BF16).
ECHO_MODEL = """
    import triton_python_backend_utils as pb
    class TritonPythonModel:
        def execute(self, requests):
            answers = []
            for request in requests:
                outputs = []
                wanted = request.requested_output_names()
                for name, output in {names!r}.items():
                    if output not in wanted:
                        continue
                    tensor = pb.get_input_tensor_by_name(request, name)
                    if {bf16!r}:
                        outputs.append(pb.Tensor.from_dlpack(output, tensor.to_dlpack()))
                    else:
                        outputs.append(pb.Tensor(output, tensor.as_numpy()))
                answers.append(pb.InferenceResponse(outputs))
            return answers
"""


def write_triton(directory):
    """Writes a model repository for Triton's python backend."""

    def write(name, versions, code, inputs, outputs, extra=None):
        triton = {"BYTES": "TYPE_STRING"}
        for version in versions:
            folder = os.path.join(directory, name, str(version))
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, "model.py"), "w", encoding="utf-8") as file:
                file.write(textwrap.dedent(code))
            if extra:
                extra(folder)
        tensors = lambda specs: ",".join(  # noqa: E731
            f'{{ name: "{n}" data_type: {triton.get(d, "TYPE_" + d)} dims: [{width}] }}' for n, d, width in specs
        )
        with open(os.path.join(directory, name, "config.pbtxt"), "w", encoding="utf-8") as file:
            file.write(
                f'name: "{name}"\nbackend: "python"\nmax_batch_size: 128\nversion_policy {{ all {{ }} }}\n'
                f"input [{tensors(inputs)}]\noutput [{tensors(outputs)}]\ninstance_group [{{ kind: KIND_CPU count: 1 }}]\n"
                "dynamic_batching { default_queue_policy { allow_timeout_override: true timeout_action: REJECT } }\n"
            )

    save = lambda folder: np.savez(os.path.join(folder, "mlp.npz"), **weights())  # noqa: E731
    write("mlp", [1, 2], MLP_MODEL, [("x", "FP32", 30)], [("y", "FP32", 1)], save)
    for name, tensors in identities().items():
        code = ECHO_MODEL.format(names={n: o for n, _, _, o in tensors}, bf16=tensors[0][1] == "BF16")
        write(name, [1], code, [t[:3] for t in tensors], [(o, d, w) for _, d, w, o in tensors])
