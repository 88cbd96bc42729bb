"""What can go wrong by a user's doing. The command line prints these without a traceback."""

from __future__ import annotations


class GaltonError(Exception):
    """Any mistake that a message can explain: what, where, and the way out."""


class UnknownName(GaltonError, ValueError):
    """A board that nobody knows; those that are known are listed."""


class UnsupportedLayer(GaltonError):
    """The network has layers that the accelerator cannot run; every one of them is listed by module path."""


class CalibrationError(GaltonError):
    """Calibration data or inputs that are empty, of the wrong shape, or not finite."""


class FitError(GaltonError):
    """The network does not fit the configuration's memories or record fields."""


class AccumulatorOverflow(GaltonError, OverflowError):
    """A layer's sum or total cannot be proved to fit its width."""


class ImageError(GaltonError):
    """An image file that is truncated, corrupted, of another version, or for another configuration."""


class MissingTool(GaltonError):
    """A program or package that must be installed first."""


class HardwareMismatch(GaltonError):
    """Simulated hardware and golden model disagree, or the hardware does not answer."""


class PortError(GaltonError):
    """A port that is not there, is busy, or is gone."""


class LinkError(GaltonError):
    """A board that did not do what it was asked, however often: the line disturbs, or somebody else talks to it."""


class NoAnswer(LinkError):
    """A board that is silent, or does not finish."""


class WrongBoard(GaltonError):
    """What is at the port is no Galton board, or one of another version or configuration."""


class CalibrationWarning(UserWarning):
    """Calibration data that answers, but hardly: too few samples, or a range that inputs leave."""


class RangeWarning(UserWarning):
    """Inputs that raw integers cannot hold, cut to the nearest ones that they can; how many is said."""


class AcceleratorWarning(UserWarning):
    """The network is quantized, but not for the accelerator: every layer that keeps it off is listed."""


class UnquantizedWarning(UserWarning):
    """Weights that stay in float though nobody asked for it."""
