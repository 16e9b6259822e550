"""How the alias is moved: every argument that AWS gets, and what is never done."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

from infra.account.account import StackChange
from infra.account.errors import AccountError
from infra.account.local import LocalAccount
from infra.cloudwatch.logs import LogEvent
from infra.project import Project
from infra.release.alias import (
    Alias,
    Move,
    PlannedMove,
    Record,
    describe_transition,
    move_alias,
    read_alias,
)
from infra.release.errors import ReleaseError
from infra.release.follow import read_news
from infra.release.gate import GATE_SECONDS, connect_to_gate, read_gate, smoke_test
from infra.release.prune import plan_pruning, prune
from infra.release.resync import plan_resync, take_back
from infra.release.rollback import plan_rollback, roll_back
from infra.release.shift import plan_promotion, plan_shift
from infra.release.target import Target
from infra.release.verdict import Verdict, explain, judge
from infra.release.version import check_ready, identify
from tests.sam_template import parse, properties

NOW = datetime(2026, 11, 22, 15, 0, 0, tzinfo=UTC)
AT = "2026-11-22T15:00:00Z"
TARGET = Target("shop", "shop-fn", "live", "app", "group", "5")
GROUP = {"applicationName": "app", "deploymentGroupName": "group"}
TAKEN_BACK = {"includeOnlyStatuses": ["Failed", "Stopped"]}
RUNNING = {"includeOnlyStatuses": ["Created", "Queued", "InProgress", "Baking", "Ready"]}


@pytest.fixture
def stubs() -> Iterator[Callable[[Any], tuple[Any, Stubber]]]:
    """Make clients that answer only the calls that a test names, in their order, all of them."""
    made = []

    def make(service: Any) -> tuple[Any, Stubber]:
        client: Any = boto3.client(
            service,
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 nobody is asked
        )
        stubber = Stubber(client)
        stubber.activate()
        made.append(stubber)
        return client, stubber

    yield make
    for stubber in made:
        stubber.assert_no_pending_responses()


@pytest.fixture
def functions(stubs: Any) -> Any:
    return stubs("lambda")


@pytest.fixture
def codedeploy(stubs: Any) -> Any:
    return stubs("codedeploy")


def add_alias(
    stub: Stubber,
    version: str,
    weights: dict[str, float] | None = None,
    description: str = "",
    revision: str = "r1",
    provisioned: str = "",
) -> None:
    """Let Lambda tell the alias, and of one with weights the state of what is provisioned."""
    answer: dict[str, Any] = {
        "FunctionVersion": version,
        "RevisionId": revision,
        "Description": description,
    }
    if weights:
        answer["RoutingConfig"] = {"AdditionalVersionWeights": weights}
    stub.add_response("get_alias", answer, {"FunctionName": "shop-fn", "Name": "live"})
    asked = {"FunctionName": "shop-fn", "Qualifier": "live"}
    if weights and provisioned:
        stub.add_response("get_provisioned_concurrency_config", {"Status": provisioned}, asked)
    elif weights:
        stub.add_client_error(
            "get_provisioned_concurrency_config",
            "ProvisionedConcurrencyConfigNotFoundException",
            expected_params=asked,
        )


def add_versions(stub: Stubber, *numbers: str, **fields: Any) -> None:
    versions = [
        {
            "Version": number,
            "LastModified": f"2026-11-{number.removeprefix('$LATEST') or '20':0>2}T10:00:00.0+0000",
            **fields,
        }
        for number in ("$LATEST", *numbers)
    ]
    stub.add_response(
        "list_versions_by_function", {"Versions": versions}, {"FunctionName": "shop-fn"}
    )


def add_answer(
    stub: Stubber,
    version: str,
    body: Any,
    status: int = 200,
    asked: dict[str, Any] | None = None,
    **fields: Any,
) -> None:
    payload = json.dumps({"statusCode": status, "body": json.dumps(body)}).encode()
    add_payload(stub, payload, {"Qualifier": version, **(asked or {})}, **fields)


def add_payload(stub: Stubber, payload: bytes, asked: dict[str, Any], **fields: Any) -> None:
    stream = StreamingBody(io.BytesIO(payload), len(payload))
    expected = {"FunctionName": "shop-fn", "Payload": ANY} | asked
    stub.add_response("invoke", {"StatusCode": 200, "Payload": stream, **fields}, expected)


def add_ready(stub: Stubber, version: str) -> None:
    add_answer(stub, version, {"live": True, "ready": True})


def add_update(stub: Stubber, version: str, weights: dict[str, float], record: str = "") -> None:
    expected: dict[str, Any] = {
        "FunctionName": "shop-fn",
        "Name": "live",
        "FunctionVersion": version,
        "RoutingConfig": {"AdditionalVersionWeights": weights},
        "RevisionId": "r1",
    }
    stub.add_response("update_alias", {}, expected | ({"Description": record} if record else {}))


def add_ids(stub: Stubber, *ids: str, **filters: Any) -> None:
    stub.add_response("list_deployments", {"deployments": list(ids)}, {**GROUP, **filters})


def add_deployment(
    stub: Stubber,
    identity: str,
    status: str,
    current: str,
    target: str,
    *,
    creator: str = "CloudFormation",
    age: int = 0,
    place: str = "appSpecContent",
    reason: str = "",
) -> None:
    properties = {
        "Name": "shop-fn",
        "Alias": "live",
        "CurrentVersion": current,
        "TargetVersion": target,
    }
    function = {"fn": {"Type": "AWS::Lambda::Function", "Properties": properties}}
    content = json.dumps({"version": 0.0, "Resources": [function]})
    info = {
        "deploymentId": identity,
        "status": status,
        "creator": creator,
        "createTime": NOW - timedelta(hours=age),
        "revision": {place: {"content": content}} if place else {},
    }
    if reason:
        info["errorInformation"] = {"message": reason}
        info["rollbackInfo"] = {"rollbackMessage": f"{identity} was rolled back"}
    stub.add_response("get_deployment", {"deploymentInfo": info}, {"deploymentId": identity})


def since(version: str) -> dict[str, Any]:
    start = datetime(2026, 11, int(version), 10, tzinfo=UTC)
    return {"createTimeRange": {"start": start}}


def shift(functions: Any, codedeploy: Any, percent: float, to: str | None = None) -> PlannedMove:
    return plan_shift(functions[0], codedeploy[0], TARGET, percent, to)


# Shift and promote.


def test_shift_gives_the_newest_version_a_share(functions: Any, codedeploy: Any) -> None:
    # GIVEN version 6, published and not served
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "5")
    add_versions(functions[1], "4", "5", "6")
    add_ready(functions[1], "6")
    add_versions(functions[1], "4", "5", "6")
    add_ids(codedeploy[1], **since("6"))
    # WHEN 10 % are shifted
    plan = shift(functions, codedeploy, 10)
    assert plan.text == "Version 6 will get 10 % of the traffic, version 5 will keep 90 %."
    # THEN that is what Lambda is told, and only if nobody moved the alias meanwhile
    add_update(functions[1], "5", {"6": 0.1})
    assert plan.move
    move_alias(functions[0], plan.alias, plan.move)


def test_shift_to_a_named_version_ends_the_share_of_another(
    functions: Any, codedeploy: Any
) -> None:
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "5", {"6": 0.5})
    add_ready(functions[1], "3")
    add_versions(functions[1], "3", "5", "6")
    add_ids(codedeploy[1], **since("3"))
    plan = shift(functions, codedeploy, 20, to="3")
    assert plan.move == Move("5", {"3": 0.2})
    assert plan.text.endswith("version 5 will keep 80 %, version 6 will lose its share.")


def test_shift_warns_of_a_version_whose_release_was_taken_back(
    functions: Any, codedeploy: Any
) -> None:
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "5")
    add_ready(functions[1], "6")
    add_versions(functions[1], "5", "6")
    add_ids(codedeploy[1], "d-1", **since("6"))
    add_deployment(codedeploy[1], "d-1", "Stopped", "5", "6", reason="an alarm rang.")
    plan = shift(functions, codedeploy, 10, to="6")
    assert plan.text.endswith(
        " WARNING: Deployment d-1 of version 6 ended as Stopped: an alarm rang."
    )


def test_shift_warns_of_a_version_that_was_rolled_back(functions: Any, codedeploy: Any) -> None:
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "5", description=f"rolled back from 6 to 5 at {AT}")
    add_ready(functions[1], "6")
    add_versions(functions[1], "5", "6")
    add_ids(codedeploy[1], **since("6"))
    plan = shift(functions, codedeploy, 10, to="6")
    assert plan.text.endswith(f" WARNING: version 6 was taken back at {AT}.")


def test_shift_0_takes_the_share_back(functions: Any, codedeploy: Any) -> None:
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "5", {"6": 0.5})
    assert shift(functions, codedeploy, 0).move == Move("5")


def test_shift_0_without_a_share_changes_nothing(functions: Any, codedeploy: Any) -> None:
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "5")
    assert shift(functions, codedeploy, 0).move is None


def test_shift_refuses_a_version_that_does_not_answer(functions: Any, codedeploy: Any) -> None:
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "5")
    add_payload(
        functions[1],
        b'{"errorType": "Runtime.ImportModuleError"}',
        {"Qualifier": "6"},
        FunctionError="Unhandled",
    )
    with pytest.raises(ReleaseError, match=r"version 6 does not answer: .*ImportModuleError"):
        shift(functions, codedeploy, 10, to="6")


def test_shift_refuses_a_version_that_there_is_not(functions: Any, codedeploy: Any) -> None:
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "5")
    functions[1].add_client_error("invoke", "ResourceNotFoundException")
    with pytest.raises(ReleaseError, match="there is no version 9 of shop-fn"):
        shift(functions, codedeploy, 10, to="9")


def test_shift_refuses_the_version_that_keeps_the_rest(functions: Any, codedeploy: Any) -> None:
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "5")
    with pytest.raises(ReleaseError, match="version 5 is the alias' own"):
        shift(functions, codedeploy, 10, to="5")


def test_shift_needs_another_version(functions: Any, codedeploy: Any) -> None:
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "5")
    add_versions(functions[1], "5")
    with pytest.raises(ReleaseError, match="version 5 is the only one of shop-fn"):
        shift(functions, codedeploy, 10)


def test_promote_gives_the_shared_version_everything(functions: Any, codedeploy: Any) -> None:
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "5", {"6": 0.1})
    plan = plan_promotion(functions[0], codedeploy[0], TARGET, NOW)
    assert plan.move
    add_update(functions[1], "6", {}, f"promoted from 5 to 6 at {AT}")
    move_alias(functions[0], plan.alias, plan.move)


def test_promote_needs_a_share(functions: Any, codedeploy: Any) -> None:
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "5")
    with pytest.raises(ReleaseError, match="version 5 has all traffic: there is nothing to"):
        plan_promotion(functions[0], codedeploy[0], TARGET, NOW)


@pytest.mark.parametrize("creator", ["CloudFormation", "codeDeployRollback"])
def test_nobody_moves_the_alias_while_codedeploy_does(
    functions: Any, codedeploy: Any, creator: str
) -> None:
    plans: list[Callable[[], object]] = [
        lambda: shift(functions, codedeploy, 10),
        lambda: plan_promotion(functions[0], codedeploy[0], TARGET, NOW),
        lambda: plan_resync(functions[0], codedeploy[0], TARGET),
        lambda: plan_pruning(functions[0], codedeploy[0], TARGET, "UPDATE_COMPLETE", 5),
    ]
    for plan in plans:
        add_ids(codedeploy[1], "d-1", **RUNNING)
        add_deployment(codedeploy[1], "d-1", "InProgress", "5", "6", creator=creator)
        with pytest.raises(ReleaseError, match=r"d-1 of version 6 is in progress \(InProgress\)"):
            plan()


def test_somebody_else_was_faster(functions: Any) -> None:
    functions[1].add_client_error("update_alias", "PreconditionFailedException")
    alias = Alias("shop-fn", "live", "5", {}, "", "r1")
    with pytest.raises(ReleaseError, match="somebody else has moved live meanwhile"):
        move_alias(functions[0], alias, Move("6"))


def test_an_alias_that_there_is_not(functions: Any) -> None:
    functions[1].add_client_error("get_alias", "ResourceNotFoundException")
    with pytest.raises(ReleaseError, match="there is no alias live of shop-fn in eu-west-1"):
        read_alias(functions[0], "shop-fn", "live")


# A release in progress.


def test_each_step_of_a_release_is_told_once(functions: Any, codedeploy: Any) -> None:
    # GIVEN nothing yet; the gate; 10 %, seen twice; the way back; the end
    looks: list[tuple[str, dict[str, float]]] = [
        *(("", {}), ("CloudFormation", {}), ("CloudFormation", {"6": 0.1})),
        *(("CloudFormation", {"6": 0.1}), ("codeDeployRollback", {"6": 0.1}), ("", {})),
    ]
    for creator, weights in looks:
        add_ids(codedeploy[1], *(["d-1"] if creator else []), **RUNNING)
        if creator:
            add_deployment(codedeploy[1], "d-1", "InProgress", "5", "6", creator=creator)
            add_alias(functions[1], "5", weights)
    # WHEN it is looked at THEN what is new is told
    news = read_news(functions[0], codedeploy[0], TARGET, "Canary10Percent10Minutes", lambda: NOW)
    assert [next(news) for _ in looks] == [
        "",
        "Deployment d-1 of version 6: the gate tries it first.",
        "The gate has passed: 10 % of the requests go to version 6 until about 15:10:00 UTC.",
        *("", "", ""),
    ]


def test_what_cloudformation_refuses_is_told_in_its_own_words(stubs: Any, tmp_path: Path) -> None:
    client, stub = stubs("cloudformation")
    stub.add_client_error("update_stack", "ValidationError", "Rate must be a number")
    session: Any = SimpleNamespace(client=lambda _: client)
    template = tmp_path / "template.yaml"
    template.write_text("{}")
    with pytest.raises(AccountError) as raised:
        LocalAccount(Project(tmp_path), "default", session).apply(
            StackChange("shop", template, {}, declared=(), deployed=())
        )
    assert str(raised.value).startswith("CloudFormation refuses the update: Rate must be a number")


# Roll back.


def test_a_release_in_progress_is_stopped_and_taken_back(functions: Any, codedeploy: Any) -> None:
    # GIVEN a canary
    add_alias(functions[1], "5", {"6": 0.1})
    add_ids(codedeploy[1], "d-1", **RUNNING)
    add_deployment(codedeploy[1], "d-1", "InProgress", "5", "6")
    plan = plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)
    assert "Deployment d-1 of version 6 will be stopped" in plan.text
    # WHEN it is rolled back THEN CodeDeploy takes it back, and it is waited until that is done
    stopping = {"deploymentId": "d-1", "autoRollbackEnabled": True}
    codedeploy[1].add_response("stop_deployment", {"status": "Pending"}, stopping)
    add_alias(functions[1], "5", {"6": 0.1})
    add_alias(functions[1], "5")
    waits: list[None] = []
    roll_back(functions[0], codedeploy[0], TARGET, plan, lambda: waits.append(None))
    assert len(waits) == 1


@pytest.mark.parametrize("place", ["string", ""])
def test_a_release_is_stopped_however_codedeploy_tells_what_it_is(
    functions: Any, codedeploy: Any, place: str
) -> None:
    # GIVEN a deployment whose AppSpec is in another place, or in none that is known
    add_alias(functions[1], "4", {"5": 0.1})
    add_ids(codedeploy[1], "d-1", **RUNNING)
    add_deployment(codedeploy[1], "d-1", "InProgress", "4", "5", place=place)
    # WHEN / THEN it leads back to the version that has most of the traffic
    plan = plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)
    assert plan.version == "4"
    assert "traffic back to version 4, and" in plan.text
    unknown = "an unknown version (its revision of type unknown holds no AppSpec)"
    assert plan.text.startswith(f"Deployment d-1 of {'version 5' if place else unknown} will be")


def test_a_release_in_progress_leads_back_to_one_version_only(
    functions: Any, codedeploy: Any
) -> None:
    add_alias(functions[1], "5", {"6": 0.1})
    add_ids(codedeploy[1], "d-1", **RUNNING)
    add_deployment(codedeploy[1], "d-1", "InProgress", "5", "6")
    with pytest.raises(ReleaseError, match="leads back to version 5, not 3"):
        plan_rollback(functions[0], codedeploy[0], TARGET, "3", NOW)


def test_a_rollback_in_progress_is_not_stopped(functions: Any, codedeploy: Any) -> None:
    add_alias(functions[1], "5", {"6": 0.1})
    add_ids(codedeploy[1], "d-2", **RUNNING)
    add_deployment(codedeploy[1], "d-2", "Created", "6", "5", creator="codeDeployRollback")
    plan = plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)
    assert plan.is_done
    assert "d-2 is taking the traffic back already" in plan.text


def test_a_release_that_ends_just_then_is_told(functions: Any, codedeploy: Any) -> None:
    add_alias(functions[1], "5", {"6": 0.1})
    add_ids(codedeploy[1], "d-1", **RUNNING)
    add_deployment(codedeploy[1], "d-1", "InProgress", "5", "6")
    plan = plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)
    codedeploy[1].add_client_error("stop_deployment", "DeploymentAlreadyCompletedException")
    with pytest.raises(ReleaseError, match="d-1 has just ended by itself"):
        roll_back(functions[0], codedeploy[0], TARGET, plan)


def test_an_alias_that_does_not_come_back_is_told(
    functions: Any, codedeploy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_alias(functions[1], "5", {"6": 0.1})
    add_ids(codedeploy[1], "d-1", **RUNNING)
    add_deployment(codedeploy[1], "d-1", "InProgress", "5", "6")
    plan = plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)
    codedeploy[1].add_response("stop_deployment", {"status": "Pending"})
    add_alias(functions[1], "5", {"6": 0.1})
    monkeypatch.setattr("infra.release.rollback.PATIENCE_SECONDS", -1)
    with pytest.raises(ReleaseError, match=r"still not back on version 5 .*5: 90 %, 6: 10 %"):
        roll_back(functions[0], codedeploy[0], TARGET, plan)


def test_a_share_given_by_hand_is_taken_back(functions: Any, codedeploy: Any) -> None:
    add_alias(functions[1], "5", {"6": 0.1})
    add_ids(codedeploy[1], **RUNNING)
    plan = plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)
    add_update(functions[1], "5", {})
    add_alias(functions[1], "5")
    assert roll_back(functions[0], codedeploy[0], TARGET, plan) >= 0


def test_after_a_promotion_the_version_before_comes_back(functions: Any, codedeploy: Any) -> None:
    # GIVEN a history in no order: an older release of version 5, one that failed, and a rollback
    # of CloudFormation's whose "current" is the orphan of a failed release
    add_alias(functions[1], "5")
    add_ids(codedeploy[1], **RUNNING)
    add_versions(functions[1], "2", "3", "4", "5")
    add_ids(codedeploy[1], "d-3", "d-1", "d-2", **since("5"))
    add_deployment(codedeploy[1], "d-3", "Succeeded", "3", "5", age=3)
    rollback = "CloudFormationRollback"
    add_deployment(codedeploy[1], "d-1", "Succeeded", "6", "5", age=1, creator=rollback)
    add_deployment(codedeploy[1], "d-2", "Succeeded", "2", "5", age=9)
    add_ready(functions[1], "3")
    plan = plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)
    assert plan.text == "Version 3 will get all traffic at once, version 5 none."
    # WHEN it is rolled back THEN the alias tells from where, to where and when
    add_update(functions[1], "3", {}, f"rolled back from 5 to 3 at {AT}")
    add_alias(functions[1], "3")
    roll_back(functions[0], codedeploy[0], TARGET, plan)


def test_never_back_to_a_version_that_was_rolled_back_itself(
    functions: Any, codedeploy: Any
) -> None:
    # GIVEN 4 rolled back to 3, a resync, and then 5 released over 4
    add_alias(functions[1], "5", description=f"rolled back from 4 to 3 at {AT}")
    add_ids(codedeploy[1], **RUNNING)
    add_versions(functions[1], "3", "4", "5")
    add_ids(codedeploy[1], "d-1", **since("5"))
    add_deployment(codedeploy[1], "d-1", "Succeeded", "4", "5")
    add_ready(functions[1], "3")
    plan = plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)
    assert plan.move == Move("3", record=Record("rolled back", "5", "3", AT))


def test_a_promotion_by_hand_tells_the_version_before(functions: Any, codedeploy: Any) -> None:
    add_alias(functions[1], "6", description=f"promoted from 5 to 6 at {AT}")
    add_ids(codedeploy[1], **RUNNING)
    add_versions(functions[1], "5", "6")
    add_ids(codedeploy[1], **since("6"))
    add_ready(functions[1], "5")
    plan = plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)
    assert plan.version == "5"


# Provisioned concurrency: until its environments are there, Lambda itself gives weights.


@pytest.mark.parametrize("provisioned", ["IN_PROGRESS", "FAILED"])
def test_weights_of_lambdas_own_are_no_share_to_take_back(
    functions: Any, codedeploy: Any, provisioned: str
) -> None:
    # GIVEN version 5, just released and bad, for which environments are being provisioned
    add_alias(functions[1], "5", {"4": 1.0}, provisioned=provisioned)
    add_ids(codedeploy[1], **RUNNING)
    add_versions(functions[1], "4", "5")
    add_ids(codedeploy[1], "d-1", **since("5"))
    add_deployment(codedeploy[1], "d-1", "Succeeded", "4", "5")
    add_ready(functions[1], "4")
    # WHEN it is rolled back THEN it goes to the version before, not all the way to the bad one
    plan = plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)
    assert plan.move == Move("4", record=Record("rolled back", "5", "4", AT))
    # AND no weights are asked for, and those that Lambda gives are no failure
    add_update(functions[1], "4", {}, f"rolled back from 5 to 4 at {AT}")
    add_alias(functions[1], "4", {"5": 1.0}, provisioned=provisioned)
    roll_back(functions[0], codedeploy[0], TARGET, plan)


def test_nobody_moves_an_alias_in_transition_by_hand(functions: Any, codedeploy: Any) -> None:
    plans: list[Callable[[], object]] = [
        lambda: shift(functions, codedeploy, 10),
        lambda: shift(functions, codedeploy, 0),
        lambda: plan_promotion(functions[0], codedeploy[0], TARGET, NOW),
    ]
    for plan in plans:
        add_ids(codedeploy[1], **RUNNING)
        add_alias(functions[1], "5", {"4": 1.0}, provisioned="IN_PROGRESS")
        with pytest.raises(ReleaseError, match=r"live is in transition to version 5 .* try again"):
            plan()


def test_a_resync_in_transition_is_done(functions: Any, codedeploy: Any) -> None:
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "5", {"4": 1.0}, provisioned="IN_PROGRESS")
    plan = plan_resync(functions[0], codedeploy[0], TARGET)
    assert plan.move is None
    assert "live is in transition to version 5" in plan.text


def test_a_failure_to_provision_is_told_with_the_way_out() -> None:
    alias = Alias("shop-fn", "live", "5", {"4": 1.0}, "", "r1", "FAILED")
    assert describe_transition(alias) == (
        "live is in transition to version 5 (provisioned concurrency: FAILED), and until its "
        "environments are ready version 4 has 100 %. They cannot start: `infra rollback`, or "
        "`aws lambda delete-provisioned-concurrency-config --function-name shop-fn "
        "--qualifier live`."
    )


def test_what_may_not_be_asked_is_no_transition(functions: Any) -> None:
    routing = {"AdditionalVersionWeights": {"6": 0.1}}
    answer = {"FunctionVersion": "5", "RevisionId": "r1", "RoutingConfig": routing}
    functions[1].add_response("get_alias", answer)
    functions[1].add_client_error("get_provisioned_concurrency_config", "AccessDeniedException")
    assert not read_alias(functions[0], "shop-fn", "live").transition


def test_history_that_does_not_tell_asks(functions: Any, codedeploy: Any) -> None:
    # GIVEN only an orphan of a failed release besides the version that serves
    add_alias(functions[1], "1")
    add_ids(codedeploy[1], **RUNNING)
    add_versions(functions[1], "1", "2")
    add_ids(codedeploy[1], **since("1"))
    add_versions(functions[1], "1", "2")
    add_ids(codedeploy[1], **TAKEN_BACK)
    with pytest.raises(ReleaseError, match="which version served before 1; and there is none bef"):
        plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)


def test_where_history_is_silent_a_person_chooses_and_is_told_how(
    functions: Any, codedeploy: Any
) -> None:
    # GIVEN version 4, which a deployment took back, and no deployment of version 5
    add_alias(functions[1], "5")
    add_ids(codedeploy[1], **RUNNING)
    add_versions(functions[1], "3", "4", "5", "6")
    add_ids(codedeploy[1], **since("5"))
    add_versions(functions[1], "3", "4", "5", "6")
    add_ids(codedeploy[1], "d-1", **TAKEN_BACK)
    add_deployment(codedeploy[1], "d-1", "Stopped", "3", "4")
    # WHEN / THEN
    with pytest.raises(ReleaseError) as raised:
        plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)
    assert str(raised.value) == (
        "no deployment says which version served before 5; the newest before it that was not taken "
        "back is 3: `infra rollback --to 3`"
    )


def test_a_release_whose_versions_cannot_be_read_hides_the_one_before(
    functions: Any, codedeploy: Any
) -> None:
    # GIVEN a release whose AppSpec is in S3, after one from 3 to 5
    add_alias(functions[1], "5")
    add_ids(codedeploy[1], **RUNNING)
    add_versions(functions[1], "3", "4", "5")
    add_ids(codedeploy[1], "d-1", "d-2", **since("5"))
    add_deployment(codedeploy[1], "d-1", "Succeeded", "3", "5", age=9)
    add_deployment(codedeploy[1], "d-2", "Succeeded", "", "", place="")
    add_versions(functions[1], "3", "4", "5")
    add_ids(codedeploy[1], **TAKEN_BACK)
    # WHEN / THEN
    with pytest.raises(ReleaseError, match=r"d-2 \(its revision .* no AppSpec\) does not say"):
        plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)


def test_the_only_version_cannot_be_rolled_back(functions: Any, codedeploy: Any) -> None:
    add_alias(functions[1], "1")
    add_ids(codedeploy[1], **RUNNING)
    add_versions(functions[1], "1")
    add_ids(codedeploy[1], **since("1"))
    add_versions(functions[1], "1")
    with pytest.raises(ReleaseError, match="there is only version 1, nothing to go back to"):
        plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)


def test_a_rollback_is_done_once(functions: Any, codedeploy: Any) -> None:
    add_alias(functions[1], "4", description=f"rolled back from 5 to 4 at {AT}")
    add_ids(codedeploy[1], **RUNNING)
    add_versions(functions[1], "3", "4", "5")
    add_ids(codedeploy[1], "d-1", "d-2", **since("4"))
    add_deployment(codedeploy[1], "d-1", "Succeeded", "3", "4", age=9)
    add_deployment(codedeploy[1], "d-2", "Succeeded", "4", "5", age=2)
    plan = plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)
    assert plan.is_done
    assert plan.text == (
        f"Version 4 has all traffic: rolled back from 5 to 4 at {AT}. "
        "To go further back: `infra rollback --to 3`"
    )


@pytest.mark.parametrize("status", ["Stopped", "Failed"])
def test_a_release_that_codedeploy_took_back_is_not_rolled_back_twice(
    functions: Any, codedeploy: Any, status: str
) -> None:
    add_alias(functions[1], "4")
    add_ids(codedeploy[1], **RUNNING)
    add_versions(functions[1], "3", "4", "5")
    add_ids(codedeploy[1], "d-1", "d-2", **since("4"))
    add_deployment(codedeploy[1], "d-1", "Succeeded", "3", "4", age=9)
    add_deployment(codedeploy[1], "d-2", status, "4", "5", age=2)
    plan = plan_rollback(functions[0], codedeploy[0], TARGET, None, NOW)
    assert plan.is_done
    assert f"d-2 of version 5 ended as {status}. To go further back" in plan.text


def test_a_version_that_is_named_must_answer(functions: Any, codedeploy: Any) -> None:
    add_alias(functions[1], "5")
    add_ids(codedeploy[1], **RUNNING)
    add_answer(functions[1], "3", {"error": "no"}, status=503)
    with pytest.raises(ReleaseError, match="version 3 answers /v2/health/ready with status 503"):
        plan_rollback(functions[0], codedeploy[0], TARGET, "3", NOW)


def test_back_to_the_version_that_serves_is_nothing_to_do(functions: Any, codedeploy: Any) -> None:
    add_alias(functions[1], "5")
    add_ids(codedeploy[1], **RUNNING)
    assert plan_rollback(functions[0], codedeploy[0], TARGET, "5", NOW).is_done


# Resync, and its undoing.


def test_resync_follows_cloudformation_and_says_what_that_means(
    functions: Any, codedeploy: Any
) -> None:
    record = f"rolled back from 5 to 4 at {AT}"
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "4", description=record)
    plan = plan_resync(functions[0], codedeploy[0], TARGET)
    assert plan.text.startswith(f"Version 5, which was taken back at {AT}, will get ALL traffic")
    # THEN the record stays, so that a later rollback does not go to version 5
    assert plan.move
    add_update(functions[1], "5", {})
    move_alias(functions[0], plan.alias, plan.move)


def test_resync_has_nothing_to_do_where_all_agree(functions: Any, codedeploy: Any) -> None:
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "5")
    assert plan_resync(functions[0], codedeploy[0], TARGET).move is None


def test_a_deploy_that_fails_after_a_resync_gives_the_traffic_back(
    functions: Any, codedeploy: Any
) -> None:
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "5")
    add_update(functions[1], "4", {}, f"rolled back from 5 to 4 at {AT}")
    take_back(functions[0], codedeploy[0], TARGET, "4", NOW)


def test_a_resync_is_not_undone_where_somebody_has_moved_on(
    functions: Any, codedeploy: Any
) -> None:
    add_ids(codedeploy[1], **RUNNING)
    add_alias(functions[1], "6")
    with pytest.raises(ReleaseError, match="live is on version 6, and somebody has moved it"):
        take_back(functions[0], codedeploy[0], TARGET, "4", NOW)


def test_a_resync_is_not_undone_while_codedeploy_works(functions: Any, codedeploy: Any) -> None:
    add_ids(codedeploy[1], "d-1", **RUNNING)
    add_deployment(codedeploy[1], "d-1", "InProgress", "5", "6")
    add_alias(functions[1], "5")
    with pytest.raises(ReleaseError, match=r"d-1 is in progress: .* `infra rollback --to 4`"):
        take_back(functions[0], codedeploy[0], TARGET, "4", NOW)


# What became of a deploy.


@pytest.mark.parametrize(
    ("state", "stack_version", "exit_status", "verdict"),
    [
        ("Succeeded", "6", 0, Verdict("promoted", "6", "d-2", status="Succeeded")),
        # only SAM CLI was interrupted
        ("Succeeded", "6", 1, Verdict("promoted", "6", "d-2", status="Succeeded")),
        ("Failed", "5", 1, Verdict("rolled back", "5", "d-2", status="Failed")),
        ("Stopped", "5", 1, Verdict("rolled back", "5", "d-2", status="Stopped")),
        (
            "Succeeded",
            "5",
            1,
            Verdict(
                "rolled back",
                "5",
                "d-2",
                "the stack's update failed after it: what CloudFormation says is above",
                "Succeeded",
            ),
        ),
    ],
)
def test_a_deploy_is_judged_by_its_deployment_and_the_stack(
    codedeploy: Any, state: str, stack_version: str, exit_status: int, verdict: Verdict
) -> None:
    # GIVEN a release since the deploy began, whose way back is newer
    add_ids(codedeploy[1], "d-1", "d-2", "d-3")
    for identity, status, creator, age in (
        ("d-2", state, "CloudFormation", 1),
        ("d-3", "Succeeded", "codeDeployRollback", 0),
    ):
        add_deployment(codedeploy[1], identity, status, "5", "6", creator=creator, age=age)
    # WHEN / THEN
    target = replace(TARGET, stack_version=stack_version)
    assert judge(codedeploy[0], target, ["d-1"], exit_status) == verdict


def test_a_deploy_that_stops_watching_does_not_say_how_it_ended(codedeploy: Any) -> None:
    add_ids(codedeploy[1], "d-2")
    add_deployment(codedeploy[1], "d-2", "InProgress", "5", "6")
    with pytest.raises(ReleaseError, match="exit status 1 while deployment d-2 of version 6 is in"):
        judge(codedeploy[0], TARGET, [], 1)


@pytest.mark.parametrize(
    ("status", "reason"), [("Failed", "version 6 refused: wrong sha256"), ("Stopped", "an alarm")]
)
def test_only_a_deployment_that_failed_ended_by_the_gate(status: str, reason: str) -> None:
    """A gate that is still at work when a person stops the release speaks too late."""
    verdict = Verdict("rolled back", "5", "d-2", "an alarm", status)
    assert explain(verdict, "version 6 refused: wrong sha256").reason == reason


def test_a_failed_deploy_of_unknown_versions_says_so(codedeploy: Any) -> None:
    add_ids(codedeploy[1], "d-2")
    add_deployment(codedeploy[1], "d-2", "Succeeded", "", "", place="")
    with pytest.raises(ReleaseError, match=r"d-2 of an unknown version .* See `infra"):
        judge(codedeploy[0], TARGET, [], 1)


def test_a_deploy_without_a_release_is_none(codedeploy: Any) -> None:
    add_ids(codedeploy[1], "d-1")
    assert judge(codedeploy[0], TARGET, ["d-1"], 0) == Verdict("unchanged", "5")


# What versions and the gate say.


class _OfTheGate:
    """Equals every event of the lane that no metric counts."""

    def __eq__(self, payload: object) -> bool:
        return bool(json.loads(str(payload))["requestContext"].get("lane") == "gate")

    __hash__ = None  # type: ignore[assignment]


def test_a_question_to_a_version_is_no_request_of_a_caller(functions: Any) -> None:
    add_answer(functions[1], "5", {"ready": True}, asked={"Payload": _OfTheGate()})
    check_ready(functions[0], "shop-fn", "5")
    functions[1].assert_no_pending_responses()


def test_a_version_tells_its_model(functions: Any) -> None:
    add_answer(functions[1], "5", {"models": ["propensity"]})
    metadata = {"name": "propensity", "versions": ["3"], "properties": {"sha256": "ab"}}
    add_answer(functions[1], "5", metadata)
    identity = identify(functions[0], "shop-fn", "5")
    assert (identity.model, identity.model_version, identity.sha256) == ("propensity", "3", "ab")
    assert not identity.error


@pytest.mark.parametrize("body", [{"models": []}, {"ready": True}, ["models"]])
def test_a_version_that_answers_otherwise_is_shown_as_such(functions: Any, body: Any) -> None:
    add_answer(functions[1], "5", body)
    assert "version 5 answers" in identify(functions[0], "shop-fn", "5").error


def test_a_version_that_is_throttled_is_shown_as_such(functions: Any) -> None:
    functions[1].add_client_error("invoke", "TooManyRequestsException")
    assert "version 5 cannot be asked" in identify(functions[0], "shop-fn", "5").error


def test_a_version_that_is_not_ready_gets_no_traffic(functions: Any) -> None:
    add_answer(functions[1], "5", {"ready": False})
    with pytest.raises(ReleaseError, match="version 5 is not ready"):
        check_ready(functions[0], "shop-fn", "5")


@pytest.mark.parametrize(
    ("payload", "fields", "message"),
    [
        ({"status": "Failed", "reason": "wrong sha256", "version": "1", "checks": 1}, {}, "sha256"),
        (
            {"errorType": "Sandbox.Timedout"},
            {"FunctionError": "Unhandled"},
            r"its gate fails: Sandbox.Timedout \(",
        ),
        (
            {"errorType": "E", "errorMessage": "two\nlines", "stackTrace": ["app.py"]},
            {"FunctionError": "Unhandled"},
            r"its gate fails: E: two lines \(",
        ),
        ("none", {"FunctionError": "Unhandled"}, r"its gate fails: the invocation failed \("),
    ],
)
def test_a_smoke_test_that_fails(functions: Any, payload: Any, fields: Any, message: str) -> None:
    add_payload(functions[1], json.dumps(payload).encode(), {}, **fields)
    with pytest.raises(ReleaseError, match=message):
        smoke_test(functions[0], "shop-fn")


def test_a_smoke_test_that_passes(functions: Any) -> None:
    verdict = {"status": "Succeeded", "reason": "", "version": "1", "checks": 13}
    add_payload(functions[1], json.dumps(verdict).encode(), {"Payload": "{}"})
    assert smoke_test(functions[0], "shop-fn") == verdict


PASSED = {"level": "WARNING", "message": "version 6 passed; look", "checks": 25}
REFUSED = {"level": "ERROR", "message": "version 6 refused: slow", "checks": 3}


@pytest.mark.parametrize(
    ("looks", "levels", "said", "waits"),
    [
        ([[PASSED]], {"WARNING"}, "version 6 passed; look", 0),
        ([[], [], [REFUSED]], {"ERROR"}, "version 6 refused: slow", 2),
        ([[], [PASSED]], {"ERROR"}, "", 1),  # it has spoken, and did not refuse
        ([[{"level": "ERROR", "message": "no module"}]], {"ERROR"}, "no module", 0),
        ([[{"level": "INFO", "message": "INIT_START"}]] * 10, {"ERROR"}, "", 9),
    ],
)
def test_what_the_gate_said_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, looks: list[Any], levels: set[str], said: str, waits: int
) -> None:
    # GIVEN a log that is late
    pauses: list[float] = []
    found = iter(looks)
    monkeypatch.setattr("infra.release.gate.list_gate_logs", lambda *_: ["/aws/lambda/a-gate"])
    monkeypatch.setattr("infra.release.gate.time.sleep", pauses.append)
    monkeypatch.setattr(
        "infra.release.gate.read",
        lambda *_: [
            LogEvent(str(i), 0, "", json.dumps(line)) for i, line in enumerate(next(found))
        ],
    )
    stack: Any = SimpleNamespace(session=SimpleNamespace(client=lambda _: None))
    assert read_gate(stack, NOW, levels) == said
    assert len(pauses) == waits


def test_a_stack_without_a_gate_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.release.gate.list_gate_logs", lambda *_: [])
    stack: Any = SimpleNamespace(session=SimpleNamespace(client=lambda _: None))
    assert read_gate(stack, NOW, {"ERROR"}) == ""


def test_a_smoke_test_waits_as_long_as_the_gate_may_take() -> None:
    # GIVEN
    session = boto3.Session("test", "test", region_name="eu-west-1")

    # WHEN
    config: Any = connect_to_gate(session).meta.config

    # THEN; a second call would run everything once more
    assert config.read_timeout == GATE_SECONDS > properties(parse(), "GateFunction")["Timeout"]
    assert config.retries["total_max_attempts"] == 1


# Prune.


def add_aliases(stub: Stubber) -> None:
    aliases = [
        {"Name": "live", "FunctionVersion": "5"},
        {
            "Name": "team",
            "FunctionVersion": "2",
            "RoutingConfig": {"AdditionalVersionWeights": {"1": 0.5}},
        },
    ]
    stub.add_response("list_aliases", {"Aliases": aliases}, {"FunctionName": "shop-fn"})


def test_prune_keeps_what_anything_needs(functions: Any, codedeploy: Any) -> None:
    # GIVEN seven versions: 5 serves after 4, and another alias needs 1 and 2
    add_ids(codedeploy[1], **RUNNING)
    layers = [{"Arn": "arn:aws:lambda:eu-west-1:1:layer:model:7"}]
    add_versions(
        functions[1], *"1234567", Layers=layers, SnapStart={"ApplyOn": "PublishedVersions"}
    )
    add_alias(functions[1], "5")
    add_versions(functions[1], *"1234567")
    add_ids(codedeploy[1], "d-1", **since("5"))
    add_deployment(codedeploy[1], "d-1", "Succeeded", "4", "5")
    add_aliases(functions[1])
    functions[1].add_response("get_function_configuration", {}, {"FunctionName": "shop-fn"})
    # WHEN one version is to be kept
    plan = plan_pruning(functions[0], codedeploy[0], TARGET, "UPDATE_COMPLETE", 1)
    # THEN only those go that nothing needs, and each says why it stays
    assert plan.versions == ("3", "6")
    assert plan.snap_start == 2
    assert plan.layers == ()  # the versions that stay use the same
    assert plan.kept == {
        "1": "alias team refers to it",
        "2": "alias team refers to it",
        "4": "a rollback would go to it",
        "5": "alias live refers to it",
    }
    for number in plan.versions:
        expected = {"FunctionName": "shop-fn", "Qualifier": number}
        functions[1].add_response("delete_function", {}, expected)
    prune(functions[0], TARGET, plan)


@pytest.mark.parametrize("history", ["none", "deleted", "unreadable"])
def test_prune_keeps_the_version_before_where_history_is_silent(
    functions: Any, codedeploy: Any, history: str
) -> None:
    # GIVEN version 5 serves, 4 was taken back, and nothing says that 3 served before, or it says
    # that a version did which is gone
    add_ids(codedeploy[1], **RUNNING)
    add_versions(functions[1], *"23456")
    add_alias(functions[1], "5")
    add_versions(functions[1], *"23456")
    add_ids(codedeploy[1], *([] if history == "none" else ["d-2"]), **since("5"))
    if history != "none":
        place = "" if history == "unreadable" else "appSpecContent"
        add_deployment(codedeploy[1], "d-2", "Succeeded", "1", "5", place=place)
    add_ids(codedeploy[1], "d-1", **TAKEN_BACK)
    add_deployment(codedeploy[1], "d-1", "Failed", "3", "4")
    functions[1].add_response(
        "list_aliases",
        {"Aliases": [{"Name": "live", "FunctionVersion": "5"}]},
        {"FunctionName": "shop-fn"},
    )
    functions[1].add_response("get_function_configuration", {}, {"FunctionName": "shop-fn"})
    # WHEN / THEN
    plan = plan_pruning(functions[0], codedeploy[0], TARGET, "UPDATE_COMPLETE", 1)
    assert plan.versions == ("2", "4")
    assert "no deployment says which version served before 5" in plan.kept["3"]


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_FAILED", "UPDATE_IN_PROGRESS"])
def test_prune_waits_for_a_stack_that_may_need_every_version(
    functions: Any, codedeploy: Any, status: str
) -> None:
    with pytest.raises(ReleaseError, match=f"stack shop is {status}"):
        plan_pruning(functions[0], codedeploy[0], TARGET, status, 5)
