"""Train a model on labelled data."""
