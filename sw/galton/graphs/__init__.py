"""Quantization of any graph by module hooks, for networks that the accelerator cannot run: same methods, same activations.

Layers are met in the order in which the network calls them, each against the inputs that the quantized network really produces.
What it emulates: integer weights times a scale for each output channel, raw 8-bit activations and their counts in front of every
convolution and linear layer. What it does not: the machine's 16-bit multipliers and the width of its accumulators.
"""

from galton.graphs.engine import quantize, unknown_to_the_accelerator
from galton.graphs.module import EmulatedModule

__all__ = ["EmulatedModule", "quantize", "unknown_to_the_accelerator"]
