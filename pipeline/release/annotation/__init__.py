"""From comments to labels: tasks for Label Studio, what annotators say, how far they agree, and what counts."""
