"""Writes metrics.json: figures computed from their definitions with numpy and scipy, apart from the TypeScript.

Run: python3 src/metrics/golden/metrics.py
"""

import json
import pathlib

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logsumexp, softmax
from scipy.stats import norm

rng = np.random.default_rng(20240229)


def kernel(scores, positive):
    """psi[i, j] of every positive i and negative j."""
    p, n = scores[positive == 1], scores[positive == 0]
    return np.where(p[:, None] > n[None, :], 1.0, np.where(p[:, None] == n[None, :], 0.5, 0.0))


def clustered_auc(scores, positive, groups):
    """Obuchowski 1997, written out with clusters as loops."""
    psi = kernel(scores, positive)
    m, n = psi.shape
    v10, v01 = psi.mean(1), psi.mean(0)
    theta = psi.mean()
    gp, gn = groups[positive == 1], groups[positive == 0]
    clusters = np.unique(groups)
    i10 = sum((gp == c).any() for c in clusters)
    i01 = sum((gn == c).any() for c in clusters)
    s10 = i10 / ((i10 - 1) * m) * sum((v10[gp == c].sum() - (gp == c).sum() * theta) ** 2 for c in clusters)
    s01 = i01 / ((i01 - 1) * n) * sum((v01[gn == c].sum() - (gn == c).sum() * theta) ** 2 for c in clusters)
    i = len(clusters)
    s11 = i / (i - 1) * sum(
        (v10[gp == c].sum() - (gp == c).sum() * theta) * (v01[gn == c].sum() - (gn == c).sum() * theta)
        for c in clusters
    )
    return theta, s10 / m + s01 / n + 2 * s11 / (m * n)


def delong(scores, positive):
    psi = kernel(scores, positive)
    m, n = psi.shape
    return psi.mean(), psi.mean(1).var(ddof=1) / m + psi.mean(0).var(ddof=1) / n


def interval(theta, variance):
    half = norm.ppf(0.975) * np.sqrt(variance)
    return [theta, max(0.0, theta - half), min(1.0, theta + half)]


def macro(probabilities, labels, groups):
    k = probabilities.shape[1]
    clusters = np.unique(groups)
    total, influence = 0.0, np.zeros(len(clusters))
    for c in range(k):
        y = (labels == c).astype(int)
        psi = kernel(probabilities[:, c], y)
        theta = psi.mean()
        total += theta / k
        gp, gn = groups[y == 1], groups[y == 0]
        for at, cluster in enumerate(clusters):
            influence[at] += ((psi.mean(1)[gp == cluster] - theta).sum() / (y == 1).sum()) / k
            influence[at] += ((psi.mean(0)[gn == cluster] - theta).sum() / (y == 0).sum()) / k
    i = len(clusters)
    return interval(total, i / (i - 1) * (influence**2).sum())


