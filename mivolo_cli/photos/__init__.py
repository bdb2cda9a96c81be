"""Photos: found, read and turned into pixels."""
