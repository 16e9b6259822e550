"""Rebuild the example model: model.onnx, its contract model.json, and a sample of customers.

Which customers of an online shop buy again in the next 39 weeks? Run it as the README.md next to
model.onnx says. The same library versions give the same files, bit for bit.
"""

import csv
import math
import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # onnxruntime reads it when it is imported

import bg_nbd
import numpy as np
import onnx
import onnxruntime as ort
from cdnow import (
    CUSTOMERS,
    FEATURES,
    MASTER,
    PACKAGE,
    SHA256,
    TRANSACTIONS,
    WEEKS_AHEAD,
    Array,
    Customers,
    is_held_out,
    is_in_tenth,
    load_customers,
)
from contract import NAME, answer, describe_model, make_example, shorten_rows, to_json
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

LAYER = Path(__file__).parents[1]
SAMPLE = LAYER.parents[1] / "tests/events/customers.csv"

FOLDS = 5
RESAMPLES = 200
TENTHS = 10  # of the reliability table
OPSETS = {"": 17, "ai.onnx.ml": 1}  # onnxruntime has them since 1.12
TOLERANCE = 1e-6  # between scikit-learn's float64 and onnxruntime's float32 probabilities


# -- Choose a model, by cross-validation on the training customers alone -------------------------


def boosting(monotonic: list[int]) -> HistGradientBoostingClassifier:
    """Return gradient boosting whose probability only rises (1) or falls (-1) with a feature."""
    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=120,
        max_leaf_nodes=6,
        min_samples_leaf=100,
        l2_regularization=1.0,
        early_stopping=False,
        monotonic_cst=monotonic,
        random_state=0,
    )


def without_spend(features: Array) -> Array:
    """Return the features that BG/NBD uses too: repeat purchases, recency and age."""
    return features[:, :3]


CHOSEN = "gradient boosting, monotonic"
CANDIDATES: dict[str, Callable[[], Any]] = {
    "logistic regression": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "logistic regression, quadratic in logarithms": lambda: make_pipeline(
        FunctionTransformer(np.log1p),
        StandardScaler(),
        PolynomialFeatures(2, include_bias=False),
        LogisticRegression(max_iter=1000),
    ),
    "random forest": lambda: RandomForestClassifier(
        n_estimators=100, max_depth=8, min_samples_leaf=20, random_state=0
    ),
    "gradient boosting": lambda: boosting([0, 0, 0, 0]),
    CHOSEN: lambda: boosting([1, 1, -1, 1]),
    "gradient boosting, monotonic, without mean spend": lambda: make_pipeline(
        FunctionTransformer(without_spend), boosting([1, 1, -1])
    ),
}


def cross_validate(train: Customers) -> dict[str, dict[str, float]]:
    """Return each candidate's scores on customers that it was not trained on.

    Raises ValueError if the chosen one's Brier score is not within one standard error of the best.
    """
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    predicted: dict[str, Array] = {}
    for name, build in CANDIDATES.items():
        predicted[name] = cross_val_predict(
            build(), train.features, train.bought, cv=folds, method="predict_proba"
        )[:, 1]
        print(f"  {name}")
    errors = {name: (p - train.bought) ** 2 for name, p in predicted.items()}
    best = min(errors, key=lambda name: float(errors[name].mean()))
    worse = errors[CHOSEN] - errors[best]
    if worse.mean() > worse.std() / math.sqrt(len(worse)):
        raise ValueError(f"{best} is better than {CHOSEN} by more than one standard error")
    return {name: score(train.bought, p) for name, p in predicted.items()}


def score(bought: Array, probability: Array) -> dict[str, float]:
    """Return how well customers are ranked, and how accurate the probabilities are."""
    return {
        "roc_auc": round(float(roc_auc_score(bought, probability)), 4),
        "brier": round(float(brier_score_loss(bought, np.clip(probability, 0, 1))), 4),
    }


# -- The published model on the same customers ----------------------------------------------------


def check_bg_nbd(tenth: Customers) -> None:
    """Raise ValueError unless the paper's estimates follow from the paper's customers."""
    history = history_of(tenth)
    fitted = bg_nbd.fit(*history)
    likelihood = bg_nbd.log_likelihood(fitted, *history)
    if not np.allclose(fitted, bg_nbd.PUBLISHED, rtol=0, atol=1e-3):
        raise ValueError(f"BG/NBD: expected {bg_nbd.PUBLISHED}, got {fitted}")
    if round(likelihood, 1) != bg_nbd.PUBLISHED_LOG_LIKELIHOOD:
        raise ValueError(f"BG/NBD: expected log-likelihood -9582.4, got {likelihood:.4f}")