def ece(p, y):
    """Ten equal-count bins; tied records share their mean outcome."""
    shared = np.array([y[p == value].mean() for value in p])
    order = np.argsort(p, kind="stable")
    n = len(p)
    edges = [(b * n) // 10 for b in range(11)]
    bins = [order[a:b] for a, b in zip(edges, edges[1:]) if b > a]
    return sum(len(b) / n * abs(shared[b].mean() - p[b].mean()) for b in bins)


def binary_case(n, groups, digits):
    labels = rng.integers(0, 2, n)
    group = rng.integers(0, groups, n)
    effect = rng.normal(size=groups)
    logits = np.round(1.2 * (labels - 0.5) + effect[group] + rng.normal(size=n), digits)
    p = expit(logits)
    decided = (p >= 0.4).astype(int)
    tp, fp = int(((decided == 1) & (labels == 1)).sum()), int(((decided == 1) & (labels == 0)).sum())
    fn, tn = int(((decided == 0) & (labels == 1)).sum()), int(((decided == 0) & (labels == 0)).sum())
    theta, variance = clustered_auc(p, labels, group)
    return {
        "logits": logits.tolist(),
        "labels": labels.tolist(),
        "groups": group.tolist(),
        "threshold": 0.4,
        "clustered": interval(theta, variance),
        "delong": interval(*delong(p, labels)),
        "expected": {
            "loss": float(-np.where(labels == 1, log_expit(logits), log_expit(-logits)).mean()),
            "accuracy": (tp + tn) / n,
            "sensitivity": tp / (tp + fn),
            "specificity": tn / (tn + fp),
            "f1": 2 * tp / (2 * tp + fp + fn),
            "brier": float(((p - labels) ** 2).mean()),
            "ece": float(ece(p, labels)),
            "confusion": [[tn, fp], [fn, tp]],
        },
    }


def multiclass_case(n, k, groups):
    labels = rng.integers(0, k, n)
    group = rng.integers(0, groups, n)
    logits = np.round(rng.normal(size=(n, k)) + 1.5 * np.eye(k)[labels], 1)
    p = softmax(logits, axis=1)
    top = p.argmax(1)
    matrix = np.zeros((k, k), int)
    for truth, decided in zip(labels, top):
        matrix[truth, decided] += 1
    rows, columns, right = matrix.sum(1), matrix.sum(0), np.diag(matrix)
    return {
        "logits": logits.ravel().tolist(),
        "labels": labels.tolist(),
        "groups": group.tolist(),
        "classCount": k,
        "macro": macro(p, labels, group),
        "expected": {
            "loss": float((logsumexp(logits, axis=1) - logits[np.arange(n), labels]).mean()),
            "accuracy": float(right.sum() / n),
            "sensitivity": float((right / rows).mean()),
            "specificity": float(((n - rows - columns + right) / (n - rows)).mean()),
            "f1": float((2 * right / (rows + columns)).mean()),
            "brier": float(((p - np.eye(k)[labels]) ** 2).sum(1).mean()),
            "ece": float(ece(p.max(1), (top == labels).astype(float))),
            "confusion": matrix.tolist(),
        },
    }


def regression_case(n):
    y = rng.gamma(4, 30, n)
    prediction = np.abs(y + 20 * rng.normal(size=n))
    error = prediction - y
    return {
        "predictions": prediction.tolist(),
        "targets": y.tolist(),
        "expected": {
            "rmse": float(np.sqrt((error**2).mean())),
            "mae": float(np.abs(error).mean()),
            "r2": float(1 - (error**2).sum() / ((y - y.mean()) ** 2).sum()),
            "rmsle": float(np.sqrt(((np.log1p(prediction) - np.log1p(y)) ** 2).mean())),
        },
    }


def linear_case(n, k, l2):
    x = rng.normal(size=(n, k)) * np.geomspace(0.1, 10, k) + np.linspace(-5, 50, k)
    truth = rng.normal(size=k) / np.geomspace(0.1, 10, k)
    z = (x - x.mean(0)) @ truth
    y = z + 3 + rng.normal(size=n)
    labels = (rng.random(n) < expit(z / 2 + 0.5)).astype(int)
    centred = x - x.mean(0)
    ridge = np.linalg.solve(centred.T @ centred + l2 * np.eye(k), centred.T @ (y - y.mean()))

    # Newton's method with whole matrices, on columns scaled to unit size so that it is well conditioned.
    design = np.column_stack([x, np.ones(n)])
    penalty = np.diag([l2] * k + [0.0])
    w = np.zeros(k + 1)
    for _ in range(50):
        p = expit(design @ w)
        w = w - np.linalg.solve(design.T @ (design * (p * (1 - p))[:, None]) + penalty, design.T @ (p - labels) + penalty @ w)
    check = minimize(
        lambda v: (np.logaddexp(0, design @ v) - labels * (design @ v)).sum() + l2 / 2 * v[:-1] @ v[:-1], w, method="BFGS"
    )
    assert check.fun > (np.logaddexp(0, design @ w) - labels * (design @ w)).sum() + l2 / 2 * w[:-1] @ w[:-1] - 1e-9
    return {
        "x": x.ravel().tolist(),
        "columns": k,
        "l2": l2,
        "y": y.tolist(),
        "labels": labels.tolist(),
        "ridge": {"weights": ridge.tolist(), "intercept": float(y.mean() - x.mean(0) @ ridge)},
        "logistic": {"weights": w[:-1].tolist(), "intercept": float(w[-1])},
    }


golden = {
    "binary": [binary_case(60, 25, 1), binary_case(41, 41, 3)],
    "multiclass": [multiclass_case(70, 4, 30)],
    "regression": [regression_case(50)],
    "linear": [linear_case(40, 4, 0.5), linear_case(12, 20, 1.0)],
}
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(golden) + "\n")
