"""Asks the real XGBoost about the models that the export wrote (xgboost_export/).

    pip install xgboost-cpu==3.2.0 pandas==3.1.1
    python check_xgboost_export.py

Each NAME.json must load, and answer the rows of NAME.expected as it says there: what the ensemble answers, or for
models that came from XGBoost what that answered (xgboost/NAME.expected). Whether the files are still what the export
writes is for the tests of the crate to say.
"""

import json
import pathlib

import numpy as np
import pandas as pd
import xgboost as xgb

HERE = pathlib.Path(__file__).parent


def matrix(booster, rows, model):
    names = booster.feature_names
    types = booster.feature_types
    enc = model["learner"]["gradient_booster"]["model"]["cats"]["enc"]
    if not enc:
        table = np.array(rows, dtype=np.float32)
        return xgb.DMatrix(table, feature_names=names, feature_types=types, enable_categorical=True)
    frame = pd.DataFrame(rows, columns=names)
    for name, kind, categories in zip(names, types, enc):
        if kind == "c":
            values = categories["values"]
            if "offsets" in categories:
                ends = categories["offsets"]
                values = [bytes(values[begin:end]).decode() for begin, end in zip(ends, ends[1:])]
            frame[name] = pd.Categorical(frame[name], categories=values)
        else:
            frame[name] = frame[name].astype({"float": np.float64, "int": np.int64, "i": bool}[kind])
    return xgb.DMatrix(frame, enable_categorical=True)


def main():
    paths = sorted((HERE / "xgboost_export").glob("*.json"))
    assert len(paths) > 25, "files are missing"
    for path in paths:
        booster = xgb.Booster(model_file=path)
        expected = path.with_suffix(".expected")
        if not expected.exists():
            expected = HERE / "xgboost" / expected.name
        expected = json.loads(expected.read_text())
        data = matrix(booster, expected["rows"], json.loads(path.read_text()))
        apart = 0.0
        for field, margin in (("margins", True), ("answers", False)):
            got = booster.predict(data, output_margin=margin).reshape(len(expected["rows"]), -1)
            want = np.array(expected[field], dtype=np.float64)
            assert got.shape == want.shape, (path.name, got.shape, want.shape)
            with np.errstate(invalid="ignore"):
                difference = np.abs(got - want) / np.maximum(1, np.abs(want))
            same = (got == want) | (np.isnan(got) & np.isnan(want))
            apart = max(apart, np.where(same, 0, difference).max())
        print(f"{path.name}: largest relative difference {apart:.3g}")
        assert apart <= 1e-6, path.name
        # What XGBoost writes again answers alike.
        again = xgb.Booster(model_file=bytearray(booster.save_raw("json")))
        first, second = (one.predict(data, output_margin=True) for one in (booster, again))
        assert np.array_equal(first, second, equal_nan=True), path.name
    print(f"{len(paths)} models are as XGBoost reads them")


if __name__ == "__main__":
    main()
