"""Models of the real LightGBM with its own answers, for `tests/it/lightgbm.rs`.

    pip install lightgbm==4.7.0 scikit-learn pandas && python make_lightgbm.py
    pip install lightgbm==3.3.5 scikit-learn pandas && python make_lightgbm.py    (Python 3.8)
    pip install lightgbm==2.3.1 scikit-learn pandas && python make_lightgbm.py    (Python 3.7)

Each run writes `lightgbm/MAJOR-NAME.txt` (the model) and `lightgbm/MAJOR-NAME.golden`: lines `row`, `raw` (the margins) and
`answer` in turn, with all digits. Rows sit on thresholds, and hold NaN, infinities, zeros and unknown categories.
"""

import json
import pathlib
import warnings

import lightgbm
import numpy as np
import pandas as pd
import sklearn
from sklearn import datasets

warnings.filterwarnings("ignore")
MAJOR = int(lightgbm.__version__.split(".")[0])
OUT = pathlib.Path(__file__).parent / "lightgbm"
OUT.mkdir(exist_ok=True)
COMMON = dict(
    num_leaves=6, min_data_in_leaf=8, verbosity=-1, verbose=-1, num_threads=1, seed=7, deterministic=True, learning_rate=0.3
)
RNG = np.random.RandomState(5)


def thresholds(text):
    """Numeric thresholds of a model, by feature."""
    found = {}
    for block in text.split("Tree=")[1:]:
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if not fields.get("threshold", "").strip():
            continue
        for feature, threshold, kind in zip(*(fields[k].split() for k in ("split_feature", "threshold", "decision_type"))):
            if int(kind) & 1 == 0:
                found.setdefault(int(feature), []).append(float(threshold))
    return found


