"""The one graph type, `Net`, and what is done to it without another format: folding, weights, cutting, resizing."""