def history_of(customers: Customers) -> tuple[Array, Array, Array]:
    """Return repeat purchases, recency and age in float64."""
    x, recency, age = customers.features[:, :3].astype(np.float64).T
    return x, recency, age


def references(train: Customers, fitted: bg_nbd.Parameters, test: Customers) -> dict[str, Array]:
    """Return the probabilities that simpler models give to the held-out customers."""
    history = history_of(test)
    return {
        "BG/NBD, published": bg_nbd.buys(bg_nbd.PUBLISHED, *history, t=WEEKS_AHEAD),
        "BG/NBD, fitted": bg_nbd.buys(fitted, *history, t=WEEKS_AHEAD),
        "P(alive) of BG/NBD, fitted": bg_nbd.alive(fitted, *history),
        "base rate": np.full(len(test.ids), train.bought.mean()),
    }


def measure(test: Customers, label: Array, probability: Array) -> dict[str, Any]:
    """Return the quality that the next model is compared with, as `infra model add` measures it."""
    figures = {
        "auc": roc_auc_score(test.bought, probability),
        "brier": brier_score_loss(test.bought, probability),
        "accuracy": accuracy_score(test.bought, label),
    }
    rounded = {name: round(float(value), 6) for name, value in figures.items()}
    return {"target": "bought", "rows": len(test.ids), "figures": rounded}


def score_parts(test: Customers, probability: Array) -> dict[str, dict[str, float]]:
    """Return the scores for customers who bought only once, and for the others."""
    repeat = test.features[:, 0] > 0
    parts = {"no repeat purchase": ~repeat, "repeat purchases": repeat}
    return {
        name: {"customers": int(rows.sum())} | score(test.bought[rows], probability[rows])
        for name, rows in parts.items()
    }


def gain(bought: Array, better: Array, other: Array) -> dict[str, float]:
    """Return how much greater the ROC AUC is, and its standard error by bootstrap."""
    generator = np.random.default_rng(0)
    samples = generator.integers(len(bought), size=(RESAMPLES, len(bought)))
    gains = [
        roc_auc_score(bought[rows], better[rows]) - roc_auc_score(bought[rows], other[rows])
        for rows in samples
    ]
    difference = roc_auc_score(bought, better) - roc_auc_score(bought, other)
    return {
        "roc_auc": round(float(difference), 4),
        "standard_error": round(float(np.std(gains, ddof=1)), 4),
    }


# -- Convert it and prove the conversion ----------------------------------------------------------


