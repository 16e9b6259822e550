"""BG/NBD, the published probability model that the trained model is measured against.

Fader, Hardie and Lee, "'Counting Your Customers' the Easy Way: An Alternative to the Pareto/NBD
Model", Marketing Science 24(2), 2005, 275-284. A living customer buys at rate lambda, which is
gamma(r, alpha) over customers; after each purchase a customer leaves for good with probability p,
which is beta(a, b) over customers. P(alive): the same authors, "Computing P(alive) Using the
BG/NBD Model", 2008. In all functions, as in the papers: x repeat purchases, the last one
`recency` weeks after the first purchase (their t_x), observed until `age` weeks after it (their T).
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import betaln, gammaln

Array = npt.NDArray[Any]


class Parameters(NamedTuple):
    """The two mixing distributions: gamma(r, alpha) of rates, beta(a, b) of leaving."""

    r: float
    alpha: float
    a: float
    b: float


PUBLISHED = Parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)  # 1/10 sample of CDNOW
PUBLISHED_LOG_LIKELIHOOD = -9582.4


def log_likelihood(parameters: Parameters, x: Array, recency: Array, age: Array) -> float:
    """Return the log-likelihood of all customers together."""
    r, alpha, a, b = parameters
    repeat = np.maximum(x, 1)  # without a repeat purchase, nobody has had a chance to leave
    both = gammaln(r + x) - gammaln(r) + r * np.log(alpha) - betaln(a, b)
    alive = betaln(a, b + x) - (r + x) * np.log(alpha + age)
    left = betaln(a + 1, b + repeat - 1) - (r + x) * np.log(alpha + recency)
    return float(np.sum(both + np.logaddexp(alive, np.where(x > 0, left, -np.inf))))


def fit(x: Array, recency: Array, age: Array) -> Parameters:
    """Return the parameters of greatest likelihood, found by their logarithms: all are positive."""

    def loss(logarithms: Array) -> float:
        return -log_likelihood(Parameters(*np.exp(logarithms)), x, recency, age) / len(x)

    options = {"xatol": 1e-8, "fatol": 1e-12, "maxiter": 5000, "maxfev": 5000}
    found = minimize(loss, np.zeros(4), method="Nelder-Mead", options=options)
    if not found.success:
        raise ValueError(f"BG/NBD: no maximum of the likelihood was found: {found.message}")
    return Parameters(*(float(value) for value in np.exp(found.x)))


def alive(parameters: Parameters, x: Array, recency: Array, age: Array) -> Array:
    """Return P(alive at T), which is 1 without a repeat purchase."""
    r, alpha, a, b = parameters
    repeat = np.maximum(x, 1)
    odds = a / (b + repeat - 1) * ((alpha + age) / (alpha + recency)) ** (r + x)
    return np.where(x > 0, 1 / (1 + odds), 1.0)


def buys(parameters: Parameters, x: Array, recency: Array, age: Array, t: float) -> Array:
    """Return the probability of at least one purchase in (T, T + t].

    Alive at T, a customer's likelihood is lambda^x exp(-lambda T) (1 - p)^x, so lambda is then
    gamma(r + x, alpha + T), whatever p. One leaves only after a purchase, so no purchase until
    T + t has probability E[exp(-lambda t)] = ((alpha + T) / (alpha + T + t))^(r + x).
    """
    r, alpha, _, _ = parameters
    none = ((alpha + age) / (alpha + age + t)) ** (r + x)
    return alive(parameters, x, recency, age) * (1 - none)
