"""Makes the golden files in xgboost/: models that the real XGBoost saved, and what it answers.

    python3.11 -m venv new && new/bin/pip install xgboost-cpu==3.2.0 scikit-learn==1.9.1 pandas==3.1.1
    python3.11 -m venv old && old/bin/pip install xgboost-cpu==2.1.4 scikit-learn==1.9.1
    new/bin/python make_xgboost.py && old/bin/python make_xgboost.py

Each NAME.json and NAME.ubj is a model; NAME.expected holds rows (null: missing; strings: category names), the margins
(`output_margin=True`) and the answers of `Booster.predict`, one list a row. Models of the old library are called NAME_old.
"""

import json
import pathlib
import warnings

import numpy as np
import xgboost as xgb
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent / "xgboost"
NEW = xgb.__version__.startswith("3.")
LIBRARIES = f"xgboost-cpu {xgb.__version__}, numpy {np.__version__}"


def cell(value):
    if isinstance(value, str):
        return value
    return None if value is None or np.isnan(value) else float(value)


def save(name, booster, rows, matrix):
    """Saves a model and its answers to the rows, which `matrix` makes ready for it."""
    name = name if NEW else f"{name}_old"
    booster.save_model(HERE / f"{name}.json")
    booster.save_model(HERE / f"{name}.ubj")
    data = matrix(rows)
    answers = [booster.predict(data, output_margin=margin) for margin in (True, False)]
    margins, answers = ([np.atleast_1d(row).astype(float).tolist() for row in part] for part in answers)
    table = rows.to_numpy(object) if hasattr(rows, "to_numpy") else np.asarray(rows)
    expected = {
        "libraries": LIBRARIES,
        "rows": [[cell(value) for value in row] for row in table],
        "margins": margins,
        "answers": answers,
    }
    text = json.dumps(expected).replace('"rows"', '\n"rows"').replace('"margins"', '\n"margins"')
    (HERE / f"{name}.expected").write_text(text.replace('"answers"', '\n"answers"') + "\n")


def train(name, parameters, x, y, rounds=4, every=17, matrix=None, data=None, **more):
    make = matrix or xgb.DMatrix
    data = data or make(x, label=y)
    parameters = {"max_depth": 3, "seed": 1, "nthread": 1, "tree_method": "hist", **parameters}
    booster = xgb.train(parameters, data, rounds, **more)
    save(name, booster, x[::every], make)
    return booster


def holes(x):
    """The table with about an eighth of its cells missing."""
    x = x.copy()
    x[np.random.default_rng(7).random(x.shape) < 0.125] = np.nan
    return x


HERE.mkdir(exist_ok=True)
diabetes, progress = load_diabetes(return_X_y=True)
diabetes = diabetes.astype(np.float32)
cancer, malignant = load_breast_cancer(return_X_y=True)
cancer = cancer[:, :8].astype(np.float32)
iris, species = load_iris(return_X_y=True)
iris = iris.astype(np.float32)
wine, cultivar = load_wine(return_X_y=True)
wine = wine.astype(np.float32)
three = np.stack([progress, progress * 2 - 40, -progress], 1)

# What both libraries can do.
train("missing", {"objective": "reg:squarederror"}, holes(diabetes), progress)
train("logistic", {"objective": "binary:logistic", "base_score": 0.3}, cancer, malignant)
train("softprob", {"objective": "multi:softprob", "num_class": 3}, iris, species, every=9)
train("quantiles", {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]}, diabetes, progress)
train("vectors", {"multi_strategy": "multi_output_tree"}, holes(diabetes), three)
train("dart", {"booster": "dart", "rate_drop": 0.5}, diabetes, progress, rounds=8)
train("poisson", {"objective": "count:poisson"}, diabetes, np.floor(progress / 20))
untrained = xgb.train({"objective": "binary:logistic"}, xgb.DMatrix(cancer, malignant), 0)
save("untrained", untrained, cancer[:2], xgb.DMatrix)

if not NEW:
    booster = xgb.train({"max_depth": 2, "objective": "binary:logistic"}, xgb.DMatrix(iris, species > 0), 1)
    booster.save_model(HERE / "legacy.deprecated")
    (HERE / "legacy.raw").write_bytes(booster.save_raw("deprecated"))
    raise SystemExit

# Objectives of one output.
positive = progress / 100
train("squaredlogerror", {"objective": "reg:squaredlogerror"}, diabetes, positive)
train("reg_logistic", {"objective": "reg:logistic"}, diabetes, progress / 400)
train("pseudohuber", {"objective": "reg:pseudohubererror", "huber_slope": 20}, diabetes, progress)
train("absoluteerror", {"objective": "reg:absoluteerror"}, diabetes, progress)
train("quantile", {"objective": "reg:quantileerror", "quantile_alpha": 0.7}, diabetes, progress)
train("gamma", {"objective": "reg:gamma"}, diabetes, positive)
train("tweedie", {"objective": "reg:tweedie", "tweedie_variance_power": 1.3}, diabetes, positive)
train("logitraw", {"objective": "binary:logitraw", "base_score": 0.3}, cancer, malignant)
train("logitraw_mean", {"objective": "binary:logitraw"}, cancer, malignant)
train("hinge", {"objective": "binary:hinge"}, cancer, malignant)
train("cox", {"objective": "survival:cox"}, diabetes, np.where(progress < 200, progress, -progress))
bounds = xgb.DMatrix(diabetes)
bounds.set_float_info("label_lower_bound", progress)
bounds.set_float_info("label_upper_bound", np.where(progress < 200, progress, np.inf))
aft = {"objective": "survival:aft", "aft_loss_distribution": "logistic", "aft_loss_distribution_scale": 1.2}
train("aft", aft, diabetes, None, data=bounds)
for kind in ("ndcg", "map", "pairwise"):
    queries = xgb.DMatrix(wine, label=cultivar if kind != "map" else cultivar > 0)
    queries.set_group([50, 60, 68])
    train(f"rank_{kind}", {"objective": f"rank:{kind}"}, wine, None, data=queries, every=9)

