"""Whether a converted model computes what the network does, layer by layer."""
