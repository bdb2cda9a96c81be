"""The model: its architecture, its weights, and where they come from."""
