"""Evaluate predictions on labelled data, and calibrate prediction intervals."""
