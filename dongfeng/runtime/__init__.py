"""From a model file and an image to labels.

`load` finds or makes the file that a backend opens (`artifact`), and opens it (`network`); a `Model` reads images
(`images`), lays them out, runs the backend, and turns scores into `results` (`labels`).
"""
