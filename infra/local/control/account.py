"""Lambda's settings of the account, which moto lacks: its quotas, and what is provisioned.

Sources: docs.aws.amazon.com/lambda/latest/api/, the pages API_GetAccountSettings and
API_GetProvisionedConcurrencyConfig; .../dg/gettingstarted-limits.html for the quota.
"""

from moto.awslambda.exceptions import LambdaClientError
from moto.awslambda.responses import LambdaResponse
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


def get_account_settings(_: LambdaResponse) -> ActionResult:
    """Answer GetAccountSettings."""
    limits = {
        "ConcurrentExecutions": CONCURRENT_EXECUTIONS,
        "UnreservedConcurrentExecutions": CONCURRENT_EXECUTIONS,
    }
    return ActionResult({"AccountLimit": limits})


def get_provisioned_concurrency_config(_: LambdaResponse) -> TYPE_RESPONSE:
    """Answer GetProvisionedConcurrencyConfig."""
    raise NothingProvisionedError


ROUTES = {
    rf"{{0}}/(?P<api_version>[^/]+)/{path}": LambdaResponse.dispatch
    for path in (
        r"account-settings/?$",
        r"functions/(?P<function_name>[\w_:%-]+)/provisioned-concurrency$",
    )
}
