"""Tools of every room: files that appear whole, the cache folder, JSON, durable logs, progress, plots, web pages."""
