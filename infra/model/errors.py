"""What can be wrong with a model, its samples or the place it should go to."""


class ModelError(Exception):
    """A model cannot be served or packaged: `problems` say why, a line each."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class WishError(ModelError):
    """What the user says of a model is no name, or does not go with the model."""


class AnswerError(ModelError):
    """A request was answered with an error; the next one may not be."""


class SlowError(ModelError):
    """A request took longer than the function may."""