def probe(x, text, codes):
    """Rows of the training table, and rows made to hit corners."""
    rows = [x[i] for i in range(0, len(x), max(1, len(x) // 8))]
    cuts = thresholds(text)
    for _ in range(10):
        row = x[RNG.randint(len(x))].copy()
        for feature, values in cuts.items():
            if RNG.rand() < 0.7:
                row[feature] = values[RNG.randint(len(values))]
        rows.append(row)
    corners = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-36, 1e300]
    strange = [np.nan, -1.0, -0.5, 2.7, 99.0, 1e10, np.inf, -np.inf, 16777216.0, 31.0, 32.0]
    for _ in range(24):
        row = x[RNG.randint(len(x))].copy()
        for feature in range(x.shape[1]):
            if RNG.rand() < 0.4:
                of = strange if feature in codes else corners
                row[feature] = of[RNG.randint(len(of))]
        rows.append(row)
    return np.array(rows)


def write(name, booster, x, codes=(), rounds=None, pandas=False):
    text = booster.model_to_string(num_iteration=rounds) if rounds else booster.model_to_string()
    if pandas:
        # The line that save_model appends, and model_to_string as well since 2.3.
        assert "pandas_categorical" in text
    reader = lightgbm.Booster(model_str=text)
    reader.pandas_categorical = None
    rows = probe(np.asarray(x, dtype=np.float64), text, codes)
    raw = reader.predict(rows, raw_score=True).reshape(len(rows), -1)
    answer = reader.predict(rows).reshape(len(rows), -1)
    stem = OUT / "{}-{}".format(MAJOR, name)
    stem.with_suffix(".txt").write_text(text)
    with open(str(stem.with_suffix(".golden")), "w") as out:
        out.write("# lightgbm {}, scikit-learn {}\n".format(lightgbm.__version__, sklearn.__version__))
        for kind in zip(rows, raw, answer):
            for word, values in zip(("row", "raw", "answer"), kind):
                out.write(word + " " + " ".join(repr(float(value)) for value in values) + "\n")


def train(name, x, y, params, rounds=6, cut=None, codes=(), **data):
    table = lightgbm.Dataset(x, y, params=dict(COMMON, **params), **data)
    booster = lightgbm.train(dict(COMMON, **params), table, num_boost_round=rounds)
    write(name, booster, x, codes, cut)


def holes(x):
    """A table with zeros and missing values."""
    x = x.copy()
    x[RNG.rand(*x.shape) < 0.15] = 0.0
    x[RNG.rand(*x.shape) < 0.15] = np.nan
    return x


diabetes, target = datasets.load_diabetes(return_X_y=True)
diabetes = diabetes[:, [0, 2, 3, 8, 9]] * 100.0
cancer, malign = datasets.load_breast_cancer(return_X_y=True)
cancer = cancer[:, [0, 1, 7, 20, 27]]
iris, kind = datasets.load_iris(return_X_y=True)
# Categories beyond a word of bits, and one that says something of the target.
groups = np.column_stack([diabetes, RNG.randint(0, 70, len(target)), np.digitize(target + RNG.normal(0, 30, len(target)), np.arange(50, 300, 25))])

train("missing-none", holes(diabetes), target, dict(objective="regression", use_missing=False))
train("missing-zero", holes(diabetes), target, dict(objective="regression", zero_as_missing=True))
train("missing-nan", holes(diabetes), target, dict(objective="regression"))
train("binary", cancer, malign, dict(objective="binary", sigmoid=0.7))
train("multiclass", iris, kind, dict(objective="multiclass", num_class=3), rounds=4)
train("multiclass-cut", iris, kind, dict(objective="multiclass", num_class=3), rounds=5, cut=2)
train("multiclassova", iris, kind, dict(objective="multiclassova", num_class=3, sigmoid=1.5), rounds=3)
train("category", groups, target, dict(objective="regression", min_data_per_group=5, cat_smooth=1.0, max_cat_to_onehot=1), codes=(5, 6), categorical_feature=[5, 6])
train("category-one", groups, target, dict(objective="regression", max_cat_to_onehot=20), codes=(6,), categorical_feature=[6])
train("dart", cancer, malign, dict(objective="binary", boosting="dart", drop_rate=0.5, skip_drop=0.0))
train("goss", diabetes, target, dict(objective="regression", boosting="goss", top_rate=0.3, other_rate=0.3))
forest = dict(boosting="rf", bagging_freq=1, bagging_fraction=0.6, feature_fraction=0.8)
train("forest", diabetes, target, dict(forest, objective="regression"), rounds=7)
train("forest-binary", cancer, malign, dict(forest, objective="binary"), rounds=7)
train("forest-multiclass", iris, kind, dict(forest, objective="multiclass", num_class=3), rounds=3)
train("sqrt", diabetes, target, dict(objective="regression", reg_sqrt=True))
train("constant", diabetes[:, :2], np.full(len(target), 3.25), dict(objective="regression"), rounds=2)
for objective in ("regression_l1", "huber", "fair", "poisson", "quantile", "mape", "gamma", "tweedie"):
    train(objective, diabetes, target, dict(objective=objective, alpha=0.7), rounds=3)
for objective in ("cross_entropy", "cross_entropy_lambda"):
    train(objective, diabetes, target / 400.0, dict(objective=objective), rounds=3)
rank = dict(label_gain="0,1,3,7,15")
train("lambdarank", diabetes, np.digitize(target, [80, 130, 180, 250]), dict(rank, objective="lambdarank"), rounds=3, group=[34] * 13)
if MAJOR >= 3:
    train("rank_xendcg", diabetes, np.digitize(target, [80, 130, 180, 250]), dict(rank, objective="rank_xendcg"), rounds=3, group=[34] * 13)
    linear = dict(objective="regression", linear_tree=True, min_data_in_leaf=40)
    train("linear", holes(diabetes), target, linear)
    train("linear-category", groups, target, linear, codes=(6,), categorical_feature=[6])
    train("linear-constant", diabetes[:30], target[:30], linear, rounds=2)
if MAJOR == 4:
    def squared(scores, table):
        return scores - table.get_label(), np.ones_like(scores)

    train("custom", diabetes, target, dict(objective=squared), rounds=3)

frame = pd.DataFrame(diabetes, columns=["age", "bmi index", "bp", "s5", "s6"])
names = np.array(["Åland", "two words", "c=d", "d", "e", "f", "g", "h", "i", "j", "k", "l"])
frame["region"] = pd.Categorical(names[np.digitize(target, np.arange(50, 300, 25))])
frame["year"] = pd.Categorical(np.digitize(target + RNG.normal(0, 60, len(target)), [100, 200]) * 10 + 1990)
coded = frame.assign(region=frame["region"].cat.codes, year=frame["year"].cat.codes).astype(float)
for name, columns, categorical in (
    ("pandas", list(frame.columns), "auto"),
    # One more categorical column that is no category of pandas'.
    ("pandas-more", ["age", "region", "whole", "year"], ["region", "whole", "year"]),
    # An ordered category is a number to LightGBM.
    ("pandas-ordered", ["age", "region", "level"], "auto"),
):
    table = frame.assign(
        whole=RNG.randint(0, 40, len(target)),
        level=pd.Categorical(np.digitize(target, [100, 200]), ordered=True),
    )[columns]
    codes = table.apply(lambda column: column.cat.codes if hasattr(column, "cat") else column).astype(float)
    params = dict(COMMON, objective="regression", min_data_per_group=5, max_cat_to_onehot=1)
    booster = lightgbm.train(params, lightgbm.Dataset(table, target, categorical_feature=categorical), num_boost_round=4)
    write(name, booster, codes, [i for i, c in enumerate(columns) if c in ("region", "whole", "year")], pandas=True)
print(json.dumps(sorted(path.name for path in OUT.glob("{}-*.txt".format(MAJOR)))))
