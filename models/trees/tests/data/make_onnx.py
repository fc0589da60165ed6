"""Makes the golden ONNX models of this folder's `onnx`, with the real libraries.

    python -m venv env && env/bin/pip install onnx==1.23.2 onnxruntime==1.32.0 scikit-learn==1.9.1 skl2onnx==1.20.0 \
        onnxmltools==1.16.0 xgboost-cpu==3.2.0 lightgbm==4.7.0 catboost==1.2.10 pandas
    env/bin/python make_onnx.py

Answers are ONNX Runtime's, on one thread (more threads add trees in another order); where it refuses a graph that the
standard allows, those of onnx.reference. `native` is what the library that trained the model answers. Rows are whole in
`golden.json`: null is a missing number.
"""

import catboost
import lightgbm
import numpy
import onnx
import onnxmltools
import pandas
import sklearn
import xgboost
from onnx_golden import FLOAT, FOLDER, finish, refuse, save
from onnxmltools.convert.common.data_types import FloatTensorType as Floats
from skl2onnx import convert_sklearn, to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

# ---------------------------------------------------------------- data

flowers, kinds = load_iris(return_X_y=True)
flowers = flowers.astype(numpy.float32)
tumours, benign = load_breast_cancer(return_X_y=True)
tumours = tumours[:, :6].astype(numpy.float32)
patients, progress = load_diabetes(return_X_y=True)
patients = patients.astype(numpy.float32)
ten_flowers, ten_tumours, ten_patients = flowers[::15], tumours[::57], patients[::44]
holes = ten_patients.copy()
holes[::2, 2] = holes[1::3, 8] = numpy.nan

# ---------------------------------------------------------------- scikit-learn

few = dict(n_estimators=5, max_depth=3, random_state=0)
short = dict(max_iter=5, max_depth=3, random_state=0)
for name, model, options, table, answer in [
    ("skl_gbr", GradientBoostingRegressor(**few).fit(patients, progress), {}, ten_patients, "predict"),
    ("skl_gbc_two", GradientBoostingClassifier(**few).fit(tumours, benign), {}, ten_tumours, "predict_proba"),
    ("skl_gbc_three", GradientBoostingClassifier(**few).fit(flowers, kinds), {"zipmap": False}, ten_flowers, "predict_proba"),
    ("skl_gbc_raw", GradientBoostingClassifier(**few).fit(flowers, kinds), {"zipmap": False, "raw_scores": True}, ten_flowers, None),
    ("skl_hgbr", HistGradientBoostingRegressor(**short).fit(patients, progress), {}, holes, "predict"),
    ("skl_hgbc_two", HistGradientBoostingClassifier(**short).fit(tumours, benign), {}, ten_tumours, "predict_proba"),
    ("skl_hgbc_three", HistGradientBoostingClassifier(**short).fit(flowers, kinds), {}, ten_flowers, "predict_proba"),
    ("skl_rfr", RandomForestRegressor(**few).fit(patients, progress), {}, ten_patients, "predict"),
    ("skl_rfr_targets", RandomForestRegressor(**few).fit(patients, numpy.c_[progress, -progress]), {}, ten_patients, "predict"),
    ("skl_rfc_two", RandomForestClassifier(**few).fit(tumours, benign), {}, ten_tumours, "predict_proba"),
    ("skl_rfc_columns", RandomForestClassifier(**few).fit(tumours, benign), {"zipmap": "columns"}, ten_tumours, "predict_proba"),
    ("skl_rfc_three", RandomForestClassifier(**few).fit(flowers, kinds), {}, ten_flowers, "predict_proba"),
    ("skl_rfc_three_columns", RandomForestClassifier(**few).fit(flowers, kinds), {"zipmap": "columns"}, ten_flowers, "predict_proba"),
    ("skl_etr", ExtraTreesRegressor(**few).fit(patients, progress), {}, ten_patients, "predict"),
    ("skl_dtc", DecisionTreeClassifier(max_depth=3).fit(flowers, numpy.array(["a", "b", "c"])[kinds]), {}, ten_flowers, "predict_proba"),
    ("skl_dtr", DecisionTreeRegressor(max_depth=3).fit(patients, progress), {}, ten_patients, "predict"),
    ("skl_bagging", BaggingRegressor(DecisionTreeRegressor(max_depth=3), n_estimators=3, random_state=0).fit(patients, progress), {}, ten_patients, "predict"),
    ("skl_voting", VotingRegressor([("a", RandomForestRegressor(**few)), ("b", GradientBoostingRegressor(**few))]).fit(patients, progress), {}, ten_patients, "predict"),
    # In float, the scaler puts a row on the other side of a threshold.
    ("skl_scaler", make_pipeline(StandardScaler(), RandomForestRegressor(**few)).fit(patients, progress), {}, ten_patients, None),
    ("skl_minmax", make_pipeline(MinMaxScaler(), RandomForestRegressor(**few)).fit(patients, progress), {}, ten_patients, "predict"),
    ("skl_imputer", make_pipeline(SimpleImputer(), Binarizer(threshold=0.01), RandomForestRegressor(**few)).fit(patients, progress), {}, holes, "predict"),
]:
    answers = getattr(model, answer)(table) if answer else None
    save(name, to_onnx(model, table[:1], options=options and {id(model): options}), table, answers)
