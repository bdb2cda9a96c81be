"""Detect persons and faces: one adapter per file, behind a small protocol."""
