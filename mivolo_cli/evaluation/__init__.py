"""Measure predictions on labelled data, and calibrate their intervals."""
