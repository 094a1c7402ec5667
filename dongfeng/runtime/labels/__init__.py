"""Label maps from class scores by half-pixel bilinear interpolation and argmax, computed only where labels change."""
