"""A board's own TensorRT: what to run there, over ssh or by hand, and what it prints."""
