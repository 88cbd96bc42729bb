"""The networks of MLPerf Tiny, and some more, on the accelerator: accuracy, size, cycles, latency, next to published numbers.

Unofficial: nothing here was submitted or reviewed, and the closed division forbids discarding weights, as is done here.
"""