for name, model, table in [
    ("skl_rfr_double", RandomForestRegressor(**few).fit(patients, progress), ten_patients.astype(float)),
    ("skl_gbr_double", GradientBoostingRegressor(**few).fit(patients, progress), ten_patients.astype(float)),
]:
    # skl2onnx says that the output is double, which neither the standard nor ONNX Runtime allows.
    converted = to_onnx(model, table[:1])
    converted.graph.output[0].type.tensor_type.elem_type = FLOAT
    save(name, converted, table, model.predict(table))

frame = pandas.DataFrame({
    "size": patients[:, 2], "pressure": patients[:, 3],
    "ward": numpy.array(["u", "v", "w"])[(patients[:, 0] * 100).astype(int) % 3],
    "code": (patients[:, 1] > 0).astype(numpy.int64) * 5 + 2,
})  # fmt: skip
ten_rows = frame.iloc[::44].copy()
ten_rows.iloc[1, 2], ten_rows.iloc[2, 3], ten_rows.iloc[3, 0] = "new", 11, numpy.nan
types = [("size", FloatTensorType([None, 1])), ("pressure", FloatTensorType([None, 1])),
         ("ward", StringTensorType([None, 1])), ("code", Int64TensorType([None, 1]))]  # fmt: skip


def pipeline(model, *encoders):
    numeric = ("n", make_pipeline(SimpleImputer(), StandardScaler()), ["size", "pressure"])
    return make_pipeline(ColumnTransformer([numeric, *encoders]), model)


one_hot = OneHotEncoder(handle_unknown="ignore")
ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
for name, model in [
    ("pipe_one_hot", pipeline(GradientBoostingRegressor(**few), ("o", one_hot, ["ward"]), ("i", one_hot, ["code"])).fit(frame, progress)),
    ("pipe_ordinal", pipeline(GradientBoostingRegressor(**few), ("o", ordinal, ["ward", "code"])).fit(frame, progress)),
]:
    converted = convert_sklearn(model, initial_types=types)
    # ONNX has a default of its own for a category that is new; scikit-learn's converter leaves it at that.
    save(name, converted, ten_rows, model.predict(ten_rows))
known = frame.iloc[::44]
model = pipeline(RandomForestClassifier(**few), ("o", OrdinalEncoder(), ["ward"])).fit(frame, progress > 150)
save("pipe_ordinal_known", convert_sklearn(model, initial_types=types), known, model.predict_proba(known))

# ---------------------------------------------------------------- LightGBM and XGBoost, by onnxmltools

small = dict(n_estimators=4, num_leaves=6, verbose=-1)


def of_lightgbm(model, width, **options):
    return onnxmltools.convert_lightgbm(model, initial_types=[("x", Floats([None, width]))], **options)


for objective in ["regression", "poisson", "gamma", "tweedie", "quantile", "huber", "l1"]:
    model = lightgbm.LGBMRegressor(objective=objective, **small).fit(patients, progress)
    save(f"lgb_{objective}", of_lightgbm(model, 10), holes, model.predict(holes))
