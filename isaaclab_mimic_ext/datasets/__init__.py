"""Tools for datasets: annotate, validate, inspect, split, merge, replay, convert."""
