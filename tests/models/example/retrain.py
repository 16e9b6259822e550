"""Train the example model again on a random half of its customers: an honest next version.

Run it as layers/model/README.md says of training/train.py, with that folder on PYTHONPATH.
"""

from pathlib import Path

import numpy as np
from cdnow import is_held_out, load_customers
from train import CANDIDATES, CHOSEN, convert

SEED = 0


def main() -> None:
    """Write retrained.onnx next to this file."""
    customers = load_customers()
    train = customers.only(~is_held_out(customers.ids))
    half = np.random.default_rng(SEED).permutation(len(train.ids))[: len(train.ids) // 2]
    classifier = CANDIDATES[CHOSEN]().fit(train.features[half], train.bought[half])
    Path(__file__).with_name("retrained.onnx").write_bytes(convert(classifier))


if __name__ == "__main__":
    main()
