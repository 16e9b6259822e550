"""`infra rehearse`, started as a user starts it."""

import json
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.example_model import CUSTOMERS, FEATURES, MODEL, RETRAINED, write_checkout
from tests.model_variants import with_other_labels
from tests.onnx_models import logistic

ROOT = Path(__file__).parents[2]
COMMAND: list[str | Path] = [ROOT / ".venv/bin/infra", "rehearse"]


@dataclass(frozen=True)
class Checkout:
    """A checkout that holds the example, in which rehearsals are started."""

    root: Path

    def rehearse(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments], capture_output=True, text=True, check=False, cwd=self.root
        )

    def list_folders(self) -> list[Path]:
        """Return the folders that a rehearsal has for a while."""
        folders = ("build/candidate-*", "build/rehearsal/**/versions")
        return [path for pattern in folders for path in self.root.glob(pattern)]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(write_checkout(tmp_path_factory.mktemp("example") / "checkout"))


def test_a_good_model_is_promoted(checkout: Checkout, tmp_path: Path) -> None:
    # GIVEN real inputs in a file that has other columns, too
    rows = np.random.default_rng(0).uniform([0, 0, 27, 0], [9, 38, 38, 90], (50, 4)).round(1)
    rows[0, 3] = 98765.4
    lines = [",".join(["customer", *FEATURES])]
    lines += [",".join([f"Erika {i}", *map(str, row)]) for i, row in enumerate(rows.tolist())]
    (tmp_path / "customers.csv").write_text("\n".join(lines))
    page = tmp_path / "page.html"
    contract = checkout.root / "layers/model/model.json"
    before = contract.read_bytes()

    done = checkout.rehearse(
        *(MODEL, "--samples", tmp_path / "customers.csv", "--version", "next"),
        *("--type", "AllAtOnce", "--minute", "2", "--output", page, "--json"),
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["promoted"] is True
    assert found["verdict"] == "green"
    assert {finding["about"] for finding in found["findings"]} == {"answers"}
    assert {finding["flips"] for finding in found["findings"]} == {0}
    command = f"infra model add {MODEL} --name purchase-propensity --version"
    assert command in found["next"]  # with the path of `infra`, if it is not on the PATH
    assert found["requests"]["sent"] > 0
    assert found["requests"]["lost"] == found["requests"]["failed"] == 0
    assert found["versions"].keys() == {"1", "2"}
    kinds = [event["kind"] for event in found["events"]]
    assert kinds == ["load", "created", "gate-started", "gate-passed", "promoted"]
    assert "<title>Release rehearsal: model.onnx</title>" in page.read_text()
    assert contract.read_bytes() == before
    assert checkout.list_folders() == []
    # AND no row of the samples is in what was written and printed
    logs = [
        path.read_text()
        for path in (checkout.root / "build/rehearsal/logs").iterdir()
        if path.is_file()
    ]
    shown = "".join([done.stdout, done.stderr, page.read_text(), *logs])
    assert "columns not read: customer" in shown
    assert "Erika" not in shown
    assert "98765.4" not in shown


def test_a_model_with_other_labels_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    onnx.save(with_other_labels(onnx.load(MODEL)), tmp_path / "other.onnx")
    page = tmp_path / "page.html"

    done = checkout.rehearse(
        *(tmp_path / "other.onnx", "--type", "AllAtOnce", "--minute", "2"),
        *("--output", page, "--json"),
    )

    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    assert (found["verdict"], found["promoted"], found["caught"]) == ("red", False, "gate")
    assert "12 of 12 labels (100 %) change" in found["reason"]
    assert found["next"] == ""
    drawn = [one for one in found["findings"] if one["rows"] == 1000 and one["output"] == "label"]
    assert [(one["colour"], one["flips"]) for one in drawn] == [("red", 1)]
    assert "<b>Red. Refused by the gate: it never had traffic</b>" in page.read_text()


def test_a_retrained_model_is_measured_on_labelled_rows(checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.rehearse(
        *(RETRAINED, "--samples", CUSTOMERS, "--target", "bought"),
        *("--type", "AllAtOnce", "--minute", "2", "--output", tmp_path / "page.html", "--json"),
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    [quality] = [finding for finding in found["findings"] if finding["about"] == "quality"]
    assert (quality["target"], quality["rows"]) == ("bought", 50)
    assert [one["figure"] for one in quality["changes"]] == ["auc", "brier", "accuracy"]
    assert quality["colour"] == "green"
    assert "--target bought" in found["next"]


def test_a_model_that_is_worse_on_labelled_rows_is_refused(
    checkout: Checkout, tmp_path: Path
) -> None:
    onnx.save(with_other_labels(onnx.load(MODEL)), tmp_path / "other.onnx")
    page = tmp_path / "page.html"

    done = checkout.rehearse(
        *(tmp_path / "other.onnx", "--samples", CUSTOMERS, "--target", "bought"),
        *("--output", page, "--json"),
    )

    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    assert (found["verdict"], found["caught"]) == ("red", "package")
    assert found["reason"].startswith("worse than version 1 on the same 50 rows: ")
    [quality] = found["findings"]
    assert (quality["about"], quality["colour"]) == ("quality", "red")
    assert "worse" in {one["verdict"] for one in quality["changes"]}
    assert "accuracy" in page.read_text()


def test_a_model_for_other_clients_is_refused_by_the_gate(
    checkout: Checkout, tmp_path: Path
) -> None:
    (tmp_path / "other.onnx").write_bytes(logistic().SerializeToString())

    done = checkout.rehearse(
        tmp_path / "other.onnx", "--minute", "2", "--output", tmp_path / "page.html"
    )

    assert done.returncode == 3, done.stderr
    assert "Refused by the gate: it never had traffic" in done.stdout
    assert "output 'probabilities' is gone" in done.stdout
    assert "0 of 100 saw an error" in done.stdout


def test_a_corrupted_file_is_refused_when_it_is_packaged(
    checkout: Checkout, tmp_path: Path
) -> None:
    content = bytearray(MODEL.read_bytes())
    (tmp_path / "corrupt.onnx").write_bytes(content[: len(content) // 2])

    done = checkout.rehearse(
        tmp_path / "corrupt.onnx", "--output", tmp_path / "page.html", "--json"
    )

    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    assert (found["promoted"], found["caught"]) == (False, "package")
    assert "corrupt.onnx" in found["reason"]
    assert "it was never published" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none.onnx"], 1, "Error: none.onnx is not a file: expected an ONNX model"),
        ([MODEL, "--samples", "none.csv"], 1, "Error: none.csv cannot be read: No such file"),
        (
            [MODEL, "--labels", "a,b,c"],
            2,
            "Error: --labels names 3 columns, and no output has as many",
        ),
        ([MODEL, "--type", "Sudden"], 1, "Error: parameter DeploymentType is Sudden, allowed: "),
    ],
)
def test_a_mistake_of_the_user_is_one_line(
    checkout: Checkout, arguments: list[str | Path], status: int, message: str
) -> None:
    done = checkout.rehearse(*arguments)

    assert done.returncode == status
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parameter", "MaxSlowness=2"], "the template has no parameter MaxSlowness"),
        (["--parameter", "MaxSlowdown"], "is not KEY=VALUE"),
        (["--output", "/proc/page.html"], "cannot be written"),
        (["--output", MODEL / "page.html"], "cannot be written"),
    ],
)
def test_a_usage_error_is_reported_before_the_work(
    checkout: Checkout, arguments: list[str | Path], message: str
) -> None:
    done = checkout.rehearse(MODEL, *arguments)

    assert done.returncode == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())  # it is folded in a box
    assert not done.stdout


def test_a_change_of_the_contract_can_be_rehearsed(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(logistic().SerializeToString())

    done = checkout.rehearse(
        *(tmp_path / "other.onnx", "--parameter", "AllowContractChange=true", "--json"),
        *("--type", "AllAtOnce", "--minute", "2", "--output", tmp_path / "page.html"),
    )

    found = json.loads(done.stdout)
    assert found["caught"] != "gate", found["reason"]


@pytest.mark.parametrize("moment", ["Starting the function", "Gate began"])
def test_ctrl_c_leaves_nothing_behind(checkout: Checkout, moment: str) -> None:
    process = subprocess.Popen(
        [*COMMAND, MODEL], stdout=subprocess.PIPE, text=True, cwd=checkout.root
    )
    with process:
        assert process.stdout
        assert "is the current model, rehearsed against itself" in next(process.stdout)
        for line in process.stdout:
            if moment in line:
                break
        while not checkout.list_folders():
            time.sleep(0.01)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()

        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()

    assert rest.splitlines()[-1] == "Stopped."
    assert process.returncode == 1
    assert checkout.list_folders() == []
    assert not [child for child in children if Path("/proc", child).exists()]
