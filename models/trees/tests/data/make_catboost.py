"""Models of the real CatBoost with its own answers, for `tests/it/catboost.rs`.

    pip install catboost==1.2.10 scikit-learn pandas && python make_catboost.py

Writes `catboost/NAME.json` (the model) and `catboost/NAME.golden`: lines `row`, `raw` (the margins) and `answer` in turn, with
all digits. Answers are those of `predict` of regressors and rankers, and of `predict_proba` of classifiers. Rows sit on
borders, and hold NaN, infinities, zeros and unknown categories (in words: blanks are written as `_`).
"""

import json
import pathlib

import catboost
import numpy as np
import pandas as pd
import sklearn
from catboost import CatBoost, CatBoostClassifier, CatBoostRanker, CatBoostRegressor, Pool
from sklearn import datasets

OUT = pathlib.Path(__file__).parent / "catboost"
OUT.mkdir(exist_ok=True)
COMMON = dict(iterations=6, depth=3, learning_rate=0.3, border_count=24, random_seed=7, thread_count=1, verbose=0, allow_writing_files=False)
RNG = np.random.RandomState(5)


def probe(table, model, columns):
    """Rows of the training table, and rows made to hit corners."""
    borders = model.get_borders()
    corners = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 1e300, -1e300]
    rows = []
    for number in range(40):
        row = table.iloc[RNG.randint(len(table))].copy().astype(object)
        for place, name in enumerate(table.columns):
            chance = RNG.rand()
            if name in columns:
                if number >= 10 and chance < 0.2:
                    row[name] = "unseen"
            elif number >= 10 and chance < 0.4 and borders.get(place):
                # On a border, and beside it by less than an f32 can tell.
                row[name] = float(borders[place][RNG.randint(len(borders[place]))]) * (1 + RNG.choice([0, 1e-12, -1e-12, 1e-6]))
            elif number >= 20 and chance < 0.7:
                row[name] = corners[RNG.randint(len(corners))]
        rows.append(row)
    return pd.DataFrame(rows, columns=table.columns)


def write(name, model, pool, table, columns=(), pooled=True):
    rows = probe(table, model, columns)
    for column in table.columns:
        if column not in columns:
            rows[column] = rows[column].astype(float)
    asked = Pool(rows, cat_features=list(columns))
    raw = CatBoost.predict(model, asked, prediction_type="RawFormulaVal").reshape(len(rows), -1)
    if isinstance(model, CatBoostClassifier):
        answer = model.predict_proba(asked)
        if raw.shape[1] == 1:
            answer = answer[:, 1:]
    else:
        answer = model.predict(asked)
    answer = answer.reshape(len(rows), -1)
    model.save_model(str(OUT / f"{name}.json"), format="json", pool=pool if pooled else None)
    # Without blanks, and without what only the trainer reads or what differs from run to run.
    path = OUT / f"{name}.json"
    content = json.loads(path.read_text())
    for key in ("output_options", "model_guid", "train_finish_time"):
        content["model_info"].pop(key, None)
    if hashes := content["features_info"].get("cat_features_hash"):
        hashes.sort(key=lambda known: known["hash"])
    path.write_text(json.dumps(content, separators=(",", ":")))
    with open(OUT / f"{name}.golden", "w") as out:
        out.write(f"# catboost {catboost.__version__}, scikit-learn {sklearn.__version__}\n")
        for row, *numbers in zip(rows.itertuples(index=False), raw, answer):
            cells = [str(cell).replace(" ", "_") if column in columns else repr(float(cell)) for column, cell in zip(table.columns, row)]
            out.write("row " + " ".join(cells) + "\n")
            for word, values in zip(("raw", "answer"), numbers):
                out.write(word + " " + " ".join(repr(float(value)) for value in values) + "\n")


def train(name, kind, table, target, columns=(), pooled=True, group=None, **params):
    pool = Pool(table, target, cat_features=list(columns), group_id=group)
    write(name, kind(**dict(COMMON, **params)).fit(pool), pool, table, columns, pooled)


