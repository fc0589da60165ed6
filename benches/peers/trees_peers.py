"""Makes tree models and times the engines that people answer them with.

Usage: python trees_peers.py FOLDER. Reads one JSON request a line from standard input and answers each with one line of JSON:
  {"model": {"name": "a", "trees": 500, "leaves": 31, "depth": -1, "features": 28, "rows": 60000}}
      -> {"model": "a", "seconds": …}: trains it with LightGBM on a seeded function (num_leaves, max_depth; where depth is bounded,
         min_data_in_leaf 5, so that trees are full, and 32 columns a tree), and writes FOLDER/a.lgb.txt, FOLDER/a.rows.npy (float32, C order) and
         FOLDER/a.lgb.npy, the answers; where it is not, XGBoost is trained on the same function too (max_depth 6)
  {"prepare": "lleaves", "model": "a"}
      -> {"seconds": …}: what the engine makes of the model is kept beside it, so that timing it later waits for nothing
  {"time": "lightgbm", "model": "a", "batch": 16, "threads": 1, "seconds": 0.2}
      -> {"seconds": median seconds of a call, each of other rows, "overhead": median seconds of a call of the same kind on a model of one split}
Engines: lightgbm, xgboost, lleaves, onnxruntime. All answer the LightGBM model: lleaves and ONNX Runtime compile and convert it,
and XGBoost loads FOLDER/a.xgb.json, which whoever asks has carried over (its answers are compared with LightGBM's).
"xgboost_trained" answers XGBoost's own model. Where two threads are allowed, each engine is timed with one and with two, and the
faster counts; XGBoost always. An engine that cannot say something answers {"error": …}. lleaves, XGBoost and LightGBM's single rows
are called by a loop of C (cc is needed) through their C functions, without overhead, lleaves' two threads being ours: one waits in a
loop for the other, which costs less than lleaves' own pool. What Python and ctypes add to all other calls is in the overhead, which
whoever compares may take away.
"""
import ctypes
import itertools
import json
import os
import subprocess
import sys
import time

import lightgbm
import numpy as np
import xgboost

# More leaves than these take lleaves and onnxmltools minutes to prepare.
COMPILED, CONVERTED = 150_000, 600_000

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
models = {}


def table(features, rows):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((rows, features)).astype("f4")
    w = rng.standard_normal(features)
    y = np.tanh(x @ w / 3) + np.sin(3 * x[:, 0]) * x[:, 1] + 0.3 * rng.standard_normal(rows)
    return x, y


def make(name, trees, leaves, depth, features, rows):
    x, y = table(features, rows)
    text, rows_file = f"{folder}/{name}.lgb.txt", f"{folder}/{name}.rows.npy"
    if not os.path.exists(rows_file):
        settings = dict(seed=7, objective="regression", num_leaves=leaves, max_depth=depth, learning_rate=0.05, verbose=-1, num_threads=2)
        if depth > 0:
            settings["min_data_in_leaf"] = 5
            # Each tree of a wide table looks at 32 of its columns, so that the largest models take minutes and not half an hour.
            settings["feature_fraction"] = min(1.0, 32 / features)
        booster = lightgbm.train(settings, lightgbm.Dataset(x, y), trees)
        booster.save_model(text)
        np.save(f"{folder}/{name}.lgb.npy", booster.predict(x))
        if depth <= 0:
            other = xgboost.train(dict(max_depth=6, eta=0.05, nthread=2), xgboost.DMatrix(x, y), trees)
            other.save_model(f"{folder}/{name}.trained.json")
        np.save(rows_file, x)
    models[name] = dict(text=text, xgb=f"{folder}/{name}.xgb.json", trained=f"{folder}/{name}.trained.json", answers=f"{folder}/{name}.lgb.npy", x=x, features=features,
                        kept=f"{folder}/{name}", leaves=trees * leaves, engines={})


