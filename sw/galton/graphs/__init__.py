"""Quantization of any graph by module hooks, for networks that the accelerator cannot run: same methods, same activations.

Layers are met in the order in which the network calls them, each against the inputs that the quantized network really produces.
Recurrent layers and attention are taken apart into linear ones, so that they are nothing special.
What it emulates: integer weights times a scale for each output channel, raw 8-bit activations and their counts in front of every
convolution and linear layer. What it does not: the machine's 16-bit multipliers and the width of its accumulators.
"""

from galton.graphs.checks import check_finite, numbers
from galton.graphs.engine import quantize
from galton.graphs.module import EmulatedModule
from galton.graphs.plain import plain

__all__ = ["EmulatedModule", "check_finite", "numbers", "plain", "quantize"]
