"""Wrappers of the core for a system's bus: AXI4-Lite with AXI4-Stream, and Wishbone. docs/buses.md says how to use them."""
