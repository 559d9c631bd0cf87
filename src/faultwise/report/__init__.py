"""Reports: HTML, Markdown, JSON and terminal views of a diagnosis."""