def frame(x, names):
    return pd.DataFrame(x, columns=names)


diabetes, target = datasets.load_diabetes(return_X_y=True)
diabetes = frame(diabetes[:, [0, 2, 3, 8, 9]] * 100.0, ["age", "bmi", "bp", "s5", "s6"])
cancer, malign = datasets.load_breast_cancer(return_X_y=True)
cancer = frame(cancer[:, [0, 1, 7, 20]], ["radius", "texture", "concave", "worst"])
iris, kind = datasets.load_iris(return_X_y=True)
iris = frame(iris, ["sl", "sw", "pl", "pw"])
holes = diabetes.mask(RNG.rand(*diabetes.shape) < 0.15)
grouped = diabetes[["age", "bmi"]].assign(
    region=np.array(["North East", "south", "d", "e", "f", "g"])[np.digitize(target, np.arange(75, 275, 40))],
    year=1990 + 10 * np.digitize(target + RNG.normal(0, 60, len(target)), [100, 200]),
)

train("rmse", CatBoostRegressor, diabetes, target)
train("nan-min", CatBoostRegressor, holes, target, nan_mode="Min", iterations=10)
train("nan-max", CatBoostRegressor, holes, target, nan_mode="Max", iterations=10)
train("depthwise", CatBoostRegressor, holes, target, grow_policy="Depthwise", nan_mode="Max")
train("lossguide", CatBoostRegressor, diabetes, target, grow_policy="Lossguide", max_leaves=7)
train("logloss", CatBoostClassifier, cancer, malign)
train("logloss-names", CatBoostClassifier, cancer, np.where(malign == 1, "benign one", "malign"))
train("crossentropy", CatBoostClassifier, diabetes, target / 400.0, loss_function="CrossEntropy")
train("multiclass", CatBoostClassifier, iris, kind + 5, loss_function="MultiClass")
train("multiclass-lossguide", CatBoostClassifier, iris, kind, loss_function="MultiClass", grow_policy="Lossguide", max_leaves=5)
train("onevsall", CatBoostClassifier, iris, np.array(["a", "b", "c"])[kind], loss_function="MultiClassOneVsAll")
train("onehot", CatBoostRegressor, grouped, target, ["region", "year"], one_hot_max_size=20, depth=4)
train("onehot-depthwise", CatBoostRegressor, grouped, target, ["region", "year"], one_hot_max_size=20, grow_policy="Depthwise")
train("onehot-unnamed", CatBoostRegressor, grouped, target, ["region"], one_hot_max_size=20, pooled=False, iterations=2)
train("ctr", CatBoostRegressor, grouped, target, ["region"], one_hot_max_size=2, iterations=2, depth=2)
for loss in ("Poisson", "Tweedie:variance_power=1.5", "MAE", "Quantile:alpha=0.3", "MultiQuantile:alpha=0.2,0.5,0.9", "RMSEWithUncertainty"):
    train(loss.split(":")[0].lower(), CatBoostRegressor, diabetes, target, loss_function=loss, iterations=3)
train("multirmse", CatBoostRegressor, diabetes, np.column_stack([target, -target / 2 + diabetes["age"]]), loss_function="MultiRMSE")
train("multilogloss", CatBoostClassifier, diabetes, np.column_stack([target > 100, target > 200, diabetes["age"] > 0]).astype(int), loss_function="MultiLogloss")
train("yetirank", CatBoostRanker, diabetes, np.digitize(target, [80, 130, 180, 250]), group=np.repeat(np.arange(26), 17), loss_function="YetiRank", iterations=3)
train("deep", CatBoostRegressor, diabetes, target, depth=9, iterations=1)
train("constant", CatBoostRegressor, diabetes, np.full(len(target), 2.5), iterations=2, allow_const_label=True, bootstrap_type="No")
train("unnamed-columns", CatBoostRegressor, frame(diabetes.values, range(5)), target, iterations=2, pooled=False)
