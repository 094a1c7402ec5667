"""`GaussianProcess`: a regression of values on features, with the uncertainty of its predictions."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from dongfeng.support.pareto import Floats

_LENGTHS = (0.5, 1.0, 2.0, 4.0)  # of the curved part, in units of the features' typical distance
_NOISES = (1e-5, 1e-3, 1e-2, 1e-1)  # variance of the noise over that of the function
_CURVED = (0.1, 1.0)  # variance of the curved part over that of the linear one
_LEAST_VARIANCE = 1e-9


class GaussianProcess(NamedTuple):
    """A Gaussian process with a linear and a curved part, fitted to points.

    Attributes:
        x: (n, features) the points.
        factor: (n, n) Cholesky factor of their covariance, noise included.
        weights: (n,) factors of the covariances with each point in a prediction.
        length: Length scale of the curved part.
        curved: Variance of the curved part over that of the linear one.
        scale: Variance of the function over that of its linear part.
        noise: Variance of the noise over that of the function at the points.
    """

    x: Floats
    factor: Floats
    weights: Floats
    length: float
    curved: float
    scale: float
    noise: float

    @classmethod
    def fit(cls, x: Floats, y: Floats) -> GaussianProcess:
        """Fit points x (n, features) and values y (n,) of mean 0: the most likely process of a grid of settings."""
        settings = itertools.product(_LENGTHS, _CURVED, _NOISES)
        return max((cls._with(x, y, *setting) for setting in settings), key=lambda pair: pair[0])[1]

    @classmethod
    def _with(cls, x: Floats, y: Floats, length: float, curved: float, noise: float) -> tuple[float, GaussianProcess]:
        """Return the logarithm of the likelihood of a setting, and its process."""
        factor = _factor(x, length, curved, noise)
        weights = np.linalg.solve(factor.T, np.linalg.solve(factor, y))
        scale = float(y @ weights) / len(y)
        likelihood = -0.5 * len(y) * math.log(scale) - float(np.log(np.diag(factor)).sum())
        return likelihood, cls(x, factor, weights, length, curved, scale, noise)

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """Return mean (m,) and standard deviation (m,) of the function at points x (m, features)."""
        covariance = _covariance(self.x, x, self.length, self.curved)
        explained = np.linalg.solve(self.factor, covariance)
        own = 1 + (x**2).mean(axis=1) + self.curved
        variance = np.maximum(own - (explained**2).sum(axis=0), _LEAST_VARIANCE)
        return self.weights @ covariance, np.sqrt(self.scale * variance)

    def believing(self, points: Floats) -> GaussianProcess:
        """Return the process with more points (n, features), whose values are as predicted: surer, but no different."""
        x = np.vstack([self.x, points])
        factor = _factor(x, self.length, self.curved, self.noise)
        return self._replace(x=x, factor=factor, weights=np.append(self.weights, np.zeros(len(points))))


def _factor(x: Floats, length: float, curved: float, noise: float) -> Floats:
    covariance = _covariance(x, x, length, curved)
    covariance += noise * np.trace(covariance) / len(x) * np.eye(len(x))
    return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)


def _covariance(a: Floats, b: Floats, length: float, curved: float) -> Floats:
    """Return the covariances (n, m) of points: a constant, a linear and a curved (Matern 5/2) part."""
    inner = a @ b.T / a.shape[1]
    squared = (a**2).mean(axis=1)[:, None] + (b**2).mean(axis=1) - 2 * inner
    distance = np.sqrt(5 * np.maximum(squared, 0)) / length
    matern = (1 + distance + distance**2 / 3) * np.exp(-distance)
    return np.asarray(1 + inner + curved * matern, dtype=np.float64)