# Calls in a loop of C, each of the next rows, so that neither Python nor ctypes is in the time.
LOOPS = """
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + 1e-9 * t.tv_nsec; }
double lleaves(void (*call)(const double *, double *, int, int), const double *rows, long values, double *out, int batch,
               long parts, long calls, long *part) {
  double start = now();
  for (long i = 0; i < calls; i++) { call(rows + *part * values, out, 0, batch); *part = (*part + 1) % parts; }
  return (now() - start) / calls;
}
typedef void (*forest)(const double *, double *, int, int);
struct half { forest call; const double *rows; long values; double *out; int from, to; long parts, calls, part; atomic_long ready, asked, done; };
static void *second(void *shared) {
  struct half *half = shared;
  atomic_store(&half->ready, 1);
  for (long i = 0, part = half->part; i < half->calls; i++, part = (part + 1) % half->parts) {
    while (atomic_load(&half->asked) <= i) __builtin_ia32_pause();
    half->call(half->rows + part * half->values, half->out, half->from, half->to);
    atomic_store(&half->done, i + 1);
  }
  return 0;
}
double lleaves_two(forest call, const double *rows, long values, double *out, int batch, long parts, long calls, long *part) {
  struct half half = {call, rows, values, out, batch / 2, batch, parts, calls, *part};
  pthread_t thread;
  if (pthread_create(&thread, 0, second, &half)) return -1;
  while (!atomic_load(&half.ready)) __builtin_ia32_pause();
  double start = now();
  for (long i = 0; i < calls; i++) {
    atomic_store(&half.asked, i + 1);
    call(rows + *part * values, out, 0, batch / 2);
    while (atomic_load(&half.done) <= i) __builtin_ia32_pause();
    *part = (*part + 1) % parts;
  }
  double took = (now() - start) / calls;
  pthread_join(thread, 0);
  return took;
}
double xgboost(int (*call)(void *, const char *, const char *, void *, const unsigned long **, unsigned long *, const float **),
               void *booster, const char **rows, const char *config, long parts, long calls, long *part) {
  const unsigned long *shape;
  unsigned long width;
  const float *out;
  double start = now();
  for (long i = 0; i < calls; i++) {
    if (call(booster, rows[*part], config, 0, &shape, &width, &out)) return -1;
    *part = (*part + 1) % parts;
  }
  return (now() - start) / calls;
}
double lightgbm(int (*call)(void *, const void *, long *, double *), void *fast, const float *rows, long values, double *out,
                long parts, long calls, long *part) {
  double start = now();
  long length;
  for (long i = 0; i < calls; i++) { call(fast, rows + *part * values, &length, out); *part = (*part + 1) % parts; }
  return (now() - start) / calls;
}
"""
TOGETHER = 32


