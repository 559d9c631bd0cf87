"""The language model: loading, adapters, training, scoring, writing. It knows no modality."""
