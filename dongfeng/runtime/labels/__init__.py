"""Label maps from scores: half-pixel bilinear interpolation and argmax, computed only where labels change."""
