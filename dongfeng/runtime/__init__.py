"""From a model file and an image to labels.

`load` finds or makes the ONNX file of a model (`prepare_model`) and hands it to a backend (`backends`); a `Model` reads
images (`images`), lays them out (`preprocess`), runs the backend, and turns scores into `results` (`upsample`).
"""
