"""How much of a file could not be decoded."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Damage:
    """What is missing of the stretch of a file that was wanted, and how long that stretch is, in seconds.

    `frames` counts pictures, or packets of sound. In their place stand, as with ffmpeg, the picture before and silence.
    """

    frames: int = 0
    seconds: Fraction = Fraction(0)
    of_seconds: Fraction = Fraction(0)

    def __bool__(self) -> bool:
        return self.frames > 0 or self.seconds > 0

    @property
    def share(self) -> float:
        """The part of the stretch that is missing, 0 to 1."""
        return min(float(self.seconds / self.of_seconds), 1.0) if self.of_seconds > 0 else float(bool(self))

    def __str__(self) -> str:
        what = f"{self.frames} frames, " if self.frames else ""
        return f"{what}{float(self.seconds):.2f} of {float(self.of_seconds):.2f} seconds, could not be decoded"
