"""Feature-based distillation: which layers to compare, how, and what they have in common."""
