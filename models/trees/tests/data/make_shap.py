"""Golden SHAP values in shap/: what XGBoost, LightGBM and the shap package say about small models of their own.

    pip install xgboost-cpu==3.2.0 lightgbm==4.7.0 scikit-learn==1.9.1 shap==0.51.0
    python make_shap.py

Each file: library versions, the model in its library's own JSON (for scikit-learn, the arrays of its trees), rows (null is
missing), contributions by row, output and column with the expected value last, and interactions of the first rows.
"""

import json
from pathlib import Path

import lightgbm
import numpy
import pandas
import shap
import sklearn
import xgboost
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

OUT = Path(__file__).parent / "shap"
VERSIONS = {m.__name__: m.__version__ for m in (xgboost, lightgbm, sklearn, shap, numpy)}
WITH_INTERACTIONS = 4


def plain(array):
    """As lists whose floats read back to the same bits; NaN as None."""
    if isinstance(array, list):
        return [plain(x) for x in array]
    if isinstance(array, numpy.ndarray):
        return plain(list(array))
    x = float(array)
    return None if numpy.isnan(x) else float(repr(x))


def save(name, model, rows, contributions, interactions=None):
    golden = {"versions": VERSIONS, "rows": plain(rows), "contributions": plain(contributions)}
    golden["interactions"] = [] if interactions is None else plain(interactions)
    golden["model"] = model
    OUT.mkdir(exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


def with_holes(x, part, seed):
    x = numpy.asarray(x, dtype=numpy.float32).copy()
    x[numpy.random.default_rng(seed).random(x.shape) < part] = numpy.nan
    return x


def xgb(name, x, y, rounds, params, types=None):
    kinds = dict(feature_types=types, enable_categorical=True) if types else {}
    matrix = xgboost.DMatrix(x, y, **kinds)
    booster = xgboost.train({"seed": 7, "nthread": 1, **params}, matrix, rounds)
    rows = x[:: max(1, len(x) // 24)][:24]
    asked = xgboost.DMatrix(rows, **kinds)
    few = xgboost.DMatrix(rows[:WITH_INTERACTIONS], **kinds)
    contributions = booster.predict(asked, pred_contribs=True)
    interactions = booster.predict(few, pred_interactions=True)
    if contributions.ndim == 2:
        contributions, interactions = contributions[:, None], interactions[:, None]
    save(name, json.loads(booster.save_raw("json")), rows, contributions, interactions)


def lgb(name, x, y, rounds, params, categorical):
    params = {"seed": 7, "num_threads": 1, "verbose": -1, "deterministic": True, **params}
    booster = lightgbm.train(params, lightgbm.Dataset(x, y, categorical_feature=categorical), rounds)
    rows = x[:: max(1, len(x) // 24)][:24]
    contributions = booster.predict(rows, pred_contrib=True).reshape(len(rows), -1, x.shape[1] + 1)
    model = {k: v for k, v in booster.dump_model().items() if k in ("num_tree_per_iteration", "tree_info")}
    save(name, model, rows, contributions)


def forest(name, model, x, y):
    model.fit(x, y)
    rows = x[:: max(1, len(x) // 24)][:24]
    explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
    values = numpy.asarray(explainer.shap_values(rows, check_additivity=True))
    expected = numpy.atleast_1d(explainer.expected_value)
    values = values.reshape(len(rows), x.shape[1], -1).transpose(0, 2, 1)
    last = numpy.broadcast_to(expected[None, :, None], (len(rows), len(expected), 1))
    interactions = explainer.shap_interaction_values(rows[:WITH_INTERACTIONS])
    columns = x.shape[1]
    interactions = numpy.asarray(interactions).reshape(WITH_INTERACTIONS, columns, columns, -1).transpose(0, 3, 1, 2)
    padded = numpy.zeros((WITH_INTERACTIONS, len(expected), columns + 1, columns + 1))
    padded[:, :, :columns, :columns] = interactions
    padded[:, :, columns, columns] = expected
    trees = [
        {
            "left": t.children_left.tolist(),
            "right": t.children_right.tolist(),
            "feature": t.feature.tolist(),
            "threshold": t.threshold.tolist(),
            "missing_go_to_left": t.missing_go_to_left.tolist(),
            "cover": t.weighted_n_node_samples.tolist(),
            "value": t.value[:, 0, :].tolist(),
        }
        for t in (e.tree_ for e in model.estimators_)
    ]
    save(name, {"trees": trees}, rows, numpy.concatenate([values, last], axis=2), padded)


cancer, diabetes, wine = load_breast_cancer(), load_diabetes(scaled=False), load_wine()
xgb("xgboost_binary_missing", with_holes(cancer.data[:, :10], 0.2, 1), cancer.target, 12,
    {"objective": "binary:logistic", "max_depth": 5, "eta": 0.4})
xgb("xgboost_multiclass", wine.data.astype(numpy.float32), wine.target, 8,
    {"objective": "multi:softprob", "num_class": 3, "max_depth": 3})
# A dozen columns and more on one path: many points of quadrature.
xgb("xgboost_deep", cancer.data.astype(numpy.float32), cancer.data[:, 3] / 1000 + cancer.target, 4,
    {"objective": "reg:squarederror", "max_depth": 16, "eta": 0.6, "lambda": 0, "min_child_weight": 0})

# sex as it is, the quartiles of age and tenths of bp as categories, and holes in everything.
table = pandas.DataFrame(diabetes.data, columns=diabetes.feature_names)
table["sex"] -= 1
table["age"] = pandas.qcut(table["age"], 4, labels=False)
table["bp"] = pandas.qcut(table["bp"], 10, labels=False)
coded = with_holes(table.to_numpy(), 0.08, 2)
names = list(table.columns)
types = ["c" if n in ("age", "sex", "bp") else "q" for n in names]
xgb("xgboost_categories", coded, diabetes.target / 100, 10,
    {"objective": "reg:squarederror", "max_depth": 5, "max_cat_to_onehot": 3}, types)
lgb("lightgbm_categories", coded.astype(numpy.float64), diabetes.target / 100, 10,
    {"objective": "regression", "num_leaves": 15, "min_data_per_group": 5, "cat_smooth": 1, "max_cat_to_onehot": 3},
    [names.index(n) for n in ("age", "sex", "bp")])
lgb("lightgbm_multiclass", with_holes(wine.data, 0.1, 3).astype(numpy.float64), wine.target, 5,
    {"objective": "multiclass", "num_class": 3, "num_leaves": 7}, [])
forest("sklearn_regressor", RandomForestRegressor(4, max_leaf_nodes=120, random_state=7),
       diabetes.data.astype(numpy.float32), diabetes.target)
forest("sklearn_classifier", RandomForestClassifier(6, random_state=7),
       wine.data.astype(numpy.float32), wine.target)
for path in sorted(OUT.iterdir()):
    print(f"{path.stat().st_size:8} {path.name}")
