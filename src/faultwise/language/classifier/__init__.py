"""The language model as an expert on named features: rows come in as tokens or as text, labels are scored."""
