"""Prints the relative errors of Maly and Saab's walk and of rounding alone: weights in -1..1 as signs, five Gaussian samples."""

from __future__ import annotations

import numpy as np

from galton.quantizers import maly_saab

PUBLISHED = {100: 0.47, 400: 0.14, 1600: 0.067}
SAMPLES = 5


def errors(size: int, draws: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """||A (q - w)|| / ||A w|| of each draw, by the walk and by rounding alone; A is (SAMPLES, size)."""
    generator = np.random.default_rng(size)
    found = []
    for _ in range(draws):
        data, weights = generator.normal(size=(SAMPLES, size)), generator.uniform(-1, 1, (1, size))
        signs, largest = maly_saab.binary(weights, data)
        wrong = [(own * largest[:, None] - weights) @ data.T for own in (signs, np.where(weights < 0, -1, 1))]
        found.append([np.linalg.norm(one) / np.linalg.norm(weights @ data.T) for one in wrong])
    walked, rounded = np.array(found).T
    return walked, rounded


def main() -> None:
    """A Markdown table."""
    print("| N | published | walk: median (5 to 95 %) | rounding: median |")
    print("|---:|---:|---:|---:|")
    for size, published in PUBLISHED.items():
        walked, rounded = errors(size)
        low, middle, high = np.quantile(walked, (0.05, 0.5, 0.95))
        print(f"| {size} | {published} | {middle:.3f} ({low:.3f} to {high:.3f}) | {np.median(rounded):.2f} |")


if __name__ == "__main__":
    main()
