"""A callable that yields the tiny model's samples, as a user's module does."""

from tests.plugin.tiny import samples


def batches():
    x, y = samples(300, seed=1)
    for start in range(0, len(x), 64):
        yield x[start : start + 64], y[start : start + 64]
