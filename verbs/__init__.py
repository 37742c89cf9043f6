"""The verbs a person types, one module for those that belong together."""
