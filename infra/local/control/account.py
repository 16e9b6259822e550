"""What Lambda says of the account, which moto does not: its quotas, and what is provisioned.

Sources: docs.aws.amazon.com/lambda/latest/api/, the pages API_GetAccountSettings and
API_GetProvisionedConcurrencyConfig; .../dg/gettingstarted-limits.html for the quota.
"""

from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.responses import LambdaResponse
from moto.awslambda.urls import url_paths
from moto.core.common_types import TYPE_RESPONSE
from moto.core.responses import ActionResult

# The default of an account; a new one has less. `infra run --concurrency` is a limit of its own.
CONCURRENT_EXECUTIONS = 1000


class NothingProvisionedError(LambdaClientError):
    """The local run provisions no concurrency."""

    code = 404

    def __init__(self) -> None:
        super().__init__(
            "ProvisionedConcurrencyConfigNotFoundException",
            "No Provisioned Concurrency Config found for this function",
        )


def _get_account_settings(_: LambdaResponse) -> ActionResult:
    limits = {
        "ConcurrentExecutions": CONCURRENT_EXECUTIONS,
        "UnreservedConcurrentExecutions": CONCURRENT_EXECUTIONS,
    }
    return ActionResult({"AccountLimit": limits})


def _get_provisioned_concurrency_config(_: LambdaResponse) -> TYPE_RESPONSE:
    raise NothingProvisionedError


def answer_account() -> None:
    """Let moto's server answer both, from now on in this process."""
    name = r"{0}/(?P<api_version>[^/]+)/"
    for path in (
        r"account-settings/?$",
        r"functions/(?P<function_name>[\w_:%-]+)/provisioned-concurrency$",
    ):
        url_paths[name + path] = LambdaResponse.dispatch
    LambdaResponse.get_account_settings = _get_account_settings  # type: ignore[attr-defined]  # moto lacks it
    LambdaResponse.get_provisioned_concurrency_config = _get_provisioned_concurrency_config  # type: ignore[attr-defined]  # moto lacks it
