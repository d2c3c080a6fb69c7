"""Published archives and folders of images to records."""
