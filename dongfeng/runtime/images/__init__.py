"""Images, videos and folders in and out."""
