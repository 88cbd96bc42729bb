"""Counters that fit a logic cell a bit on iCE40, with a way in for another value."""

from __future__ import annotations

from amaranth.hdl import Signal, Value


def up(count: Signal, load: Value) -> Value:
    """count + 1 where `load` is 0, else anything: the next value of a counter that is loaded where `load` is 1.

    The addend is made of `load`, so that a cell of adder, whose fourth input is free, can also choose between sum and new value.
    """
    return (count - (~load).replicate(len(count)))[: len(count)]


def down(count: Signal, load: Value) -> Value:
    """count - 1 where `load` is 0, else anything; see `up`."""
    return (count + (~load).replicate(len(count)))[: len(count)]
