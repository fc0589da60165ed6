"""Makes the golden checkpoints of treelite under treelite/, with what scikit-learn and treelite's GTIL answer.

    pip install treelite==4.8.1 scikit-learn==1.9.1 xgboost-cpu==3.2.0 lightgbm==4.7.0
    python make_treelite.py

Each NAME.tl has a NAME.json: the rows (null for what is missing), GTIL's answers and margins, and
the answers of the library that trained the model. Rows of forests, gradient boosting and isolation forests are f32 numbers,
because scikit-learn rounds theirs to f32 and GTIL does not.
"""

import json
import os
import platform

import lightgbm
import numpy as np
import sklearn
import treelite
import xgboost
from sklearn import datasets
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from treelite.model_builder import (
    Metadata,
    ModelBuilder,
    PostProcessorFunc,
    TreeAnnotation,
)

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "treelite")
ROWS = 60


def numbers(array):
    """Rows of numbers that read back as they are; null for NaN."""
    return [[None if np.isnan(x) else float(x) for x in np.ravel(row)] for row in np.asarray(array, dtype=np.float64)]


def flat(model, answers):
    """(row, target, class) without the padding of targets that have fewer classes."""
    classes = model.get_header_accessor().get_field("num_class")
    return np.concatenate([answers[:, t, :c] for t, c in enumerate(classes)], axis=1)


def save(name, model, rows, trainer_answers=None, note=""):
    model.serialize(os.path.join(OUT, name + ".tl"))
    assert treelite.Model.deserialize(os.path.join(OUT, name + ".tl")).num_tree == model.num_tree
    answers = treelite.gtil.predict(model, rows, nthread=1)
    margins = treelite.gtil.predict(model, rows, nthread=1, pred_margin=True)
    golden = {
        "made_with": f"treelite {treelite.__version__}, scikit-learn {sklearn.__version__}, numpy {np.__version__}, "
        f"XGBoost {xgboost.__version__}, LightGBM {lightgbm.__version__}, Python {platform.python_version()}",
        "note": note,
        "rows": numbers(rows),
        "gtil": numbers(flat(model, answers)),
        "gtil_margins": numbers(flat(model, margins)),
    }
    if trainer_answers is not None:
        golden["trainer"] = numbers(trainer_answers)
        difference = np.abs(np.asarray(golden["trainer"]) - np.asarray(golden["gtil"])).max()
        print(f"{name}: its library and GTIL differ by {difference:.3g}")
    with open(os.path.join(OUT, name + ".json"), "w") as file:
        lines = [f'"{name}": {json.dumps(value)}' for name, value in golden.items()]
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


def f32(table):
    return np.asarray(table, dtype=np.float32).astype(np.float64)


def holes(table, seed):
    """The table with a tenth of its numbers missing."""
    table = table.copy()
    table[np.random.default_rng(seed).random(table.shape) < 0.1] = np.nan
    return table


