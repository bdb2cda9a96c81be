"""Write predictions into the photos' metadata, and take them out again."""
