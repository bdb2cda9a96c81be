"""Run networks: engines, devices and converted graphs."""
