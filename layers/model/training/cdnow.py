"""The CDNOW customer base: who bought music when, from January 1997 to June 1998.

All 23,570 customers of an online shop whose first purchase fell in the first quarter of 1997.
Published by Fader and Hardie, "Forecasting Repeat Sales at CDNOW: A Case Study", Interfaces 31(3),
part 2, 2001, S94-S107. A line of the file is one transaction, in four columns: customer id, date
(YYYYMMDD), number of CDs, dollars.
"""

import hashlib
from datetime import date
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

PACKAGE = "lifetimes"
MASTER = "lifetimes/datasets/CDNOW_master.txt"
TENTH = "lifetimes/datasets/CDNOW_sample.txt"
SHA256 = "eff6889ed364c5199d6eacbbeb7a6d559971df4406ac876f322c373f00a072ef"
TRANSACTIONS = 69_659
CUSTOMERS = 23_570

WEEK = 7
WEEKS_AHEAD = 39
CALIBRATION_END = date(1997, 9, 30).toordinal()  # week 39
FEATURES = {  # name: (unit, description); the order of the model's columns
    "repeat_purchases": ("purchases", "days with a purchase, after the day of the first"),
    "recency": ("weeks", "days / 7, unrounded, from the first purchase to the latest, or 0"),
    "age": ("weeks", "days / 7, unrounded, from the first purchase to the day of prediction"),
    "mean_spend": ("USD", "mean spend of a day with a purchase, the first included"),
}

Purchases = dict[int, float]  # dollars by day


class Customers(NamedTuple):
    """Customers, one a row: ids, float32 features [n, 4] at week 39, bought in weeks 40-78 [n]."""

    ids: Array
    features: Array
    bought: Array

    def only(self, rows: Array) -> "Customers":
        """Return the customers where `rows` is true."""
        return Customers(self.ids[rows], self.features[rows], self.bought[rows])


def load_customers() -> Customers:
    """Read every customer. Raises ValueError if the file is not the published one."""
    purchases = group_purchases(read_file(MASTER))
    return Customers(
        ids=np.array(list(purchases)),
        # Features are float32 from the start, so that training and serving see the same numbers.
        features=np.array([describe(days) for days in purchases.values()], dtype=np.float32),
        bought=np.array([max(days) > CALIBRATION_END for days in purchases.values()]),
    )


def read_file(name: str) -> bytes:
    """Return a data file of the package, which is not imported: that would need pandas."""
    return Path(str(distribution(PACKAGE).locate_file(name))).read_bytes()


def group_purchases(text: bytes) -> dict[str, Purchases]:
    """Return every customer's spend by day: transactions of one day are one purchase."""
    digest = hashlib.sha256(text).hexdigest()
    if digest != SHA256:
        raise ValueError(f"{MASTER}: expected sha256 {SHA256}, got {digest}")
    lines = [line.split() for line in text.decode().splitlines()[1:]]
    customers: dict[str, Purchases] = {}
    for customer, day, _, dollars in lines:
        days = customers.setdefault(customer, {})
        ordinal = date.fromisoformat(day).toordinal()
        days[ordinal] = days.get(ordinal, 0) + float(dollars)
    if (len(customers), len(lines)) != (CUSTOMERS, TRANSACTIONS):
        raise ValueError(f"{MASTER}: read {len(customers)} customers, {len(lines)} transactions")
    return customers


def describe(days: Purchases) -> tuple[float, float, float, float]:
    """Return the four features of a customer, as known at the end of week 39."""
    known = sorted(day for day in days if day <= CALIBRATION_END)
    return (
        len(known) - 1,
        (known[-1] - known[0]) / WEEK,
        (CALIBRATION_END - known[0]) / WEEK,
        sum(days[day] for day in known) / len(known),
    )


def is_held_out(ids: Array) -> Array:
    """Return which customers are held out: a quarter, chosen by the hash of their id."""
    return np.array([hashlib.sha256(name.encode()).digest()[-1] % 4 == 0 for name in ids])


def is_in_tenth(ids: Array) -> Array:
    """Return which customers are in the 1/10 sample (2,357) of the published estimates."""
    tenth = {line.split()[0] for line in read_file(TENTH).decode().splitlines()}
    return np.isin(ids, list(tenth))
