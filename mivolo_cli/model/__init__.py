"""The model: its architecture, its weights and their sources."""