for objective, width, table, whole, labels in [
    ("binary", 6, ten_tumours, tumours, benign),
    ("multiclass", 4, ten_flowers, flowers, kinds),
    ("multiclassova", 4, ten_flowers, flowers, kinds),
]:
    model = lightgbm.LGBMClassifier(objective=objective, **small).fit(whole, labels)
    # LightGBM divides one-versus-all probabilities by their sum; onnxmltools does not.
    native = None if objective == "multiclassova" else model.predict_proba(table)
    save(f"lgb_{objective}", of_lightgbm(model, width, zipmap=objective == "binary"), table, native)
codes = numpy.c_[patients[:, 2], (patients[:, 0] * 1000).astype(int) % 7, (patients[:, 5] * 1000).astype(int) % 40]
codes = codes.astype(numpy.float32)
model = lightgbm.LGBMRegressor(**small, min_data_per_group=5, cat_smooth=1).fit(codes, progress, categorical_feature=[1, 2])
ten_codes = codes[::44].copy()
ten_codes[::3, 2] = numpy.nan
ten_codes[1, 1], ten_codes[2, 2] = 2.5, -3
save("lgb_categories", of_lightgbm(model, 3), ten_codes, model.predict(ten_codes))
model = lightgbm.LGBMRegressor(**{**small, "n_estimators": 7}).fit(patients, progress)
save("lgb_split", of_lightgbm(model, 10, split=3), holes, model.predict(holes))
model = lightgbm.LGBMRegressor(boosting_type="rf", bagging_fraction=0.5, bagging_freq=1, **{**small, "n_estimators": 100}).fit(patients, progress)
save("lgb_forest", of_lightgbm(model, 10), holes, model.predict(holes))


def of_xgboost(model, width):
    return onnxmltools.convert_xgboost(model, initial_types=[("x", Floats([None, width]))])


for objective in ["reg:squarederror", "count:poisson", "reg:gamma", "reg:tweedie", "reg:absoluteerror"]:
    model = xgboost.XGBRegressor(objective=objective, n_estimators=4, max_depth=3).fit(patients, progress)
    save("xgb_" + objective.split(":")[1], of_xgboost(model, 10), holes, model.predict(holes))
model = xgboost.XGBRFRegressor(n_estimators=4, max_depth=3).fit(patients, progress)
save("xgb_forest", of_xgboost(model, 10), holes, model.predict(holes))
model = xgboost.XGBClassifier(n_estimators=4, max_depth=3).fit(tumours, benign)
save("xgb_binary", of_xgboost(model, 6), ten_tumours, model.predict_proba(ten_tumours))
model = xgboost.XGBClassifier(n_estimators=4, max_depth=3).fit(flowers, kinds)
save("xgb_multi", of_xgboost(model, 4), ten_flowers, model.predict_proba(ten_flowers))
# What onnxmltools makes of hinge has other answers than XGBoost.
model = xgboost.XGBClassifier(objective="binary:hinge", n_estimators=4, max_depth=3).fit(tumours, benign)
save("xgb_hinge", of_xgboost(model, 6), ten_tumours)

# ---------------------------------------------------------------- CatBoost

quiet = dict(iterations=4, depth=3, verbose=0, allow_writing_files=False)


def of_catboost(model):
    path = FOLDER / "catboost.tmp"
    model.save_model(str(path), format="onnx")
    converted = onnx.load(str(path))
    path.unlink()
    return converted


model = catboost.CatBoostRegressor(**quiet).fit(patients, progress)
save("cb_rmse", of_catboost(model), ten_patients, model.predict(ten_patients))
model = catboost.CatBoostClassifier(**quiet).fit(tumours, benign)
save("cb_binary", of_catboost(model), ten_tumours, model.predict_proba(ten_tumours))
model = catboost.CatBoostClassifier(loss_function="MultiClass", **quiet).fit(flowers, numpy.array(["a", "b", "c"])[kinds])
save("cb_multi", of_catboost(model), ten_flowers, model.predict_proba(ten_flowers))

# ---------------------------------------------------------------- refused, and graphs by hand

forest = to_onnx(IsolationForest(n_estimators=2, max_samples=20, random_state=0).fit(patients), patients[:1], target_opset={"": 15, "ai.onnx.ml": 3})
refuse("refused_isolation_forest", forest, "Cast")

import make_onnx_graphs  # noqa: E402, F401

finish(sklearn, onnxmltools, xgboost, lightgbm, catboost)
