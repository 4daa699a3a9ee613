"""What a run has used, in tokens and money, and its limits: no request is begun that would probably go beyond them."""

import threading
from dataclasses import dataclass

from csmv.pipeline.errors import CsmvError
from csmv.pipeline.zeroshot.zeroshot_config import ZeroShotConfig


@dataclass(frozen=True)
class Usage:
    """Requests that were answered and their tokens, of the request and of the answer."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.requests + other.requests, self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out
        )

    def cost(self, config: ZeroShotConfig) -> float | None:
        """The money, by the two prices of a million tokens; None without prices."""
        if config.price_in is None or config.price_out is None:
            return None
        return (self.tokens_in * config.price_in + self.tokens_out * config.price_out) / 1e6


class Spending:
    """Counts what a run uses, and lets a request begin only if the limits have room for it.

    A request is taken to cost as much as the largest one so far, so the first goes alone where there is a limit.

    Args:
        config: the limits and prices.
        used: by answers that are there already.
        largest: the largest of these.
    """

    def __init__(self, config: ZeroShotConfig, used: Usage, largest: Usage) -> None:
        self._config, self.used, self._largest = config, used, largest
        self._under_way = 0
        self._changed = threading.Condition()
        self._is_limited = config.max_cost is not None or config.max_tokens is not None

    def begin(self) -> bool:
        """Take room for a request; waits for others where only they may leave room. False: the limits are reached."""
        with self._changed:
            while True:
                is_first = self._is_limited and not self._largest.tokens_in and self._under_way > 0
                if not is_first and self._fits(self._under_way + 1):
                    self._under_way += 1
                    return True
                if not self._under_way:
                    return False
                self._changed.wait()

    def end(self, usage: Usage | None) -> None:
        """A request has ended, with what it used; None if it got no answer.

        Raises:
            CsmvError: there is a limit, and the endpoint does not say how many tokens it used.
        """
        with self._changed:
            self._under_way -= 1
            if usage is not None:
                self.used += usage
                if self._size(usage) > self._size(self._largest):
                    self._largest = usage
            self._changed.notify_all()
        if usage is not None and self._is_limited and not usage.tokens_in:
            raise CsmvError(
                "The endpoint does not say how many tokens a request used (`usage`), so max_cost and max_tokens can't "
                "be kept: leave them out, or choose an endpoint that does."
            )

    def _size(self, usage: Usage) -> float:
        return (usage.cost(self._config) or 0.0) + (usage.tokens_in + usage.tokens_out) * 1e-9

    def _fits(self, requests: int) -> bool:
        tokens = self._largest.tokens_in + self._largest.tokens_out
        used = self.used.tokens_in + self.used.tokens_out
        if self._config.max_tokens is not None and used + requests * max(tokens, 1) > self._config.max_tokens:
            return False
        cost, each = self.used.cost(self._config), self._largest.cost(self._config)
        if self._config.max_cost is None or cost is None or each is None:
            return True
        return cost + requests * each <= self._config.max_cost
