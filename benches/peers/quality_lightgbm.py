"""LightGBM with the settings that were tuned for the published figures (Gorishniy et al., "TabR", 2023: folders
TabR/{table}/lightgbm_/2-evaluation of its report), on one split: one-hot categories, a standardised target, early stopping
after 200 trees on the rows whose column `part` says `valid`. Bagging is drawn anew for every tree, as its share has no effect
otherwise. Prints JSON: the score on the test rows, seconds, trees.

Usage: python quality_lightgbm.py TRAINING.csv TEST.csv TARGET regression|binary TABLE SEED
"""

import json
import sys
import time

import lightgbm
import numpy
import pandas

TUNED = {
    "california": dict(
        feature_fraction=0.6640957505217641, lambda_l2=0.6855691126093517, learning_rate=0.012145157889057508,
        num_leaves=107, min_sum_hessian_in_leaf=6.759205256523011, bagging_fraction=0.5712986090533039),
    "adult": dict(
        feature_fraction=0.5613496957085831, lambda_l2=0.7103774263397404, learning_rate=0.039719388315578405,
        num_leaves=137, min_sum_hessian_in_leaf=0.025194247878729835, bagging_fraction=0.6963195371808301),
}

training, test, target, task, table, seed = sys.argv[1:]
rows, unseen = pandas.read_csv(training), pandas.read_csv(test)
parts = rows.pop("part")
labels, truth = rows.pop(target), unseen.pop(target)
both = pandas.get_dummies(pandas.concat([rows, unseen]), dummy_na=False, dtype=float)
rows, unseen = both.iloc[: len(rows)].to_numpy(), both.iloc[len(rows):].to_numpy()
if task == "regression":
    labels = labels.to_numpy()
    mean, deviation = labels[parts == "train"].mean(), labels[parts == "train"].std()
    labels = (labels - mean) / deviation
else:
    names = sorted(labels.unique())
    labels = (labels == names[1]).to_numpy().astype(float)
settings = dict(
    TUNED[table], objective=task, metric="rmse" if task == "regression" else "binary_logloss", bagging_freq=1,
    num_threads=2, verbose=-1, seed=int(seed))
started = time.time()
learned = lightgbm.Dataset(rows[parts == "train"], labels[parts == "train"])
held = lightgbm.Dataset(rows[parts == "valid"], labels[parts == "valid"], reference=learned)
model = lightgbm.train(
    settings, learned, 4000, valid_sets=[held], callbacks=[lightgbm.early_stopping(200, verbose=False)])
seconds = time.time() - started
answers = model.predict(unseen, num_iteration=model.best_iteration)
if task == "regression":
    score = float(numpy.sqrt(numpy.mean((answers * deviation + mean - truth.to_numpy()) ** 2)))
else:
    score = float(numpy.mean((answers > 0.5) == (truth.to_numpy() == names[1])))
print(json.dumps(dict(score=score, seconds=seconds, trees=model.best_iteration)))
