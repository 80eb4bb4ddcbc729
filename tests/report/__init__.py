"""Runs to make reports from: a small one of one check, and large made-up ones that look like real runs."""

import random
from dataclasses import replace

from liteproof.checks import METRICS, Check, Measurement, Verdict, judge
from liteproof.report.results import Results, Run, finite, verdicts_of
from liteproof.statistics import wilson, wilson_lower

TEST = "acceptance/test_agreement.py::test_top1_agreement[digits-int8-host]"


def check(metric="top1_agreement", value=0.99, limit=0.95, verdict=Verdict.PASS, **more):
    margin = None if value is None or limit is None else (value - limit)
    made = Check("digits", "int8", "host", "agreement", metric, value, limit, margin, 597, (0.98, 0.996), verdict, TEST)
    return replace(made, **more)


def results(*checks, complete=True, model="digits"):
    checks = tuple(replace(c, model=model) for c in checks or (check(),))
    return Results(
        run=Run("20261120T120000Z-abc123", "2026-11-20T12:00:00Z", "2026-11-20T12:01:00Z", complete, "0.1.0", None),
        targets={"host": {"machine": "x86_64", "runtime": "ai_edge_litert 2.3.0", "numpy": "2.0", "threads": 1}},
        models={
            model: {
                "task": "classification",
                "variants": {"int8": {"file": "int8.tflite", "bytes": 16384, "recipe": "int8", "sha256": "0" * 64}},
            }
        },
        checks=checks,
        verdicts=verdicts_of(checks),
    )


# Recipe: share of float32's size, samples of 597 that flip, milliseconds.
RECIPES = {
    "float32": (1.0, 0, 0.43),
    "dynamic_range": (0.33, 0, 0.39),
    "float16": (0.54, 0, 0.44),
    "int8": (0.32, 2, 0.24),
    "uint8": (0.324, 2, 0.25),
    "int8_float_io": (0.324, 2, 0.26),
    "int16x8": (0.34, 1, 1.9),
    "int4": (0.186, 9, 0.41),
}
LIMITS = {
    "size_ratio": 0.6, "top1_agreement": 0.975, "accuracy_drop": 0.02, "cosine_similarity": 0.99,
    "latency_p50_ms": 1.0, "latency_p95_ms": 2.0, "nonfinite_outputs": 0.0, "loads": 1.0,
}  # fmt: skip
MACHINES = {
    "host": {"machine": "x86_64", "system": "Linux 6.1", "python": "3.11.9", "runtime": "ai_edge_litert 2.3.0",
             "numpy": "1.26.4", "threads": 1},
    "pi": {"machine": "aarch64", "system": "Linux 6.6", "python": "3.11.2", "runtime": "tflite_runtime 2.14.0",
           "numpy": "1.26.4", "threads": 4, "device": {"model": "Raspberry Pi 4 Model B", "governor": ["ondemand"]}},
}  # fmt: skip


def large(models=("digits",), targets=("host",), variants=tuple(RECIPES), seed=7, complete=True):
    """A run as real ones look: every recipe, some gates missed, evidence for every plot."""
    made_up = random.Random(seed)
    checks = [
        finite(c)
        for model in models
        for variant in variants
        for target in targets
        for c in _case(model, variant, target, made_up)
    ]
    run = Run(
        id="20261120T120000Z-abc123",
        started="2026-11-20T12:00:00Z",
        finished="2026-11-20T12:04:31Z",
        complete=complete,
        liteproof="0.1.0",
        git="9fceb02d0ae598e95dc970b74767f19372d61af8-dirty",
        command=("--target=host",),
        selected=len(checks),
        ran=len(checks) if complete else len(checks) - 40,
    )
    return Results(
        run=run,
        targets={target: MACHINES.get(target, MACHINES["host"]) for target in targets},
        models={model: _model(model, variants, made_up) for model in models},
        checks=tuple(checks),
        verdicts=verdicts_of(checks),
    )


