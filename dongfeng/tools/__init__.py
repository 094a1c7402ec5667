"""Programs that maintain the package itself: they write `prototxt/`, documentation tables, device profiles."""
