"""The host link: a serial line, and the unit that turns its bytes into accesses of a core (docs/link.md)."""
