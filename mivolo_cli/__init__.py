"""Age and gender of every person in a photo collection, with MiVOLO."""

__version__ = "0.1.0"
