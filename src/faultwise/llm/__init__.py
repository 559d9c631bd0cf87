"""Language models: loading, prompts, label scoring, tuning."""
