"""The stages between pixels and predictions."""
