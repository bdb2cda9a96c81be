"""The scan: photos in, a table of people out, resumable."""
