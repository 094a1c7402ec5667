"""What every room may use: files that appear whole, the cache folder, JSON, plots, web pages."""
