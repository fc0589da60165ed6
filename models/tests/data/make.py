"""Makes the small files of this folder, so that the tests compare with numpy, scikit-learn, pyarrow and safetensors and
not with this project itself.

Usage, with numpy, safetensors, scikit-learn and pyarrow installed: python make.py
The output is the same on every run.
"""

import datetime
import decimal
import io
import json
import os
import struct
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file
from sklearn.preprocessing import QuantileTransformer, StandardScaler

HERE = os.path.dirname(os.path.abspath(__file__))


def path(name):
    return os.path.join(HERE, name)


def write_json(name, value):
    with open(path(name), "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.write("\n")


def savez(name, compress=zipfile.ZIP_STORED, **entries):
    """numpy.savez with fixed times, so that the bytes do not change; an entry is an array or the bytes of a file."""
    with zipfile.ZipFile(path(name), "w", compress) as archive:
        for key, value in entries.items():
            if not isinstance(value, bytes):
                buffer = io.BytesIO()
                np.lib.format.write_array(buffer, value)
                value = buffer.getvalue()
            archive.writestr(zipfile.ZipInfo(key + ".npy", (2026, 1, 1, 0, 0, 0)), value, compress)


def dense():
    rng = np.random.default_rng(7)
    shapes = [(5, 8), (8, 4), (4, 2)]
    layers = [(rng.standard_normal(shape), rng.standard_normal(shape[1])) for shape in shapes]
    names = [key for index in range(len(layers)) for key in (f"W{index + 1}", f"b{index + 1}")]
    f4 = dict(zip(names, (array.astype("f4") for layer in layers for array in layer)))
    save_file(f4, path("dense_f32.safetensors"))
    save_file({key: value.astype("f8") for key, value in f4.items()}, path("dense_f64.safetensors"))
    savez("dense_f32.npz", **f4)
    mixed = dict(f4)
    mixed["W1"] = np.asfortranarray(f4["W1"].astype(">f8"))
    mixed["W2"] = np.asfortranarray(f4["W2"])
    mixed["b3"] = f4["b3"].reshape(1, -1)
    savez("dense_mixed.npz", zipfile.ZIP_DEFLATED, **mixed)
    rows = rng.standard_normal((6, 5)).astype("f4")
    values = rows.astype("f8")
    for index in range(len(shapes)):
        values = values @ f4[f"W{index + 1}"].astype("f8") + f4[f"b{index + 1}"].astype("f8")
        values = values if index + 1 == len(shapes) else np.maximum(values, 0)
    write_json("dense_expected.json", {"rows": rows.astype("f8").tolist(), "answers": values.tolist()})


def hostile():
    def npy(version, length, header):
        size = struct.pack("<H" if version == 1 else "<I", length)
        return b"\x93NUMPY" + bytes([version, 0]) + size + header

    def header(shape):
        return f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()

    bias = np.zeros(1, "f4")
    claims = {
        "huge_header": npy(2, 0xFFFFFFF0, header("(1, 1)")),
        "huge_shape": npy(1, len(header("(1099511627776, 4)")), header("(1099511627776, 4)")) + b"\0" * 16,
        "overflowing_shape": npy(1, len(header("(4294967296, 4294967296)")), header("(4294967296, 4294967296)")),
        "pickled": npy(1, 61, b"{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }  \n"),
        "not_npy": b"hello",
    }
    for name, weights in claims.items():
        savez(f"hostile_{name}.npz", W1=weights, b1=bias)


def scaling():
    rng = np.random.default_rng(3)
    cases = []
    columns = [
        np.exp(rng.standard_normal(400)),
        rng.integers(0, 6, 700).astype("f8"),
        np.concatenate([np.zeros(300), rng.uniform(0, 1e6, 100), np.full(50, 77.5)]),
        rng.standard_normal(7),
    ]
    for column in columns:
        values = column.astype("f4").astype("f8")
        spread = np.unique(values)
        probes = np.concatenate([spread[:25], (spread[:-1] + spread[1:])[:25] / 2, [values.min() - 5, values.max() + 5]])
        probes = probes.astype("f4").astype("f8")
        count = max(min(len(values) // 30, 1000), 10)
        with np.errstate(all="ignore"):
            normal = QuantileTransformer(n_quantiles=min(count, len(values)), output_distribution="normal", subsample=None)
            normal.fit(values.reshape(-1, 1))
        standard = StandardScaler().fit(values.reshape(-1, 1))
        cases.append({
            "values": values.tolist(),
            "probes": probes.tolist(),
            "normal": normal.transform(probes.reshape(-1, 1)).ravel().tolist(),
            "standard": standard.transform(probes.reshape(-1, 1)).ravel().tolist(),
        })
    write_json("scaling_expected.json", cases)


def parquet():
    utc = datetime.timezone.utc
    moments = [datetime.datetime(2026, 5, 1, 12, 30, 15), None, datetime.datetime(1969, 12, 31, 23, 59, 59)]
    dates = [datetime.date(2026, 5, 1), None, datetime.date(1969, 12, 31)]
    columns = {
        "int8": pa.array([1, None, -3], pa.int8()),
        "uint64": pa.array([1, None, 2**53], pa.uint64()),
        "float16": pa.array([np.float16(1.5), None, np.float16(-2)], pa.float16()),
        "float32": pa.array([1.5, None, float("nan")], pa.float32()),
        "decimal": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("-2.25")], pa.decimal128(10, 2)),
        "time": pa.array([datetime.time(0, 0, 1), None, datetime.time(1, 0)], pa.time32("s")),
        "duration": pa.array([datetime.timedelta(seconds=2), None, datetime.timedelta(0)], pa.duration("s")),
        "nothing": pa.array([None, None, None], pa.null()),
        "bool": pa.array([True, None, False], pa.bool_()),
        "string": pa.array(["a", None, " b "]),
        "large": pa.array(["a", "NA", "b"], pa.large_string()),
        "dictionary": pa.array(["x", None, "y"]).dictionary_encode(),
        "digits": pa.array(["01", None, "1"]),
        "written_dates": pa.array(["2026-05-01", None, "1969-12-31"]),
        "date32": pa.array(dates, pa.date32()),
        "seconds": pa.array(moments, pa.timestamp("s")),
        "nanoseconds": pa.array(moments, pa.timestamp("ns")),
        "zoned": pa.array([m and m.replace(tzinfo=utc) for m in moments], pa.timestamp("ms", tz="America/New_York")),
    }
    pq.write_table(pa.table(columns), path("types.parquet"))
    pq.write_table(pa.table({"id": [1], "tags": [["a", "b"]]}), path("nested.parquet"))


if __name__ == "__main__":
    dense()
    hostile()
    scaling()
    parquet()
