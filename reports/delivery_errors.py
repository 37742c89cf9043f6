"""Why a message did not leave, named by what to do next."""

from __future__ import annotations


class DeliveryError(Exception):
    """A message did not leave; the text says why and what to do."""


class RetryLater(DeliveryError):  # noqa: N818 - named by its recovery, as all errors here
    """It certainly did not leave and may leave later.

    ``everyone`` says that the trouble is the server's: other messages need not try now.
    """

    def __init__(self, message: str, *, everyone: bool = False) -> None:
        super().__init__(message)
        self.everyone = everyone


class Permanent(DeliveryError):  # noqa: N818 - see above
    """It will never leave; ``refuse`` says that nothing ever will to this address."""

    def __init__(self, message: str, *, refuse: bool = False) -> None:
        super().__init__(message)
        self.refuse = refuse


class Unknown(DeliveryError):  # noqa: N818 - see above
    """Nobody can tell whether it left: the connection was lost after the last byte."""
