"""Data sets: their classes, colours and numberings."""
