"""What is held out of the synthetic data sets: images of one seed, which training refuses to learn from."""

from __future__ import annotations

HELD_OUT_SEED = 2**31 - 1
HELD_OUT_IMAGES = 100  # what a training evaluates on unless it is told a number; the demo shows later ones