def convert(classifier: Any) -> bytes:
    """Return the ONNX file: `features` [-1, 4] to `label` [-1] and `probabilities` [-1, 2]."""
    model = to_onnx(
        classifier,
        initial_types=[("features", FloatTensorType([None, len(FEATURES)]))],
        options={"zipmap": False},
        target_opset=OPSETS,
        name=NAME,
    )
    del model.opset_import[:]  # skl2onnx lists the default domain twice
    model.opset_import.extend(onnx.helper.make_opsetid(*opset) for opset in OPSETS.items())
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def open_session(content: bytes) -> ort.InferenceSession:
    """Load the ONNX file with one thread, so that sums always have the same order."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def compare(classifier: Any, session: ort.InferenceSession, features: Array) -> dict[str, Any]:
    """Return how far onnxruntime is from scikit-learn. Raises ValueError if it is too far."""
    label, probabilities = session.run(None, {"features": features})
    difference = float(np.abs(probabilities - classifier.predict_proba(features)).max())
    mismatches = int((label != classifier.predict(features)).sum())
    if difference > TOLERANCE or mismatches:
        raise ValueError(f"conversion: off by {difference}, {mismatches} other labels")
    return {
        "held_out_rows": len(features),
        "maximum_absolute_difference": float(f"{difference:.1e}"),
        "label_mismatches": mismatches,
    }


# -- Describe it ----------------------------------------------------------------------------------


def reliability(bought: Array, probability: Array) -> list[dict[str, Any]]:
    """Return mean probability and share of buyers in tenths of the customers, lowest first."""
    tenths = np.array_split(np.argsort(probability, kind="stable"), TENTHS)
    return [
        {
            "customers": len(rows),
            "predicted": round(float(probability[rows].mean(dtype=np.float64)), 3),
            "bought": round(float(bought[rows].mean()), 3),
        }
        for rows in tenths
    ]


def choose_golden(features: Array, probability: Array) -> list[Array]:
    """Return three requests: one customer, eight from low to high, and extreme ones."""
    ranked = features[np.argsort(probability, kind="stable")]
    spread = ranked[np.linspace(0, len(ranked) - 1, 8).astype(int)]
    never_seen = [500, 104, 104, 100_000]
    extreme = np.array([features.min(axis=0), features.max(axis=0), never_seen], np.float32)
    return [features[:1], spread, extreme]


def describe_origin(train: Customers, test: Customers) -> dict[str, Any]:
    """Return where the model comes from: data, split, libraries, command."""
    libraries = ["numpy", "onnx", "onnxruntime", "scikit-learn", "scipy", "skl2onnx"]
    return {
        "command": "python layers/model/training/train.py",
        "model": CHOSEN,
        "data": {
            "name": "CDNOW customer base (Fader and Hardie, Interfaces 31(3) part 2, 2001)",
            "file": f"{PACKAGE} {version(PACKAGE)}: {MASTER}",
            "sha256": SHA256,
            "customers": CUSTOMERS,
            "transactions": TRANSACTIONS,
        },
        "split": {
            "rule": "held out: sha256(customer id) is divisible by 4",
            "training": {"customers": len(train.ids), "bought": int(train.bought.sum())},
            "held_out": {"customers": len(test.ids), "bought": int(test.bought.sum())},
        },
        "libraries": {name: version(name) for name in libraries},
        "opsets": {domain or "ai.onnx": number for domain, number in OPSETS.items()},
    }


# -- Write and run --------------------------------------------------------------------------------


def write_sample(test: Customers, customers: int = 50) -> None:
    """Write evenly spaced held-out customers, and whether they bought."""
    rows = np.linspace(0, len(test.ids) - 1, customers).astype(int)
    with SAMPLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*FEATURES, "bought"])
        for features, bought in zip(
            shorten_rows(test.features[rows]), test.bought[rows], strict=True
        ):
            writer.writerow([*features, int(bought)])


def print_scores(title: str, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Print a table as the model card shows it."""
    print(f"\n| {title} | ROC AUC | Brier score |\n|---|---|---|")
    for name, row in scores.items():
        print(f"| {name} | {row['roc_auc']:.4f} | {row['brier']:.4f} |")


def main() -> None:
    """Rebuild the model and its contract, and print the tables of the model card."""
    customers = load_customers()
    held_out = is_held_out(customers.ids)
    train, test = customers.only(~held_out), customers.only(held_out)
    print(f"{len(train.ids)} customers to train with, {len(test.ids)} held out\nCross-validating")
    validated = cross_validate(train)

    print("Fitting BG/NBD: first to the paper's customers, then to ours")
    check_bg_nbd(customers.only(is_in_tenth(customers.ids)))
    fitted = bg_nbd.fit(*history_of(train))
    everyone = bg_nbd.buys(bg_nbd.PUBLISHED, *history_of(customers), t=WEEKS_AHEAD)

    print(f"Fitting and converting: {CHOSEN}")
    classifier = CANDIDATES[CHOSEN]().fit(train.features, train.bought)
    content = convert(classifier)
    session = open_session(content)
    label, probabilities = session.run(["label", "probabilities"], {"features": test.features})
    probability = probabilities[:, 1]
    predicted = {CHOSEN: probability} | references(train, fitted, test)
    scores = {name: score(test.bought, p) for name, p in predicted.items()}

    golden = choose_golden(test.features, probability)
    contract = describe_model(content, train)
    contract |= {
        "golden": [answer(session, request) for request in golden],
        "example": make_example(contract),
        "quality": measure(test, label, probability),
        "provenance": describe_origin(train, test)
        | {
            "conversion": compare(classifier, session, test.features),
            "cross_validation": validated,
            "held_out": scores,
            "gain_over_bg_nbd_fitted": gain(test.bought, probability, predicted["BG/NBD, fitted"]),
            "held_out_parts": score_parts(test, probability),
            "reliability": reliability(test.bought, probability),
            "bg_nbd_published_on_all_customers": score(customers.bought, everyone),
            "bg_nbd_fitted": {key: round(value, 3) for key, value in fitted._asdict().items()},
        },
    }
    (LAYER / "model.onnx").write_bytes(content)
    (LAYER / "model.json").write_text(to_json(contract) + "\n")
    write_sample(test)
    print_scores("cross-validation, training customers", validated)
    print_scores("held-out customers", scores)
    print(f"\nWrote model.onnx ({len(content):,} bytes), model.json and customers.csv")


if __name__ == "__main__":
    main()
