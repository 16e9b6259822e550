"""What can be wrong with a model, its samples or the place it should go to."""

SHOWN = 500  # characters of a problem: what it quotes may be of any length


class ModelError(Exception):
    """A model cannot be served or packaged: `problems` say why, a line each."""

    def __init__(self, *problems: str) -> None:
        self.problems = tuple(
            one if len(one) <= SHOWN else f"{one[:SHOWN]} ..." for one in problems
        )
        super().__init__("; ".join(self.problems))


class OptionError(ModelError):
    """An option is not a valid name, or does not fit the model."""


class AnswerError(ModelError):
    """A request was answered with an error; the next one may not be."""


class SlowError(ModelError):
    """A request took longer than the function may."""