def together(batch):
    """Calls in a loop of C: fewer where one takes long."""
    return max(1, min(TOGETHER, 4096 // batch))


def compiled_loops():
    source, library = f"{folder}/loops.c", f"{folder}/loops.so"
    with open(source, "w") as file:
        file.write(LOOPS)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-pthread", "-o", library, source], check=True)
    library = ctypes.CDLL(library)
    for function in (library.lleaves, library.lleaves_two, library.xgboost, library.lightgbm):
        function.restype = ctypes.c_double
    return library


loops = compiled_loops()


class Lightgbm:
    """The C interface, with the fast path for single rows."""

    def __init__(self, model):
        self.booster = lightgbm.Booster(model_file=model["text"])
        self.lib = lightgbm.basic._LIB
        self.fast = ctypes.c_void_p()
        self.lib.LGBM_BoosterPredictForMatSingleRowFastInit(
            self.booster._handle, 0, 0, -1, 0, model["features"], b"num_threads=1", ctypes.byref(self.fast))
        self.length = ctypes.c_int64()

    def call(self, rows, threads):
        out = np.empty(len(rows))
        data, result = rows.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
        if len(rows) == 1:
            call, handle, length = self.lib.LGBM_BoosterPredictForMatSingleRowFast, self.fast, ctypes.byref(self.length)
            return lambda: call(handle, data, ctypes.byref(self.length), result)
        call, handle = self.lib.LGBM_BoosterPredictForMat, self.booster._handle
        settings = f"num_threads={threads}".encode()
        count, width = ctypes.c_int32(len(rows)), ctypes.c_int32(rows.shape[1])
        return lambda: call(handle, data, 0, count, width, 1, 0, 0, -1, settings, ctypes.byref(self.length), result)


    def loop(self, rows, batch, parts, threads):
        """Seconds a call of the next bunch; none where the calls of `call` are what there is."""
        if batch > 1:
            return None
        rows, out, part = np.ascontiguousarray(rows), np.empty(1), ctypes.c_long(0)
        call = ctypes.cast(self.lib.LGBM_BoosterPredictForMatSingleRowFast, ctypes.c_void_p)
        return lambda: loops.lightgbm(
            call, self.fast, ctypes.c_void_p(rows.ctypes.data), ctypes.c_long(rows.shape[1]), ctypes.c_void_p(out.ctypes.data),
            ctypes.c_long(parts), ctypes.c_long(TOGETHER), ctypes.byref(part))


class Xgboost:
    def __init__(self, model):
        self.booster = xgboost.Booster(model_file=model["xgb"])
        expected = np.load(model["answers"])[:1000]
        # It adds in f32.
        np.testing.assert_allclose(self.booster.inplace_predict(model["x"][:1000]), expected, rtol=1e-3, atol=1e-3)

    def call(self, rows, threads):
        self.booster.set_param({"nthread": threads})
        return lambda: self.booster.inplace_predict(rows)

    def loop(self, rows, batch, parts, threads):
        self.booster.set_param({"nthread": threads})
        # As inplace_predict asks: https://xgboost.readthedocs.io/en/stable/c.html (XGBoosterPredictFromDense).
        config = json.dumps(dict(type=0, training=False, iteration_begin=0, iteration_end=0, missing=float("nan"), strict_shape=False, cache_id=0)).encode()
        rows = np.ascontiguousarray(rows)
        interface = dict(shape=[batch, rows.shape[1]], typestr="<f4", version=3)
        at = [rows.ctypes.data + part * batch * rows.shape[1] * 4 for part in range(parts)]
        texts = (ctypes.c_char_p * parts)(*(json.dumps(dict(interface, data=[place, True])).encode() for place in at))
        call, part = ctypes.cast(xgboost.core._LIB.XGBoosterPredictFromDense, ctypes.c_void_p), ctypes.c_long(0)

        def run(rows=rows):
            took = loops.xgboost(
                call, self.booster.handle, texts, config, ctypes.c_long(parts), ctypes.c_long(together(batch)), ctypes.byref(part))
            if took < 0:
                raise ValueError(xgboost.core._LIB.XGBGetLastError().decode())
            return took

        return run


class XgboostTrained(Xgboost):
    def __init__(self, model):
        self.booster = xgboost.Booster(model_file=model["trained"])


class Lleaves:
    def __init__(self, model):
        import lleaves

        if model["leaves"] > COMPILED:
            raise ValueError(f"not compiled: expected at most {COMPILED} leaves (about two minutes), got {model['leaves']}")
        self.model = lleaves.Model(model_file=model["text"])
        self.model.compile(cache=model["kept"] + ".lleaves.o")

    def call(self, rows, threads):
        rows = rows.astype("f8")
        out = np.empty(len(rows))
        function, count = self.model._c_entry_func, len(rows)
        data = rows.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
        result = out.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
        return lambda: function(data, result, 0, count)


    def loop(self, rows, batch, parts, threads):
        rows, out, part = np.ascontiguousarray(rows, dtype="f8"), np.empty(batch), ctypes.c_long(0)
        call = ctypes.cast(self.model._c_entry_func, ctypes.c_void_p)
        function = loops.lleaves_two if threads > 1 else loops.lleaves
        return lambda: function(
            call, ctypes.c_void_p(rows.ctypes.data), ctypes.c_long(batch * rows.shape[1]), ctypes.c_void_p(out.ctypes.data),
            ctypes.c_int(batch), ctypes.c_long(parts), ctypes.c_long(together(batch)), ctypes.byref(part))


class Onnxruntime:
    def __init__(self, model):
        import onnxmltools
        import onnxruntime

        if model["leaves"] > CONVERTED:
            raise ValueError(f"not converted: expected at most {CONVERTED} leaves (about two minutes), got {model['leaves']}")
        from onnxmltools.convert.common.data_types import FloatTensorType

        file = model["kept"] + ".onnx"
        if not os.path.exists(file):
            booster = lightgbm.Booster(model_file=model["text"])
            kinds = [("x", FloatTensorType([None, model["features"]]))]
            converted = onnxmltools.convert_lightgbm(booster, initial_types=kinds).SerializeToString()
            with open(file + ".part", "wb") as out:
                out.write(converted)
            os.rename(file + ".part", file)
        self.sessions = {}
        for threads in (1, 2):
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            self.sessions[threads] = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def call(self, rows, threads):
        session = self.sessions[threads]
        return lambda: session.run(None, {"x": rows})


ENGINES = dict(lightgbm=Lightgbm, xgboost=Xgboost, xgboost_trained=XgboostTrained, lleaves=Lleaves, onnxruntime=Onnxruntime)


def engine(name, model):
    engines = models[model]["engines"]
    if name not in engines:
        engines[name] = ENGINES[name](models[model])
    return engines[name]


# Calls go over this many parts of the table, if it has as many, and begin again: with the same rows in every call, branches would be
# foreseen that no server's rows let a processor foresee.
PARTS = 2000


def calls(name, model, batch, threads):
    x = models[model]["x"]
    if batch > len(x):
        return [engine(name, model).call(np.ascontiguousarray(np.resize(x, (batch, x.shape[1]))), threads)]
    starts = range(0, len(x) - batch + 1, batch)[:PARTS]
    return [engine(name, model).call(np.ascontiguousarray(x[start : start + batch]), threads) for start in starts]


def seconds(calls, limit):
    calls = itertools.cycle(calls)
    next(calls)()
    times, end = [], time.perf_counter() + limit
    # Of calls that take seconds, one is enough.
    while time.perf_counter() < end or len(times) < 3 and sum(times) < 1:
        call = next(calls)
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def looped(name, model, batch, threads, limit):
    """Median seconds of a call in a loop of C; none where an engine has none."""
    loop = getattr(engine(name, model), "loop", None)
    x = models[model]["x"]
    # A batch may be larger than the table: then its rows come again.
    x = np.resize(x, (max(len(x), batch), x.shape[1]))
    parts = min(len(x) // batch, PARTS)
    loop = loop and loop(x[: parts * batch], batch, parts, threads)
    if not loop:
        return None
    loop()
    times, end = [], time.perf_counter() + limit
    while time.perf_counter() < end or len(times) < 3 and sum(times) < 1:
        times.append(loop())
    return float(np.median(times))


def overhead(name, features, limit):
    """A call on a model of one split, one row, one thread: what is not the trees."""
    small = f"one_split_{features}"
    if small not in models:
        make(small, 1, 2, -1, features, 2000)
        model = models[small]
        stump = xgboost.train(dict(max_depth=1, base_score=0.5), xgboost.DMatrix(model["x"], np.load(model["answers"])), 1)
        stump.save_model(model["xgb"])
        np.save(model["answers"], stump.inplace_predict(model["x"]))
    return seconds(calls(name, small, 1, 1), limit)


def answer(request):
    if "time" in request:
        name, model, batch, threads = (request[key] for key in ("time", "model", "batch", "threads"))
        ways = (1, 2) if threads > 1 or name.startswith("xgboost") else (1,)
        limit = request["seconds"] / len(ways)
        took = [looped(name, model, batch, way, limit) for way in ways]
        if None not in took:
            return dict(seconds=min(took), overhead=0.0)
        took = min(seconds(calls(name, model, batch, way), limit) for way in ways)
        return dict(seconds=took, overhead=overhead(name, models[model]["features"], 0.02))
    started = time.perf_counter()
    if "prepare" in request:
        ENGINES[request["prepare"]](models[request["model"]])
        return dict(seconds=time.perf_counter() - started)
    make(**request["model"])
    return dict(model=request["model"]["name"], seconds=time.perf_counter() - started)


for line in sys.stdin:
    try:
        answered = answer(json.loads(line))
    except Exception as error:
        answered = dict(error=f"{type(error).__name__}: {error}")
    print(json.dumps(answered), flush=True)
