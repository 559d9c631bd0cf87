"""Questions and answers about an image, and what the language model learns them from."""
