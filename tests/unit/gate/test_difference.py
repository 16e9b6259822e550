"""How different two tables are, against SciPy where it has the same."""

import numpy as np
import pytest
from scipy.stats import binom

from gate.difference import exceeds, find_others, find_psi, is_systematic
from serving.tensors import Array

RANDOM = np.random.default_rng(1)
NORMAL = RANDOM.normal(50, 10, (1000, 1))


@pytest.mark.parametrize("rows", [1, 2, 3, 12, 33, 100, 1000, 10_000])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.1, 0.5, 0.9])
def test_beyond_chance_is_the_tail_of_the_binomial_distribution(rows: int, share: float) -> None:
    for count in {*range(min(rows, 20) + 1), *range(0, rows + 1, max(1, rows // 50)), rows}:
        tail = binom.sf(count - 1, rows, share)
        if not 0.0099 < tail < 0.0101:  # where rounding decides
            assert exceeds(count, rows, share) == (tail < 0.01 and count > rows * share), count


@pytest.mark.parametrize(
    ("count", "rows", "is_more"),
    [(1, 1, False), (1, 3, False), (3, 3, True), (4, 12, False), (5, 12, True), (126, 1000, True)],
)
def test_a_few_rows_prove_little(count: int, rows: int, *, is_more: bool) -> None:
    assert exceeds(count, rows, 0.1) is is_more


def test_without_a_limit_nothing_exceeds_it_and_without_leave_everything_does() -> None:
    assert not exceeds(1000, 1000, 1)
    assert exceeds(1, 1000, 0)
    assert not exceeds(0, 1000, 0)


def share_of_others(before: Array, now: Array) -> float:
    return float(find_others(before, now).mean())


def test_a_number_is_another_when_it_moves_by_more_than_the_old_ones_spread() -> None:
    # A standard deviation of these is 10
    assert share_of_others(NORMAL, NORMAL + 9) == 0
    assert share_of_others(NORMAL, NORMAL + 11) == 1
    assert share_of_others(NORMAL, NORMAL * 1.01) == 0
    assert share_of_others(NORMAL, NORMAL * 100) == 1
    assert share_of_others(NORMAL, np.roll(NORMAL, 1)) > 0.4


def test_extremes_do_not_widen_the_spread() -> None:
    # GIVEN sales as they are: most small, some huge
    sales = np.exp(RANDOM.normal(0, 2, (1000, 1)))
    assert share_of_others(sales, 2 * sales) > 0.3
    assert share_of_others(sales, sales * RANDOM.normal(1, 0.05, sales.shape)) < 0.05


def test_each_column_has_a_spread_of_its_own() -> None:
    both = np.hstack([NORMAL, NORMAL * 1000])
    assert find_others(both, both + 100).mean(axis=0).tolist() == [1, 0]


def test_a_column_of_one_number_spreads_by_its_size() -> None:
    constant = np.full((100, 1), 7.0)
    assert share_of_others(constant, constant + 6) == 0
    assert share_of_others(constant, constant + 8) == 1
    assert share_of_others(constant * 0, constant * 0 + 1e-3) == 0  # a probability of nothing
    assert share_of_others(constant * 0, constant) == 1


def test_a_number_that_is_mostly_zero_spreads_by_its_standard_deviation() -> None:
    rare = np.where(np.arange(100) < 10, 100.0, 0.0)[:, np.newaxis]
    assert share_of_others(rare, rare + 25) == 0
    assert share_of_others(rare, rare + 35) == 1


def test_tiny_probabilities_may_move_by_as_little() -> None:
    rare = np.full((100, 1), 0.001) * np.arange(1, 101)[:, np.newaxis] / 100
    assert share_of_others(rare, rare * 30) == 0
    assert share_of_others(rare, rare + 0.06) == 1


def test_nan_is_another_number_unless_it_was_nan() -> None:
    before = np.array([[np.nan], [1.0], [2.0], [3.0]])
    now = np.array([[np.nan], [np.nan], [2.0], [3.0]])
    assert find_others(before, now).ravel().tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NORMAL * 1.01, True),
        (NORMAL - 0.5, True),
        (NORMAL**1.1, True),
        (NORMAL - NORMAL.mean(), True),
        ((NORMAL - 50) * 1.01 + 50, True),  # up above, down below: all in their old order
        (NORMAL, False),
        (NORMAL * (1 + 1e-7), False),
        (NORMAL + RANDOM.normal(0, 1, NORMAL.shape), False),
        (np.roll(NORMAL, 1), False),
        (np.where(np.arange(1000) < 29, 1, 0)[:, np.newaxis] + NORMAL, False),  # in 29 rows only
    ],
)
def test_a_systematic_difference_moves_all_one_way_or_keeps_the_order(
    now: Array,
    *,
    expected: bool,
) -> None:
    assert is_systematic(NORMAL, now) is expected


def test_psi_is_that_of_the_shares_in_tenths_of_the_old_answers() -> None:
    before = np.arange(1000.0)[:, np.newaxis]
    cuts = np.quantile(before, np.arange(1, 10) / 10)
    for now in (before, before * 1.1, before + 200):
        p, q = (
            (np.bincount((x > cuts).sum(axis=1), minlength=10) + 0.5) / 1005 for x in (before, now)
        )
        assert find_psi(before, now) == pytest.approx(float(((q - p) * np.log(q / p)).sum()))
    assert find_psi(before, before) == 0


def test_psi_of_labels_is_that_of_their_shares() -> None:
    before = np.array(["a"] * 60 + ["b"] * 40, object)[:, np.newaxis]
    now = np.array(["a"] * 50 + ["b"] * 40 + ["c"] * 10, object)[:, np.newaxis]
    p, q = np.array([60.5, 40.5, 0.5]) / 101.5, np.array([50.5, 40.5, 10.5]) / 101.5
    assert find_psi(before, now) == pytest.approx(float(((q - p) * np.log(q / p)).sum()))


def test_psi_of_several_columns_is_the_largest() -> None:
    before = np.hstack([NORMAL, NORMAL])
    now = np.hstack([NORMAL, NORMAL + 20])
    assert find_psi(before, now) == find_psi(NORMAL, NORMAL + 20) > 0.5
