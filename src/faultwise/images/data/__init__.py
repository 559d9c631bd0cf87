"""Reading images: files, folders, published layouts, simulated defects."""