# Several outputs, several trees a round.
train("softmax", {"objective": "multi:softmax", "num_class": 3}, wine, cultivar, every=9)
train("parallel", {"num_parallel_tree": 3, "subsample": 0.5, "eta": 1}, diabetes, progress, rounds=1)
train("parallel_softprob", {"objective": "multi:softprob", "num_class": 3, "num_parallel_tree": 2, "subsample": 0.6,
                            "booster": "dart", "rate_drop": 0.4}, iris, species, every=9)
train("targets", {}, diabetes, three)
train("labels", {"objective": "binary:logistic"}, wine, np.stack([cultivar == 0, cultivar == 2], 1).astype(float), every=9)
train("vectors_softprob", {"objective": "multi:softprob", "num_class": 3, "multi_strategy": "multi_output_tree"},
      holes(iris), species, every=9)

# Shapes of trees. `exact` grows and prunes, which leaves deleted nodes behind.
train("leaf", {"min_child_weight": 1e9}, diabetes, progress, rounds=2)
train("pruned", {"tree_method": "exact", "gamma": 30000, "max_depth": 5}, diabetes, progress, rounds=3)
none = xgb.train({"base_score": 0.75, "objective": "binary:logistic"}, xgb.DMatrix(cancer, malignant), 0)
save("no_trees", none, cancer[:2], xgb.DMatrix)

# Labels that are all alike: a probability of 1 as `base_score`; means of 0, whose leaves are not numbers.
ones = xgb.DMatrix(cancer, label=np.ones(len(cancer)))
train("all_alike", {"objective": "binary:logistic"}, cancer, None, data=ones, every=99)
nothing = xgb.DMatrix(cancer, label=np.zeros(len(cancer)))
train("zeros", {"objective": "count:poisson"}, cancer, None, data=nothing, every=99)
train("nan", {"objective": "reg:tweedie"}, cancer, None, data=nothing, every=99)

# Names, types, early stopping.
named = lambda x, label=None: xgb.DMatrix(
    x, label=label, feature_names=[f"côté {i}" for i in range(8)], feature_types=["float"] * 6 + ["int", "i"])
whole = np.concatenate([cancer[:, :6], np.round(cancer[:, 6:7] * 10), cancer[:, 7:] > 0.05], 1)
stopped = train("stopped", {"objective": "binary:logistic", "eta": 1}, whole, malignant, rounds=40, matrix=named,
                evals=[(named(whole[::2], label=1 - malignant[::2]), "other")], early_stopping_rounds=3, verbose_eval=False)
assert stopped.best_iteration + 1 < stopped.num_boosted_rounds()

# Categories: codes, some of which training never saw; strings; whole numbers.
random = np.random.default_rng(3)
codes = random.integers(0, 50, (600, 3)).astype(np.float32)
weight = random.random((3, 50)) * np.array([[1], [10], [3]])
effect = weight[np.arange(3), codes.astype(int)].sum(1)
codes[:, 1] = np.where(codes[:, 1] < 3, np.nan, codes[:, 1])
coded = lambda x, label=None: xgb.DMatrix(x, label=label, feature_types=["c", "c", "q"], enable_categorical=True)
booster = train("codes", {"max_cat_to_onehot": 4}, codes, effect, matrix=coded, rounds=6)
strange = np.array([[a, b, 7] for a in (-1, -0.5, 0.5, 49, 50, 63, 64, 5000, 1 << 24, 1e9, np.nan) for b in (3, 60)], np.float32)
save("codes_strange", booster, strange, coded)
for suffix in ("json", "ubj"):
    (HERE / f"codes_strange.{suffix}").unlink()

import pandas as pd

words = ["pomme", "apfel", "ringo", "", "a b", "z"]
frame = pd.DataFrame({
    "height": diabetes[:, 2],
    "fruit": pd.Categorical(random.choice(words, len(diabetes)), categories=words),
    "year": pd.Categorical(random.choice([1999, -5, 2024, 7], len(diabetes)), categories=[1999, -5, 2024, 7]),
    "glad": diabetes[:, 3] > 0,
    "count": np.round(diabetes[:, 4] * 100).astype(np.int64),
})
frame.loc[::11, "fruit"] = None
target = progress + 300 * (frame.fruit == "apfel") - 150 * (frame.year == 2024) + 70 * (frame.fruit == "z")
table = lambda x, label=None: xgb.DMatrix(x, label=label, enable_categorical=True)
train("frame", {"max_cat_to_onehot": 2}, frame, target, matrix=table, rounds=6)

# 3.2 counts characters where it should count bytes, so that the names in this model are cut within characters.
fruits = ["Äpfel", "林檎", "pomme"]
accents = pd.DataFrame({"fruit": pd.Categorical(np.array(fruits)[species], categories=fruits)})
xgb.train({"max_depth": 1}, table(accents, label=species), 1).save_model(HERE / "accents.json")

booster = xgb.train({"booster": "gblinear", "updater": "coord_descent", "nthread": 1}, xgb.DMatrix(iris, species), 1)
booster.save_model(HERE / "gblinear.json")
booster.save_model(HERE / "gblinear.ubj")
(HERE / "snapshot.pickled").write_bytes(bytes(booster.__getstate__()["handle"]))
