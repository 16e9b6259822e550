"""What AWS, or the local platform in its place, refuses, as one line for a person."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from infra.errors import OperatorError


class AccountError(OperatorError):
    """Raised when an account cannot be reached, or does not do what it is asked."""


@contextmanager
def explained(unreachable: str = "") -> Iterator[None]:
    """Turn what boto3 raises into an AccountError that says what to do.

    `unreachable` is what to say where nobody answers.
    """
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    try:
        yield
    except exceptions.NoCredentialsError as error:
        raise AccountError(
            "there are no AWS credentials; for the local run paste the whole line "
            "`export AWS_ENDPOINT_URL=...` that `infra run` printed"
        ) from error
    except exceptions.NoRegionError as error:
        raise AccountError(
            "there is no AWS Region (give --region or AWS_REGION); for the local run paste the "
            "whole line `export AWS_ENDPOINT_URL=...` that `infra run` printed"
        ) from error
    except ResponseParserError as error:  # not a BotoCoreError
        where = os.environ.get("AWS_ENDPOINT_URL") or "the endpoint"
        raise AccountError(
            f"{where} does not answer as AWS does: AWS_ENDPOINT_URL must be the one that "
            "`infra run` prints for AWS's own APIs, not the API's"
        ) from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise AccountError(f"{error}{unreachable}") from error
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        raise AccountError(str(error)) from error
