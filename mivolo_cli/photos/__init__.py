"""Find, read and decode photos."""
