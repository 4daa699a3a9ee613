"""Multimodal language models that are asked as they are, without training: runs to compare trained models with."""
