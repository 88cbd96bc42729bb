"""The demonstration: real digits from training to simulated Verilog."""
