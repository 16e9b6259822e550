"""How the alias is moved: what Lambda and CodeDeploy are sent, and what is never done."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber
from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.responses import LambdaResponse

from infra.account.account import StackChange
from infra.account.errors import AccountError
from infra.account.local import LocalAccount
from infra.cloudwatch.logs import LogEvent
from infra.local.control.patches import patched
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
from infra.release.prune import Pruning, plan_pruning, prune
from infra.release.resync import plan_resync, take_back
from infra.release.rollback import Rollback, plan_rollback, roll_back
from infra.release.shift import plan_promotion, plan_shift
from infra.release.verdict import Verdict, explain, judge
from infra.release.version import check_ready, identify
from tests.release_cloud import NOW, TARGET, Shop, open_shop
from tests.sam_template import parse, properties

AT = "2026-11-22T15:00:00Z"
READY = "/v2/health/ready"


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


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


def plan_to_shift(shop: Shop, percent: float, to: str | None = None) -> PlannedMove:
    return plan_shift(shop.functions, shop.codedeploy, TARGET, percent, to)


def plan_to_promote(shop: Shop) -> PlannedMove:
    return plan_promotion(shop.functions, shop.codedeploy, TARGET, NOW)


def plan_to_resync(shop: Shop) -> PlannedMove:
    return plan_resync(shop.functions, shop.codedeploy, TARGET)


def plan_to_roll_back(shop: Shop, to: str | None = None) -> Rollback:
    return plan_rollback(shop.functions, shop.codedeploy, TARGET, to, NOW)


def plan_to_prune(shop: Shop, keep: int = 5, status: str = "UPDATE_COMPLETE") -> Pruning:
    return plan_pruning(shop.functions, shop.codedeploy, TARGET, status, keep)


def move(shop: Shop, plan: PlannedMove) -> None:
    """Carry a plan out, while nobody else has moved the alias."""
    assert plan.move
    revision = plan.alias.revision
    move_alias(shop.functions, plan.alias, plan.move)
    [change] = shop.changes
    assert change["RevisionId"] == revision
    assert "RoutingConfig" in change  # or Lambda adds weights of its own


# Shift and promote.


def test_shift_gives_the_newest_version_a_share(shop: Shop) -> None:
    # GIVEN version 6, published and not served
    shop.publish("4", "5", "6")
    shop.point("5")
    # WHEN 10 % are shifted
    plan = plan_to_shift(shop, 10)
    assert plan.text == "Version 6 will get 10 % of the traffic, version 5 will keep 90 %."
    assert shop.asked == [("6", READY)]
    # THEN that is what Lambda is told
    move(shop, plan)
    assert shop.alias() == ("5", {"6": 0.1}, "")


def test_shift_to_a_named_version_ends_the_share_of_another(shop: Shop) -> None:
    shop.publish("3", "5", "6")
    shop.point("5", {"6": 0.5})
    plan = plan_to_shift(shop, 20, to="3")
    assert plan.text.endswith("version 5 will keep 80 %, version 6 will lose its share.")
    move(shop, plan)
    assert shop.alias() == ("5", {"3": 0.2}, "")


def test_shift_warns_of_a_version_whose_release_was_taken_back(shop: Shop) -> None:
    shop.publish("5", "6")
    shop.point("5")
    shop.release("d-1", "Stopped", "5", "6", reason="an alarm rang.")
    plan = plan_to_shift(shop, 10, to="6")
    assert plan.text.endswith(
        " WARNING: Deployment d-1 of version 6 ended as Stopped: an alarm rang."
    )


def test_shift_warns_of_a_version_that_was_rolled_back(shop: Shop) -> None:
    shop.publish("5", "6")
    shop.point("5", description=f"rolled back from 6 to 5 at {AT}")
    plan = plan_to_shift(shop, 10, to="6")
    assert plan.text.endswith(f" WARNING: version 6 was taken back at {AT}.")


def test_shift_0_takes_the_share_back(shop: Shop) -> None:
    shop.publish("5", "6")
    shop.point("5", {"6": 0.5})
    move(shop, plan_to_shift(shop, 0))
    assert shop.alias() == ("5", {}, "")


def test_shift_0_without_a_share_changes_nothing(shop: Shop) -> None:
    shop.publish("5")
    shop.point("5")
    assert plan_to_shift(shop, 0).move is None


def test_shift_refuses_a_version_that_does_not_answer(shop: Shop) -> None:
    shop.publish("5", "6")
    shop.point("5")
    shop.crashes["6"] = "Runtime.ImportModuleError"
    with pytest.raises(ReleaseError, match=r"version 6 does not answer: .*ImportModuleError"):
        plan_to_shift(shop, 10, to="6")


def test_shift_refuses_a_version_that_there_is_not(shop: Shop) -> None:
    shop.publish("5")
    shop.point("5")
    with pytest.raises(ReleaseError, match="there is no version 9 of shop-fn"):
        plan_to_shift(shop, 10, to="9")


def test_shift_refuses_the_version_that_keeps_the_rest(shop: Shop) -> None:
    shop.publish("5", "6")
    shop.point("5")
    with pytest.raises(ReleaseError, match="version 5 is the alias' own"):
        plan_to_shift(shop, 10, to="5")


def test_shift_needs_another_version(shop: Shop) -> None:
    shop.publish("5")
    shop.point("5")
    with pytest.raises(ReleaseError, match="version 5 is the only one of shop-fn"):
        plan_to_shift(shop, 10)


def test_promote_gives_the_shared_version_everything(shop: Shop) -> None:
    shop.publish("5", "6")
    shop.point("5", {"6": 0.1})
    move(shop, plan_to_promote(shop))
    assert shop.alias() == ("6", {}, f"promoted from 5 to 6 at {AT}")


def test_promote_needs_a_share(shop: Shop) -> None:
    shop.publish("5", "6")
    shop.point("5")
    with pytest.raises(ReleaseError, match="version 5 has all traffic: there is nothing to"):
        plan_to_promote(shop)


@pytest.mark.parametrize("creator", ["CloudFormation", "codeDeployRollback"])
@pytest.mark.parametrize(
    "plan",
    [lambda shop: plan_to_shift(shop, 10), plan_to_promote, plan_to_resync, plan_to_prune],
)
def test_nobody_moves_the_alias_while_codedeploy_does(
    shop: Shop, creator: str, plan: Callable[[Shop], object]
) -> None:
    shop.publish("5", "6")
    shop.point("5")
    shop.release("d-1", "InProgress", "5", "6", creator=creator)
    with pytest.raises(ReleaseError, match=r"d-1 of version 6 is in progress \(InProgress\)"):
        plan(shop)


def test_somebody_else_was_faster(shop: Shop) -> None:
    # GIVEN a plan, and somebody who moves the alias before it is carried out
    shop.publish("5", "6")
    shop.point("5")
    alias = read_alias(shop.functions, "shop-fn", "live")
    shop.point("5", {"6": 0.5})
    # WHEN / THEN it stays where that one has moved it
    with pytest.raises(ReleaseError, match="somebody else has moved live meanwhile"):
        move_alias(shop.functions, alias, Move("6"))
    assert shop.alias() == ("5", {"6": 0.5}, "")


def test_an_alias_that_there_is_not(shop: Shop) -> None:
    with pytest.raises(ReleaseError, match="there is no alias live of shop-fn in eu-west-1"):
        read_alias(shop.functions, "shop-fn", "live")


# A release in progress.


def test_each_step_of_a_release_is_told_once(shop: Shop) -> None:
    shop.publish("5", "6")
    shop.point("5")
    news = read_news(
        shop.functions, shop.codedeploy, TARGET, "Canary10Percent10Minutes", lambda: NOW
    )
    # WHEN nothing has begun yet
    assert next(news) == ""
    # WHEN the gate is at work
    shop.release("d-1", "InProgress", "5", "6")
    assert next(news) == "Deployment d-1 of version 6: the gate tries it first."
    # WHEN it has passed, which is seen twice
    shop.point("5", {"6": 0.1})
    assert next(news) == (
        "The gate has passed: 10 % of the requests go to version 6 until about 15:10:00 UTC."
    )
    assert next(news) == ""
    # WHEN it is taken back, and over
    shop.release("d-1", "Stopped", "5", "6")
    shop.release("d-2", "InProgress", "6", "5", creator="codeDeployRollback")
    assert next(news) == ""
    shop.release("d-2", "Succeeded", "6", "5", creator="codeDeployRollback")
    assert next(news) == ""


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


def test_a_release_in_progress_is_stopped_and_taken_back(shop: Shop) -> None:
    # GIVEN a canary
    shop.publish("5", "6")
    shop.point("5", {"6": 0.1})
    shop.release("d-1", "InProgress", "5", "6")
    plan = plan_to_roll_back(shop)
    assert "Deployment d-1 of version 6 will be stopped" in plan.text
    # WHEN it is rolled back THEN CodeDeploy takes it back, and it is waited until that is done
    waits: list[None] = []

    def wait() -> None:
        waits.append(None)
        shop.point("5")

    roll_back(shop.functions, shop.codedeploy, TARGET, plan, wait)
    assert shop.stops == [{"deploymentId": "d-1", "autoRollbackEnabled": True}]
    assert len(waits) == 1
    assert shop.changes == []


@pytest.mark.parametrize("place", ["string", ""])
def test_a_release_is_stopped_however_codedeploy_tells_what_it_is(shop: Shop, place: str) -> None:
    # GIVEN a deployment whose AppSpec is in another place, or in none that is known
    shop.publish("4", "5")
    shop.point("4", {"5": 0.1})
    shop.release("d-1", "InProgress", "4", "5", place=place)
    # WHEN / THEN it leads back to the version that has most of the traffic
    plan = plan_to_roll_back(shop)
    assert plan.version == "4"
    assert "traffic back to version 4, and" in plan.text
    unknown = "an unknown version (its revision of type unknown holds no AppSpec)"
    assert plan.text.startswith(f"Deployment d-1 of {'version 5' if place else unknown} will be")


def test_a_release_in_progress_leads_back_to_one_version_only(shop: Shop) -> None:
    shop.publish("3", "5", "6")
    shop.point("5", {"6": 0.1})
    shop.release("d-1", "InProgress", "5", "6")
    with pytest.raises(ReleaseError, match="leads back to version 5, not 3"):
        plan_to_roll_back(shop, "3")


def test_a_rollback_in_progress_is_not_stopped(shop: Shop) -> None:
    shop.publish("5", "6")
    shop.point("5", {"6": 0.1})
    shop.release("d-2", "Created", "6", "5", creator="codeDeployRollback")
    plan = plan_to_roll_back(shop)
    assert plan.is_done
    assert "d-2 is taking the traffic back already" in plan.text


def test_a_release_that_ends_just_then_is_told(shop: Shop) -> None:
    shop.publish("5", "6")
    shop.point("5", {"6": 0.1})
    shop.release("d-1", "InProgress", "5", "6")
    plan = plan_to_roll_back(shop)
    shop.release("d-1", "Succeeded", "5", "6")
    with pytest.raises(ReleaseError, match="d-1 has just ended by itself"):
        roll_back(shop.functions, shop.codedeploy, TARGET, plan)


def test_an_alias_that_does_not_come_back_is_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish("5", "6")
    shop.point("5", {"6": 0.1})
    shop.release("d-1", "InProgress", "5", "6")
    plan = plan_to_roll_back(shop)
    monkeypatch.setattr("infra.release.rollback.PATIENCE_SECONDS", -1)
    with pytest.raises(ReleaseError, match=r"still not back on version 5 .*5: 90 %, 6: 10 %"):
        roll_back(shop.functions, shop.codedeploy, TARGET, plan)


def test_a_share_given_by_hand_is_taken_back(shop: Shop) -> None:
    shop.publish("5", "6")
    shop.point("5", {"6": 0.1})
    assert roll_back(shop.functions, shop.codedeploy, TARGET, plan_to_roll_back(shop)) >= 0
    assert shop.alias() == ("5", {}, "")
    assert shop.stops == []


def test_after_a_promotion_the_version_before_comes_back(shop: Shop) -> None:
    # GIVEN a history in no order: an older release of version 5, one that failed, and a rollback
    # of CloudFormation's whose "current" is the orphan of a failed release
    shop.publish("2", "3", "4", "5")
    shop.point("5")
    shop.release("d-3", "Succeeded", "3", "5", day=20)
    shop.release("d-1", "Succeeded", "6", "5", creator="CloudFormationRollback")
    shop.release("d-2", "Succeeded", "2", "5", day=10)
    plan = plan_to_roll_back(shop)
    assert plan.text == "Version 3 will get all traffic at once, version 5 none."
    assert shop.asked == [("3", READY)]
    # WHEN it is rolled back THEN the alias tells from where, to where and when
    roll_back(shop.functions, shop.codedeploy, TARGET, plan)
    assert shop.alias() == ("3", {}, f"rolled back from 5 to 3 at {AT}")


def test_releases_before_a_version_was_published_are_not_read(shop: Shop) -> None:
    # GIVEN a release to version 5 that is older than version 5, which can only be another stack's
    shop.publish("3", "4", "5")
    shop.point("5")
    shop.release("d-1", "Succeeded", "3", "5", day=4)
    with pytest.raises(ReleaseError, match="no deployment says which version served before 5"):
        plan_to_roll_back(shop)


def test_never_back_to_a_version_that_was_rolled_back_itself(shop: Shop) -> None:
    # GIVEN 4 rolled back to 3, a resync, and then 5 released over 4
    shop.publish("3", "4", "5")
    shop.point("5", description=f"rolled back from 4 to 3 at {AT}")
    shop.release("d-1", "Succeeded", "4", "5")
    assert plan_to_roll_back(shop).move == Move("3", record=Record("rolled back", "5", "3", AT))


def test_a_promotion_by_hand_tells_the_version_before(shop: Shop) -> None:
    shop.publish("5", "6")
    shop.point("6", description=f"promoted from 5 to 6 at {AT}")
    assert plan_to_roll_back(shop).version == "5"
    assert shop.asked == [("5", READY)]


# Provisioned concurrency: until its environments are there, Lambda itself gives weights.


@pytest.mark.parametrize("provisioned", ["IN_PROGRESS", "FAILED"])
def test_weights_of_lambdas_own_are_no_share_to_take_back(shop: Shop, provisioned: str) -> None:
    # GIVEN version 5, just released and bad, for which environments are being provisioned
    shop.publish("4", "5")
    shop.point("5", {"4": 1.0})
    shop.provisioned = provisioned
    shop.release("d-1", "Succeeded", "4", "5")
    # WHEN it is rolled back THEN it goes to the version before, not all the way to the bad one
    plan = plan_to_roll_back(shop)
    assert plan.move == Move("4", record=Record("rolled back", "5", "4", AT))
    # AND no weights are asked for, and those that Lambda gives are no failure
    shop.added_weights = {"5": 1.0}
    roll_back(shop.functions, shop.codedeploy, TARGET, plan)
    assert shop.changes[0]["RoutingConfig"] == {"AdditionalVersionWeights": {}}
    assert shop.alias() == ("4", {"5": 1.0}, f"rolled back from 5 to 4 at {AT}")


@pytest.mark.parametrize(
    "plan",
    [
        lambda shop: plan_to_shift(shop, 10),
        lambda shop: plan_to_shift(shop, 0),
        plan_to_promote,
    ],
)
def test_nobody_moves_an_alias_in_transition_by_hand(
    shop: Shop, plan: Callable[[Shop], object]
) -> None:
    shop.publish("4", "5")
    shop.point("5", {"4": 1.0})
    shop.provisioned = "IN_PROGRESS"
    with pytest.raises(ReleaseError, match=r"live is in transition to version 5 .* try again"):
        plan(shop)


def test_a_resync_in_transition_is_done(shop: Shop) -> None:
    shop.publish("4", "5")
    shop.point("5", {"4": 1.0})
    shop.provisioned = "IN_PROGRESS"
    plan = plan_to_resync(shop)
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


def test_what_may_not_be_asked_is_no_transition(shop: Shop) -> None:
    def deny(_: LambdaResponse) -> Any:
        raise LambdaClientError("AccessDeniedException", "not authorized")

    shop.publish("5", "6")
    shop.point("5", {"6": 0.1})
    with patched(LambdaResponse, get_provisioned_concurrency_config=deny):
        assert not read_alias(shop.functions, "shop-fn", "live").transition


def test_history_that_does_not_tell_asks(shop: Shop) -> None:
    # GIVEN only an orphan of a failed release besides the version that serves
    shop.publish("1", "2")
    shop.point("1")
    with pytest.raises(ReleaseError, match="which version served before 1; and there is none bef"):
        plan_to_roll_back(shop)


def test_where_history_is_silent_a_person_chooses_and_is_told_how(shop: Shop) -> None:
    # GIVEN version 4, which a deployment took back, and no deployment of version 5
    shop.publish("3", "4", "5", "6")
    shop.point("5")
    shop.release("d-1", "Stopped", "3", "4", day=4)
    # WHEN / THEN
    with pytest.raises(ReleaseError) as raised:
        plan_to_roll_back(shop)
    assert str(raised.value) == (
        "no deployment says which version served before 5; the newest before it that was not taken "
        "back is 3: `infra rollback --to 3`"
    )


def test_a_release_whose_versions_cannot_be_read_hides_the_one_before(shop: Shop) -> None:
    # GIVEN a release whose AppSpec is in S3, after one from 3 to 5
    shop.publish("3", "4", "5")
    shop.point("5")
    shop.release("d-1", "Succeeded", "3", "5", day=20)
    shop.release("d-2", "Succeeded", "", "", place="")
    # WHEN / THEN
    with pytest.raises(ReleaseError, match=r"d-2 \(its revision .* no AppSpec\) does not say"):
        plan_to_roll_back(shop)


def test_the_only_version_cannot_be_rolled_back(shop: Shop) -> None:
    shop.publish("1")
    shop.point("1")
    with pytest.raises(ReleaseError, match="there is only version 1, nothing to go back to"):
        plan_to_roll_back(shop)


def test_a_rollback_is_done_once(shop: Shop) -> None:
    shop.publish("3", "4", "5")
    shop.point("4", description=f"rolled back from 5 to 4 at {AT}")
    shop.release("d-1", "Succeeded", "3", "4", day=20)
    shop.release("d-2", "Succeeded", "4", "5", day=21)
    plan = plan_to_roll_back(shop)
    assert plan.is_done
    assert plan.text == (
        f"Version 4 has all traffic: rolled back from 5 to 4 at {AT}. "
        "To go further back: `infra rollback --to 3`"
    )


@pytest.mark.parametrize("status", ["Stopped", "Failed"])
def test_a_release_that_codedeploy_took_back_is_not_rolled_back_twice(
    shop: Shop, status: str
) -> None:
    shop.publish("3", "4", "5")
    shop.point("4")
    shop.release("d-1", "Succeeded", "3", "4", day=20)
    shop.release("d-2", status, "4", "5", day=21)
    plan = plan_to_roll_back(shop)
    assert plan.is_done
    assert f"d-2 of version 5 ended as {status}. To go further back" in plan.text


def test_a_version_that_is_named_must_answer(shop: Shop) -> None:
    shop.publish("3", "5")
    shop.point("5")
    shop.answers["3", READY] = (503, {"error": "no"})
    with pytest.raises(ReleaseError, match="version 3 answers /v2/health/ready with status 503"):
        plan_to_roll_back(shop, "3")


def test_back_to_the_version_that_serves_is_nothing_to_do(shop: Shop) -> None:
    shop.publish("5")
    shop.point("5")
    assert plan_to_roll_back(shop, "5").is_done


# Resync, and its undoing.


def test_resync_follows_cloudformation_and_says_what_that_means(shop: Shop) -> None:
    record = f"rolled back from 5 to 4 at {AT}"
    shop.publish("4", "5")
    shop.point("4", description=record)
    plan = plan_to_resync(shop)
    assert plan.text.startswith(f"Version 5, which was taken back at {AT}, will get ALL traffic")
    # THEN the record stays, so that a later rollback does not go to version 5
    move(shop, plan)
    assert shop.alias() == ("5", {}, record)


def test_resync_has_nothing_to_do_where_all_agree(shop: Shop) -> None:
    shop.publish("5")
    shop.point("5")
    assert plan_to_resync(shop).move is None


def test_a_deploy_that_fails_after_a_resync_gives_the_traffic_back(shop: Shop) -> None:
    shop.publish("4", "5")
    shop.point("5")
    take_back(shop.functions, shop.codedeploy, TARGET, "4", NOW)
    assert shop.alias() == ("4", {}, f"rolled back from 5 to 4 at {AT}")


def test_a_resync_is_not_undone_where_somebody_has_moved_on(shop: Shop) -> None:
    shop.publish("4", "5", "6")
    shop.point("6")
    with pytest.raises(ReleaseError, match="live is on version 6, and somebody has moved it"):
        take_back(shop.functions, shop.codedeploy, TARGET, "4", NOW)
    assert shop.changes == []


def test_a_resync_is_not_undone_while_codedeploy_works(shop: Shop) -> None:
    shop.publish("4", "5", "6")
    shop.point("5")
    shop.release("d-1", "InProgress", "5", "6")
    with pytest.raises(ReleaseError, match=r"d-1 is in progress: .* `infra rollback --to 4`"):
        take_back(shop.functions, shop.codedeploy, TARGET, "4", NOW)
    assert shop.changes == []


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
    shop: Shop, state: str, stack_version: str, exit_status: int, verdict: Verdict
) -> None:
    # GIVEN a release since the deploy began, whose way back is newer
    shop.release("d-1", "Failed", "5", "6", day=19)
    shop.release("d-2", state, "5", "6", day=20)
    shop.release("d-3", "Succeeded", "6", "5", day=21, creator="codeDeployRollback")
    # WHEN / THEN
    target = replace(TARGET, stack_version=stack_version)
    assert judge(shop.codedeploy, target, ["d-1"], exit_status) == verdict


def test_a_deploy_that_stops_watching_does_not_say_how_it_ended(shop: Shop) -> None:
    shop.release("d-2", "InProgress", "5", "6")
    with pytest.raises(ReleaseError, match="exit status 1 while deployment d-2 of version 6 is in"):
        judge(shop.codedeploy, TARGET, [], 1)


@pytest.mark.parametrize(
    ("status", "reason"), [("Failed", "version 6 refused: wrong sha256"), ("Stopped", "an alarm")]
)
def test_only_a_deployment_that_failed_ended_by_the_gate(status: str, reason: str) -> None:
    """A gate that is still at work when a person stops the release speaks too late."""
    verdict = Verdict("rolled back", "5", "d-2", "an alarm", status)
    assert explain(verdict, "version 6 refused: wrong sha256").reason == reason


def test_a_failed_deploy_of_unknown_versions_says_so(shop: Shop) -> None:
    shop.release("d-2", "Succeeded", "", "", place="")
    with pytest.raises(ReleaseError, match=r"d-2 of an unknown version .* See `infra"):
        judge(shop.codedeploy, TARGET, [], 1)


def test_a_deploy_without_a_release_is_none(shop: Shop) -> None:
    shop.release("d-1", "Succeeded", "4", "5")
    assert judge(shop.codedeploy, TARGET, ["d-1"], 0) == Verdict("unchanged", "5")


# What versions and the gate say.


def test_a_question_to_a_version_is_no_request_of_a_caller(shop: Shop) -> None:
    shop.publish("5")
    check_ready(shop.functions, "shop-fn", "5")
    assert shop.lanes == {"gate"}  # that no metric counts


def test_a_version_tells_its_model(shop: Shop) -> None:
    shop.publish("5")
    shop.answers["5", "/v2/models"] = (200, {"models": ["propensity"]})
    metadata = {"name": "propensity", "versions": ["3"], "properties": {"sha256": "ab"}}
    shop.answers["5", "/v2/models/propensity"] = (200, metadata)
    identity = identify(shop.functions, "shop-fn", "5")
    assert (identity.model, identity.model_version, identity.sha256) == ("propensity", "3", "ab")
    assert not identity.error


@pytest.mark.parametrize("body", [{"models": []}, {"ready": True}, ["models"]])
def test_a_version_that_answers_otherwise_is_shown_as_such(shop: Shop, body: Any) -> None:
    shop.publish("5")
    shop.answers["5", "/v2/models"] = (200, body)
    assert "version 5 answers" in identify(shop.functions, "shop-fn", "5").error


def test_a_version_that_is_throttled_is_shown_as_such(shop: Shop) -> None:
    def throttle(_: LambdaResponse) -> Any:
        raise LambdaClientError("TooManyRequestsException", "Rate Exceeded.")

    with patched(LambdaResponse, invoke=throttle):
        assert "version 5 cannot be asked" in identify(shop.functions, "shop-fn", "5").error


def test_a_version_that_is_not_ready_gets_no_traffic(shop: Shop) -> None:
    shop.publish("5")
    shop.answers["5", READY] = (200, {"ready": False})
    with pytest.raises(ReleaseError, match="version 5 is not ready"):
        check_ready(shop.functions, "shop-fn", "5")


def add_payload(stub: Stubber, payload: bytes, asked: dict[str, str], **fields: Any) -> None:
    stream = StreamingBody(io.BytesIO(payload), len(payload))
    expected = {"FunctionName": "shop-fn", "Payload": ANY} | asked
    stub.add_response("invoke", {"StatusCode": 200, "Payload": stream, **fields}, expected)


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
def test_a_smoke_test_that_fails(stubs: Any, payload: Any, fields: Any, message: str) -> None:
    functions = stubs("lambda")
    add_payload(functions[1], json.dumps(payload).encode(), {}, **fields)
    with pytest.raises(ReleaseError, match=message):
        smoke_test(functions[0], "shop-fn")


def test_a_smoke_test_that_passes(stubs: Any) -> None:
    verdict = {"status": "Succeeded", "reason": "", "version": "1", "checks": 13}
    functions = stubs("lambda")
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


def test_prune_keeps_what_anything_needs(shop: Shop) -> None:
    # GIVEN seven versions: 5 serves after 4, and another alias needs 1 and 2
    layers = [{"Arn": "arn:aws:lambda:eu-west-1:1:layer:model:7"}]
    shop.publish(*"1234567", Layers=layers, SnapStart={"ApplyOn": "PublishedVersions"})
    shop.point("5")
    shop.release("d-1", "Succeeded", "4", "5")
    shop.functions.create_alias(
        FunctionName="shop-fn",
        Name="team",
        FunctionVersion="2",
        RoutingConfig={"AdditionalVersionWeights": {"1": 0.5}},
    )
    # WHEN one version is to be kept
    plan = plan_to_prune(shop, 1)
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
    prune(shop.functions, TARGET, plan)
    assert shop.versions() == ["1", "2", "4", "5", "7"]


@pytest.mark.parametrize("history", ["none", "deleted", "unreadable"])
def test_prune_keeps_the_version_before_where_history_is_silent(shop: Shop, history: str) -> None:
    # GIVEN version 5 serves, 4 was taken back, and nothing says that 3 served before, or it says
    # that a version did which is gone
    shop.publish(*"23456")
    shop.point("5")
    if history != "none":
        place = "" if history == "unreadable" else "appSpecContent"
        shop.release("d-2", "Succeeded", "1", "5", place=place)
    shop.release("d-1", "Failed", "3", "4", day=4)
    # WHEN / THEN
    plan = plan_to_prune(shop, 1)
    assert plan.versions == ("2", "4")
    assert "no deployment says which version served before 5" in plan.kept["3"]


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_FAILED", "UPDATE_IN_PROGRESS"])
def test_prune_waits_for_a_stack_that_may_need_every_version(shop: Shop, status: str) -> None:
    with pytest.raises(ReleaseError, match=f"stack shop is {status}"):
        plan_to_prune(shop, status=status)
