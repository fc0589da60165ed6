"""Saves golden ONNX models and their answers; for the scripts beside it."""

import json
import pathlib
import warnings

import numpy
import onnx
import onnxruntime
import pandas
from onnx import TensorProto, helper

warnings.filterwarnings("ignore")
onnxruntime.set_default_logger_severity(4)
FOLDER = pathlib.Path(__file__).parent / "onnx"
FLOAT, DOUBLE, INT64, UINT8, STRING = (
    TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.UINT8, TensorProto.STRING,
)

# skl2onnx 1.20 hands numpy's unsigned integers to onnx 1.23, which refuses them.
make_attribute = helper.make_attribute


def make_attribute_of_plain_numbers(key, value, *rest, **named):
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (numpy.integer, numpy.bool_)):
        value = [int(number) for number in value]
    return make_attribute(key, value, *rest, **named)


helper.make_attribute = onnx.helper.make_attribute = make_attribute_of_plain_numbers

golden = {"versions": {}, "models": {}, "refused": {}}


def plain(value):
    """JSON of numbers, NaN as null."""
    if isinstance(value, dict):
        return [plain(value[key]) for key in value]
    if isinstance(value, (list, tuple, numpy.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    value = float(value)
    return None if numpy.isnan(value) else value if numpy.isfinite(value) else ("inf" if value > 0 else "-inf")


def run(model, feed):
    """The scores: every floating-point output, side by side."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = [
        numpy.array(plain(value), dtype=object).reshape(len(next(iter(feed.values()))), -1)
        for output, value in zip(session.get_outputs(), session.run(None, feed))
        if "int64" not in output.type.split(",")[-1] and output.type != "tensor(string)"
    ]
    return numpy.concatenate(found, axis=1).tolist()


def save(name, model, table, native=None, reference=False):
    """Saves a model with its answers to a table: an array, or a frame whose columns are inputs."""
    if reference:
        from onnx.reference import ReferenceEvaluator

        (expected,) = ReferenceEvaluator(model).run(None, {model.graph.input[0].name: table})
        expected = plain(expected)
    elif isinstance(table, pandas.DataFrame):
        expected = run(model, {column: table[[column]].values for column in table})
    else:
        expected = run(model, {model.graph.input[0].name: table})
    rows = [plain(row) for row in (table.values if isinstance(table, pandas.DataFrame) else table)]
    case = {"rows": rows, "expected": expected}
    if native is not None:
        case["native"] = plain(numpy.asarray(native).reshape(len(rows), -1))
    golden["models"][name] = case
    (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString())


def refuse(name, model, what):
    """Saves a model that is refused, with a word of the refusal."""
    golden["refused"][name] = what
    (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString())


def finish(*libraries):
    """Writes all answers, and the versions of what gave them."""
    golden["versions"] = {library.__name__: library.__version__ for library in (onnx, onnxruntime, *libraries)}
    (FOLDER / "golden.json").write_text(json.dumps(golden))
    print(len(golden["models"]), "models,", len(golden["refused"]), "refused")