def forests():
    iris, iris_class = datasets.load_iris(return_X_y=True)
    wine, wine_class = datasets.load_wine(return_X_y=True)
    cancer, cancer_class = datasets.load_breast_cancer(return_X_y=True)
    diabetes, progress = datasets.load_diabetes(return_X_y=True)
    iris, wine, cancer, diabetes = map(f32, (iris, wine, cancer, diabetes))
    several = np.stack([progress, np.sqrt(progress), -progress], axis=1)
    labels = np.stack([wine_class, (wine_class > 0).astype(int)], axis=1)
    for name, model, table, target in [
        ("rf_reg", RandomForestRegressor(8, max_depth=5, random_state=1), diabetes, progress),
        ("rf_reg_missing", RandomForestRegressor(6, max_depth=5, random_state=2), holes(diabetes, 1), progress),
        ("rf_reg_multi", RandomForestRegressor(5, max_depth=4, random_state=3), diabetes, several),
        ("rf_clf", RandomForestClassifier(7, max_depth=4, random_state=4), iris, iris_class),
        ("rf_clf_binary", RandomForestClassifier(9, max_depth=4, random_state=5), cancer, cancer_class),
        ("et_reg", ExtraTreesRegressor(6, max_depth=5, random_state=7), diabetes, progress),
        ("et_clf", ExtraTreesClassifier(6, max_depth=5, random_state=8), wine, wine_class),
        ("gb_reg", GradientBoostingRegressor(n_estimators=10, max_depth=3, random_state=9), diabetes, progress),
        ("gb_clf", GradientBoostingClassifier(n_estimators=10, max_depth=3, random_state=10), cancer, cancer_class),
        ("gb_clf_multi", GradientBoostingClassifier(n_estimators=3, max_depth=3, random_state=11), wine, wine_class),
    ]:
        model.fit(table, target)
        rows = table[:: max(1, len(table) // ROWS)][:ROWS]
        answer = model.predict_proba if hasattr(model, "predict_proba") else model.predict
        answers = np.reshape(answer(rows), (len(rows), -1))
        # Boosting of two classes has one margin, and one probability.
        save(name, treelite.sklearn.import_model(model), rows, answers[:, 1:] if name == "gb_clf" else answers)

    # Two targets of three and of two classes: GTIL pads the second with a zero.
    model = RandomForestClassifier(5, max_depth=4, random_state=6).fit(wine, labels)
    rows = wine[::3][:ROWS]
    answers = np.concatenate(model.predict_proba(rows), axis=1)
    save("rf_clf_multi", treelite.sklearn.import_model(model), rows, answers)

    model = IsolationForest(n_estimators=8, max_samples=64, max_features=0.7, random_state=12).fit(diabetes)
    rows = diabetes[::7][:ROWS]
    save(
        "iforest",
        treelite.sklearn.import_model(model),
        rows,
        -model.score_samples(rows).reshape(-1, 1),
        "score_samples, turned around as treelite does; treelite holds the ratio as f32",
    )


def histograms():
    rng = np.random.default_rng(13)
    diabetes, progress = datasets.load_diabetes(return_X_y=True)
    wine, wine_class = datasets.load_wine(return_X_y=True)
    # A category that matters, with codes that are not consecutive, and one of few values.
    zone = (np.argsort(np.argsort(progress)) * 12 // len(progress) * 7 + rng.integers(0, 2, len(progress))).astype(float)
    sex = (diabetes[:, 1] > 0).astype(float)
    table = np.column_stack([zone, diabetes[:, [2, 3, 8]], sex])
    table = np.concatenate([holes(table[:, :4], 2), table[:, 4:]], axis=1)
    strange = table[:10].copy()
    # Codes that no tree knows, fractions, and what is below zero.
    strange[:, 0] = [1000, -1, 3, 77, 12.7, 7.0, np.nan, 1e9, 78, 6]
    categorical = [0, 4]
    for name, loss in [("hgb_reg", "squared_error"), ("hgb_reg_poisson", "poisson")]:
        model = HistGradientBoostingRegressor(
            loss=loss, max_iter=8, max_depth=4, min_samples_leaf=5, categorical_features=categorical, random_state=14
        ).fit(table, progress)
        rows = table[::8][:ROWS]
        save(name, treelite.sklearn.import_model(model), rows, model.predict(rows).reshape(-1, 1))
    save("hgb_reg_strange", treelite.sklearn.import_model(model), strange, note="codes that no tree knows; GTIL alone")
    wine = holes(wine, 3)
    wine = np.column_stack([wine, (wine_class * 3 + rng.integers(0, 4, len(wine))).astype(float)])
    for name, target in [("hgb_clf", (wine_class > 0).astype(int)), ("hgb_clf_multi", wine_class)]:
        model = HistGradientBoostingClassifier(
            max_iter=4, max_depth=3, min_samples_leaf=5, categorical_features=[13], random_state=15
        ).fit(wine, target)
        rows = wine[::3][:ROWS]
        answers = model.predict_proba(rows)
        save(name, treelite.sklearn.import_model(model), rows, answers[:, 1:] if name == "hgb_clf" else answers)


def boosters():
    """Models of XGBoost and LightGBM, with missing values and categories."""
    rng = np.random.default_rng(16)
    wine, wine_class = datasets.load_wine(return_X_y=True)
    wine = holes(f32(wine), 4)
    wine = np.column_stack([wine, (wine_class * 3 + rng.integers(0, 4, len(wine))).astype(float)])
    rows = wine[::3][:ROWS]
    types = ["q"] * 13 + ["c"]
    for name, objective, target in [
        ("xgb_softprob", "multi:softprob", wine_class),
        ("xgb_logistic", "binary:logistic", wine_class > 0),
        ("xgb_poisson", "count:poisson", wine_class + 1),
        ("xgb_hinge", "binary:hinge", wine_class > 0),
    ]:
        options = {"objective": objective, "max_depth": 3, "eta": 0.5, "seed": 1, "max_cat_to_onehot": 2, "nthread": 1}
        if objective == "multi:softprob":
            options["num_class"] = 3
        matrix = xgboost.DMatrix(wine, label=target, feature_types=types)
        booster = xgboost.train(options, matrix, 4)
        answers = booster.predict(xgboost.DMatrix(rows, feature_types=types)).reshape(len(rows), -1)
        save(name, treelite.frontend.from_xgboost(booster), rows, answers, "XGBoost 3.2.0; f32")
    several = np.stack([wine_class, -wine_class * 2.0], axis=1)
    options = {"max_depth": 2, "multi_strategy": "multi_output_tree", "tree_method": "hist", "seed": 1, "nthread": 1}
    numeric = wine[:, :13]
    booster = xgboost.train(options, xgboost.DMatrix(numeric, label=several), 4)
    answers = booster.predict(xgboost.DMatrix(numeric[::3][:ROWS]))
    save("xgb_targets", treelite.frontend.from_xgboost(booster), numeric[::3][:ROWS], answers, "XGBoost 3.2.0; f32")
    for name, objective, target in [
        ("lgb_ova", "multiclassova", wine_class),
        ("lgb_multiclass", "multiclass", wine_class),
        ("lgb_binary", "binary", wine_class > 0),
        ("lgb_tweedie", "tweedie", wine_class + 0.5),
        ("lgb_entropy", "cross_entropy_lambda", wine_class / 2),
        ("lgb_sqrt", "regression", wine_class - 1.0),
        ("lgb_forest", "regression", wine_class),
    ]:
        options = {"objective": objective, "num_leaves": 6, "min_data_in_leaf": 5, "min_data_per_group": 5, "cat_smooth": 1}
        options |= {"verbose": -1, "seed": 1, "num_threads": 1, "sigmoid": 2.0}
        if objective.startswith("multiclass"):
            options["num_class"] = 3
        if name == "lgb_sqrt":
            options["reg_sqrt"] = True
        if name == "lgb_forest":
            options |= {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}
        booster = lightgbm.train(options, lightgbm.Dataset(wine, target, categorical_feature=[13]), 4)
        answers = booster.predict(rows).reshape(len(rows), -1)
        model = treelite.frontend.from_lightgbm(booster)
        save(name, model, rows, answers, "LightGBM 4.7.0")


def built(
    name,
    threshold_type,
    postprocessor,
    *,
    task="kRegressor",
    classes=(1,),
    shape=(1, 1),
    ids=((0, 0), (0, 0), (0, 0)),
    average=False,
):
    """A model of treelite's builder, for what scikit-learn does not give: operators, lists to the right, ids, postprocessors."""
    rng = np.random.default_rng(len(name))
    targets = len(classes)
    builder = ModelBuilder(
        threshold_type=threshold_type,
        leaf_output_type=threshold_type,
        metadata=Metadata(3, task, average, targets, list(classes), shape),
        tree_annotation=TreeAnnotation(len(ids), [t for t, _ in ids], [c for _, c in ids]),
        postprocessor=postprocessor,
        base_scores=list(np.round(rng.normal(size=targets * max(classes)), 3)),
    )
    numbers = shape[0] * shape[1]

    def leaf(key):
        builder.start_node(key)
        values = rng.normal(size=numbers).astype(threshold_type)
        builder.leaf(values.tolist() if numbers > 1 else float(values[0]))
        builder.end_node()

    for tree, operator in zip(range(len(ids)), ["<", ">=", "==", "<=", ">"] * len(ids)):
        builder.start_tree()
        builder.start_node(0)
        threshold = 1.0 if operator == "==" else 0.3
        builder.numerical_test(
            0, threshold, default_left=tree % 2 == 0, opname=operator, left_child_key=1, right_child_key=2
        )
        builder.end_node()
        builder.start_node(1)
        builder.categorical_test(
            1,
            default_left=tree % 2 == 1,
            category_list=[0, 2, 40],
            category_list_right_child=tree % 2 == 0,
            left_child_key=3,
            right_child_key=4,
        )
        builder.end_node()
        builder.start_node(2)
        operator = [">", "<=", ">="][tree % 3]
        threshold = -0.1 + 0.1 * tree
        builder.numerical_test(
            2, threshold, default_left=tree % 3 == 0, opname=operator, left_child_key=5, right_child_key=6
        )
        builder.end_node()
        for key in range(3, 7):
            leaf(key)
        builder.end_tree()
    model = builder.commit()
    # On the thresholds and beside them, by less than an f32 can tell; codes, and what is none.
    columns = [
        [-1.0, 0.3, np.float32(0.3), 1.0, 2.0, np.nan, np.nextafter(0.3, 1)],
        [0.0, 1.0, 2.0, 2.5, 40.0, 41.0, -1.0, -0.5, 2.0**24, 1e30, np.nan],
        [-0.1, 0.0, 0.1, 0.5, -0.5, np.nan, np.float32(0.1)],
    ]
    rows = np.column_stack([rng.choice(column, ROWS) for column in columns])
    save(name, model, rows)


def builder():
    for name in ["identity", "signed_square", "hinge", "exponential", "logarithm_one_plus_exp"]:
        for kind in ["float32", "float64"]:
            built(f"built_{name}_{kind}", kind, PostProcessorFunc(name))
    built("built_sigmoid", "float32", PostProcessorFunc("sigmoid", sigmoid_alpha=0.7), task="kBinaryClf")
    ratio = PostProcessorFunc("exponential_standard_ratio", ratio_c=2.5)
    built("built_ratio", "float64", ratio, task="kIsolationForest", average=True)
    built("built_rank", "float32", PostProcessorFunc("identity"), task="kLearningToRank")
    per_class = {"task": "kMultiClf", "classes": (3,), "ids": ((0, 0), (0, 1), (0, 2), (0, 0), (0, 1))}
    built("built_softmax", "float32", PostProcessorFunc("softmax"), **per_class | {"ids": per_class["ids"] + ((0, 2),)})
    built("built_ova", "float64", PostProcessorFunc("multiclass_ova", sigmoid_alpha=2.0), average=True, **per_class)
    whole = {"task": "kMultiClf", "classes": (3,), "shape": (1, 3), "ids": ((0, -1),) * 4}
    built("built_vector", "float32", PostProcessorFunc("identity_multiclass"), average=True, **whole)
    several = {"classes": (1, 1), "shape": (2, 1), "ids": ((-1, 0),) * 3}
    built("built_targets", "float32", PostProcessorFunc("sigmoid", sigmoid_alpha=1.0), task="kBinaryClf", **several)
    # Each tree for all classes of one target, or for one class of all targets, or for one of each.
    grid = {"task": "kMultiClf", "classes": (3, 2), "average": True}
    identity = PostProcessorFunc("identity_multiclass")
    built("built_one_target", "float64", identity, shape=(1, 3), ids=((0, -1), (1, -1), (0, -1)), **grid)
    ids = ((-1, 0), (-1, 1), (-1, 1))
    built("built_one_class", "float64", identity, shape=(2, 1), ids=ids, task="kMultiClf", classes=(2, 2), average=True)
    ids = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 1))
    built("built_grid", "float64", identity, ids=ids, **grid)


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    forests()
    histograms()
    boosters()
    builder()
