"""What can be wrong with a model, its samples or the folder that it should go to."""

from infra.errors import OperatorError

SHOWN = 500  # characters of a problem, which may quote a text of any length


class ModelError(OperatorError):
    """A model cannot be served or packaged; `problems` say why, one line each."""

    def __init__(self, *problems: str) -> None:
        self.problems = tuple(
            one if len(one) <= SHOWN else f"{one[:SHOWN]} ..." for one in problems
        )
        super().__init__("; ".join(self.problems))

    @property
    def lines(self) -> tuple[str, ...]:
        """The problems, a line each."""
        return self.problems


class OptionError(ModelError):
    """An option is not a valid name, or does not fit the model."""

    exit_code = 2


class AnswerError(ModelError):
    """A request got an error as its answer; other requests may not.

    `status` is that of the HTTP response, or 0 if there is none.
    """

    def __init__(self, *problems: str, status: int = 0) -> None:
        super().__init__(*problems)
        self.status = status


class SlowError(ModelError):
    """A request took longer than the function's timeout."""
