"""Asks the real treelite about the checkpoints that the export wrote (treelite_export/).

    pip install treelite==4.8.1
    python check_treelite_export.py

Each NAME.tl must load, GTIL must lead the rows of NAME.json to the same leaves as the ensemble does, and answer alike.
Whether the files are still what the export writes is for the tests of the crate to say.
"""

import glob
import json
import os

import numpy as np
import treelite

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "treelite_export")


def table(rows):
    return np.array([[float(x) for x in row] for row in rows], dtype=np.float64)


def main():
    paths = sorted(glob.glob(os.path.join(FOLDER, "*.tl")))
    assert len(paths) > 10, "files are missing"
    for path in paths:
        model = treelite.Model.deserialize(path)
        # What treelite writes again has the same meaning to it, and the same length as what we wrote.
        again = model.serialize_bytes()
        assert len(again) == os.path.getsize(path), path
        with open(path[:-3] + ".json") as file:
            golden = json.load(file)
        rows, expected = table(golden["rows"]), table(golden["answers"])
        nodes = treelite.gtil.predict_leaf(model, rows, nthread=1)
        assert (nodes == np.array(golden["nodes"])).all(), path
        got = treelite.gtil.predict(model, rows, nthread=1)
        got = got.reshape(len(rows), -1).astype(np.float64)
        assert got.shape == expected.shape, (path, got.shape, expected.shape)
        scale = np.maximum(1.0, np.abs(expected))
        difference = np.max(np.abs(got - expected) / scale)
        softmax = model.get_header_accessor().get_field("postprocessor") == "softmax"
        # GTIL adds where the sums start last, and computes softmax in f32; leaves here are as large as 53.
        tolerance = 1e-5 if softmax or model.output_type == "float32" else 1e-12
        name = os.path.basename(path)
        print(f"{name}: {model.num_tree} trees of {model.output_type}, largest relative difference {difference:.3g}")
        assert difference <= tolerance, name
        names = model.attributes["feature_names"]
        assert len(names) == model.num_feature, name
    print(f"{len(paths)} checkpoints are as treelite reads them")


if __name__ == "__main__":
    main()
