"""The command line: one small module per command, everything heavy imported where it is used."""