def _model(name, variants, made_up):
    def sha():
        return f"{made_up.getrandbits(256):064x}"

    return {
        "task": "classification",
        "manifest": {"file": f"models/{name}/model.toml", "sha256": sha()},
        "source": {"file": f"models/{name}/{name}.keras", "sha256": sha(), "bytes": 181_222},
        "evaluation": {"file": f"models/{name}/evaluation.npz", "samples": 597, "sha256": sha()},
        "variants": {
            variant: {"file": f"{variant}.tflite", "sha256": sha(), "bytes": int(51_200 * RECIPES[variant][0]),
                      "recipe": variant, "toolchain": "tensorflow 2.21.0"}
            for variant in variants
        },
    }  # fmt: skip


def _case(model, variant, target, made_up):
    share, flips, milliseconds = RECIPES[variant]
    slower = {"host": 1, "pi": 9}.get(target, 1)
    broken = variant == "int4" and target == "pi"
    flipped = max(0, flips + made_up.randint(-1, 4)) if flips else 0
    agreeing = 597 - flipped
    pairs = {}
    for _ in range(flipped):
        pair = f"{made_up.choice('348')}→{made_up.choice('1979')}"
        pairs[pair] = pairs.get(pair, 0) + 1
    rounds = sorted(milliseconds * slower * made_up.lognormvariate(0, 0.12) for _ in range(400))
    dead = {"detail": "int4 does not load: FULLY_CONNECTED version 12 is not known here"}
    measurements = [
        Measurement("loads", 0.0 if broken else 1.0, detail="RuntimeError: version 12" if broken else None,
                    causes=("the runtime is older than the file's operators: it has 11",) if broken else (),
                    next=f"liteproof inspect {variant}.tflite" if broken else None),
        Measurement("size_ratio", share),
        Measurement("size_bytes", float(int(51_200 * share))),
    ]  # fmt: skip
    answers = [
        Measurement("top1_agreement", agreeing / 597, 597, wilson(agreeing, 597), wilson_lower(agreeing, 597),
                    lambda _: 1500, f"{flipped} flipped" if flipped else None,
                    ("the calibration set leaves out class 8: 3 of its samples flipped",
                     "4 bits are too few for conv2d_1: signal to noise 9 dB") if flipped > 8 else (),
                    f"liteproof explain {model} {variant}" if flipped > 8 else None, {"flips": pairs}),
        Measurement("accuracy", (agreeing - 3) / 597, 597, wilson(agreeing - 3, 597)),
        Measurement("accuracy_drop", (flipped - 1) / 597 / 2, 597, (-0.004, 0.012), 0.011),
        Measurement("cosine_similarity", 1 - flipped / 900, 597),
        Measurement("max_abs_error", flipped / 12, 597, detail="largest at sample 311"),
        Measurement("nonfinite_outputs", 0.0, 597),
        Measurement("latency_p50_ms", rounds[200], 400, (rounds[180], rounds[220]), rounds[216], None,
                    evidence={"quantiles_ms": rounds[::10]}),
        Measurement("latency_p95_ms", rounds[380], 400, (rounds[370], rounds[388]), rounds[386]),
        Measurement("latency_p99_ms", rounds[396], 400, (rounds[390], rounds[399]), rounds[399]),
        Measurement("sqnr_db", 38.0 - flipped, 597, evidence={
            "layers": [[f"conv2d_{i}", 60 - 2 * i - flipped * i / 9] for i in range(12)]}),
    ]  # fmt: skip
    if broken:
        answers = [replace(m, value=None, interval=None, causes=(), next=None, evidence={}, **dead) for m in answers]
    for measurement in measurements + answers:
        yield _judged(model, variant, target, measurement)


def _judged(model, variant, target, measurement):
    limit = LIMITS.get(measurement.metric)
    if limit is not None and target == "pi" and METRICS[measurement.metric].unit == "ms":
        limit *= 10
    if measurement.metric == "size_ratio" and variant == "float32":
        limit = None
    judgement = judge(measurement, limit)
    suite = measurement.metric.split("_")[0]
    return Check(
        model=model,
        variant=variant,
        target=target,
        suite=suite,
        metric=measurement.metric,
        value=measurement.value,
        limit=limit,
        margin=judgement.margin,
        samples=measurement.samples,
        interval=measurement.interval,
        verdict=judgement.verdict,
        test=f"acceptance/test_{suite}.py::test_{measurement.metric}[{model}-{variant}-{target}]",
        detail=measurement.detail,
        samples_to_settle=judgement.samples_to_settle,
        causes=measurement.causes,
        next=measurement.next,
        evidence=measurement.evidence,
    )
