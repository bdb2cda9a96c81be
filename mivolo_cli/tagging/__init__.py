"""Write predictions into the photos' metadata, and remove them again."""
